"""Scripts as child processes: a clean environment, bounded time, bounded output."""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

_LONGEST_OUTPUT = 1_000_000  # bytes kept of each stream; the rest is read and forgotten


@dataclass(frozen=True)
class Completed:
    """How a script ended; after a timeout the exit code is that of the kill."""

    exit_code: int
    stdout: str
    stderr: str
    timed_out: bool = False


def environment(home: str, bundle: str, **more: str) -> dict[str, str]:
    """All the environment a script gets; nothing of the operator's leaks in."""
    return {
        "PATH": f"{sys.prefix}/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": home,
        "LANG": "C.UTF-8",
        "AWS_CA_BUNDLE": bundle,
        "CURL_CA_BUNDLE": bundle,
        "SSL_CERT_FILE": bundle,
        **more,
    }


class Processes:
    """The scripts that run now, so that they can be ended with the account."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        stdin: int = subprocess.DEVNULL,
        **options: Any,
    ) -> subprocess.Popen[bytes]:
        """The process of a command, in a process group of its own."""
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **options,
        )
        self._running.add(process)
        return process

    def wait(self, process: subprocess.Popen[bytes], timeout: float) -> Completed:
        """How the process ended; when the time is over, it is ended with all it started."""
        deadline = time.monotonic() + timeout
        with process:
            try:
                stdout, stderr = _read(process, deadline)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0, deadline - time.monotonic()))
                timed_out = process.returncode is None
            finally:
                _kill(process)
                self._running.discard(process)
        return Completed(process.returncode, stdout, stderr, timed_out)

    def close(self) -> None:
        """Ends every script that still runs."""
        for process in list(self._running):
            _kill(process)


def _read(process: subprocess.Popen[bytes], deadline: float) -> tuple[str, str]:
    """What the process writes until it closes both streams, or the deadline."""
    assert process.stdout and process.stderr
    kept = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    with selectors.DefaultSelector() as selector:
        for stream in kept:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                chunk = os.read(key.fd, 65536)
                kept[key.fd] += chunk[: _LONGEST_OUTPUT - len(kept[key.fd])]
                if not chunk:
                    selector.unregister(key.fd)
    stdout, stderr = (bytes(text).decode(errors="replace") for text in kept.values())
    return stdout, stderr


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and all of its group; macOS says EPERM of a group that has ended."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)

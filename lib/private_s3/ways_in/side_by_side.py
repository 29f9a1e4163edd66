"""Runs commands side by side: each in a group of its own, bounded in time and in what it says."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO, Any

from private_s3.progress import Tick

PAUSE = 0.2  # seconds between looks at who has ended, if nobody says anything
LONGEST_ERROR = 8_000  # bytes kept of what a command says beside its output


@dataclass(frozen=True)
class Ended:
    """How a command ended; `cut` says why it was ended before its time, if it was."""

    code: int
    output: str
    errors: str
    cut: str = ""

    def __str__(self) -> str:
        return self.cut or f"exit {self.code}"


def run(
    commands: Mapping[str, Sequence[str]],
    script: str,
    *,
    limit: float,
    at_once: int,
    longest: int,
    tick: Tick,
) -> dict[str, Ended]:
    """How each command ended that was given the script on its standard input.

    At most `at_once` run at a time, each for at most `limit` seconds, and says at most `longest`
    bytes; then it is killed with all that it has started.
    """
    waiting, running, ended = deque(commands.items()), dict[str, _Running](), dict[str, Ended]()
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    name, command = waiting.popleft()
                    running[name] = _Running(command, script, time.monotonic() + limit, longest)
                    running[name].watch(selector)
                for key, _ in selector.select(PAUSE):
                    key.data.read(key.fileobj, selector)
                for name in [name for name, one in running.items() if one.over()]:
                    ended[name] = running.pop(name).end(selector)
                tick(f"{len(ended)} of {len(commands)} answered")
        finally:  # also when the operator interrupts
            for one in running.values():
                one.end(selector)
    return {name: ended[name] for name in commands}


class _Running:
    """A command that runs, and what it has said."""

    def __init__(self, command: Sequence[str], script: str, deadline: float, longest: int) -> None:
        self._deadline, self._longest, self._cut = deadline, longest, ""
        with TemporaryFile() as file:
            file.write(script.encode())
            file.seek(0)
            self._process = subprocess.Popen(
                command,
                stdin=file,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        assert self._process.stdout and self._process.stderr
        self._output: IO[bytes] = self._process.stdout
        self._said = {self._output: bytearray(), self._process.stderr: bytearray()}
        self._open = set(self._said)

    def watch(self, selector: selectors.BaseSelector) -> None:
        for stream in self._said:
            selector.register(stream, selectors.EVENT_READ, self)

    def read(self, stream: Any, selector: selectors.BaseSelector) -> None:
        """Takes what a stream has to say; of errors the last tell most."""
        piece = os.read(stream.fileno(), 65536)
        said = self._said[stream]
        said += piece
        if not piece:
            selector.unregister(stream)
            self._open.discard(stream)
        elif stream is not self._output:
            del said[:-LONGEST_ERROR]
        elif len(said) > self._longest:
            self._cut = f"ended because it said more than {self._longest} bytes"

    def over(self) -> bool:
        """Whether it has ended, or must; what it has started may hold its errors open longer."""
        if self._output not in self._open and self._process.poll() is not None:
            return True
        if not self._cut and time.monotonic() > self._deadline:
            self._cut = "ended because its time was over"
        return bool(self._cut)

    def end(self, selector: selectors.BaseSelector) -> Ended:
        """Ends it and its group, whatever state they are in."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        for stream in [*self._open]:  # what is there still to be read
            os.set_blocking(stream.fileno(), False)
            with suppress(BlockingIOError):
                self.read(stream, selector)
        for stream in self._open:
            selector.unregister(stream)
        output, errors = (bytes(said).decode(errors="replace") for said in self._said.values())
        with self._process:  # closes the streams, and waits
            pass
        return Ended(self._process.returncode, output[: self._longest], errors, self._cut)

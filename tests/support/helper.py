"""Drivers in processes of their own, which answer one question at a time.

They fork, which a process with threads, as pytest's may be, must not.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import rehearsal
from tests import PROJECT
from tests.support.notebook_runs import prepare, turn_to


class Helper:
    """A driver, started with the first question, which ends with this process at the latest."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._process: subprocess.Popen[str] | None = None

    def ask(self, **question: Any) -> Any:
        """The answer of the driver; if it ended at an earlier question, another is started."""
        if not self._process:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module],
                cwd=PROJECT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C is for this process, which then ends the driver
            )
        assert self._process.stdin and self._process.stdout
        with suppress(BrokenPipeError):
            print(json.dumps(question), file=self._process.stdin, flush=True)
        if answer := self._process.stdout.readline():
            return json.loads(answer)
        raise AssertionError(f"{self._module} ended with {self.close()}: see its standard error")

    def close(self) -> int:
        """Ends the driver with its account, and returns its exit code."""
        process, self._process = self._process, None
        if not process:
            return 0
        with suppress(BrokenPipeError), process:  # closes its pipes, and waits for it
            pass
        return process.returncode

    def __enter__(self) -> Helper:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self.close() == 0


def serve(begin: Callable[[rehearsal.Account, Path], Callable[..., Any]]) -> None:
    """Answers each line of the standard input, as `Helper` writes it, until the input ends."""
    prepare()
    with rehearsal.start() as account, tempfile.TemporaryDirectory() as folder:
        turn_to(account)
        answer = begin(account, Path(folder))
        for line in sys.stdin:
            print(json.dumps(answer(**json.loads(line))), flush=True)

"""Runs notebooks in the process of the tests, where a kernel is not what is tested.

A kernel takes seconds to start and to import what this process has imported already. papermill does
all else as ever: it sets the parameters, keeps outputs and times, and ends at the first error.
"""

from __future__ import annotations

import atexit
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from io import StringIO
from types import ModuleType
from typing import Any

import nbformat
import pandas
import papermill.engines
import pytest
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import rehearsal
from private_s3 import probes
from private_s3.evidence.report import browser

MODULE = "__notebook__"


class _Results(DisplayHook):
    """Keeps the value that a cell ends with."""

    def write_output_prompt(self) -> None:
        pass

    def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
        self.shell.keep("execute_result", format_dict, md_dict, self.prompt_count)

    def finish_displayhook(self) -> None:
        pass


class _Displays(DisplayPublisher):
    """Keeps what a cell displays."""

    def publish(self, data: Any, metadata: Any = None, **_: Any) -> None:
        self.shell.keep("display_data", data, metadata)


class _ZmqShell(InteractiveShell):
    """What a kernel runs cells with; keeps the outputs of a cell instead of sending them.

    pandas tells a notebook from a terminal by the "zmq" in its name.
    """

    displayhook_class = _Results
    display_pub_class = _Displays

    def keep(self, kind: str, data: Any, metadata: Any, count: int | None = None) -> None:
        counted = {} if count is None else {"execution_count": count}
        output = nbformat.v4.new_output(kind, data, metadata=metadata or {}, **counted)
        self.kept.append(output)

    def _showtraceback(self, etype: Any, evalue: Any, stb: list[str]) -> None:
        told = {"ename": etype.__name__, "evalue": str(evalue), "traceback": stb}
        self.kept.append(nbformat.v4.new_output("error", **told))

    def run(self, cell: Any) -> bool:
        """Runs a code cell, puts its outputs into it, and says whether it came to its end."""
        self.kept: list[Any] = []
        printed = {"stdout": StringIO(), "stderr": StringIO()}
        cell.execution_count = self.execution_count
        with redirect_stdout(printed["stdout"]), redirect_stderr(printed["stderr"]):
            done = self.run_cell(cell.source, store_history=True)
        texts = {name: file.getvalue() for name, file in printed.items()}
        streams = [
            nbformat.v4.new_output("stream", name=name, text=text)
            for name, text in texts.items()
            if text
        ]
        cell.outputs = [*streams, *self.kept]
        return bool(done.success)


@contextmanager
def shell() -> Iterator[_ZmqShell]:
    """What runs the cells of one notebook, and knows nothing of another."""
    config = Config({"HistoryManager": {"enabled": False}})
    started = _ZmqShell.instance(config=config, user_module=ModuleType(MODULE))
    try:
        with pandas.option_context("display.max_columns", 20):  # as pandas has it in a kernel
            yield started
    finally:
        _ZmqShell.clear_instance()
        atexit.unregister(started.atexit_operations)
        started.atexit_operations()
        del sys.modules[MODULE]


class Engine(papermill.engines.Engine):
    """Runs the cells of a notebook for papermill, up to the first that fails."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **_: Any) -> None:
        with shell() as started:
            for cell in nb_man.nb.cells:
                if cell.cell_type == "code" and not started.run(cell):
                    nb_man.cell_exception(cell)
                    return


@contextmanager
def without_kernels() -> Iterator[None]:
    """Meanwhile papermill runs notebooks in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(papermill.engines.papermill_engines._engines, None, Engine)
        yield


@pytest.fixture
def in_process() -> Iterator[None]:
    """papermill runs notebooks in this process."""
    with without_kernels():
        yield


@pytest.fixture
def impatient(in_process: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, and instances wait one second for a connection, not three."""
    script = probes.script

    def shorter(**values: Any) -> str:
        text, count = re.subn("connect-timeout 3", "connect-timeout 1", script(**values))
        assert count == 2
        return text

    monkeypatch.setattr(probes, "script", shorter)


@pytest.fixture
def started(account: rehearsal.Account, monkeypatch: pytest.MonkeyPatch) -> rehearsal.Account:
    """Whoever starts a rehearsal account gets this one, as it is at its start."""
    monkeypatch.setattr(rehearsal, "start", lambda mode: nullcontext(account))
    return account


@pytest.fixture
def unprinted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports are not printed, which takes a browser seconds."""
    monkeypatch.setattr(browser, "find", lambda: None)

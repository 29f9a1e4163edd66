"""Shows a person at JupyterLab what a long wait is for, and writes nothing where nobody watches."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from html import escape
from typing import Any

from private_s3.clean import clean

# Shows how a wait stands, with a note if there is one; to be called between polls.
Tick = Callable[..., None]
# Seconds: who waits no longer need not be told.
AFTER = 2.0


@dataclass(eq=False)
class _Wait:
    what: str
    limit: float
    since: float
    note: str = ""
    ticked: bool = False

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.since

    @property
    def long(self) -> bool:
        return self.ticked and self.seconds >= AFTER

    def text(self) -> str:
        limit = f" of at most {self.limit:.0f} s" if self.seconds <= self.limit else ""
        note = f"; {self.note}" if self.note else ""
        return clean(f"Waiting for {self.what}: {self.seconds:.0f} s{limit}{note}")

    def html(self) -> str:
        # Without a value it moves to and fro.
        done = f' value="{min(self.seconds, self.limit):.0f}" max="{self.limit:.0f}"'
        return f"<div><progress{done if self.limit else ''}></progress> {escape(self.text())}</div>"


# Each is part of the one before; all are shown in one place, until the first of them is over.
_waits: list[_Wait] = []
_place: Any = None


@contextmanager
def waiting(what: str, limit: float = 0) -> Iterator[Tick]:
    """A function that shows how long this lasts of `limit` s; a line says so once it is over."""
    wait = _Wait(what, limit, time.monotonic())

    def tick(note: str = "") -> None:
        wait.note, wait.ticked = note, True
        _show()

    _waits.append(wait)
    try:
        yield tick
    finally:
        _waits.remove(wait)
        _show(over=wait)


def _show(over: _Wait | None = None) -> None:
    """Brings what is shown up to date; what cannot be shown must not end the wait."""
    global _place
    place = _place
    if not _waits:
        _place = None
    with suppress(Exception):
        if shown := [wait for wait in _waits if wait.long]:
            if place or _watched():
                _place = _put(place, [one.text() for one in shown], [one.html() for one in shown])
        elif place and over and over.long:
            _put(place, [clean(f"Waited {over.seconds:.0f} s for {over.what}.")])


def _put(place: Any, lines: list[str], html: list[str] | None = None) -> Any:
    """Where it is shown: in this place, or in a new one."""
    data = {"text/plain": "\n".join(lines)} | ({"text/html": "".join(html)} if html else {})
    if place:
        place.update(data, raw=True)
        return place
    from IPython.display import display

    return display(data, raw=True, display_id=True)  # type: ignore[no-untyped-call]


def _watched() -> bool:
    """Whether a person at JupyterLab runs this, and no program.

    Programs that such a kernel starts inherit its environment, but their kernels may ask nobody.
    """
    if not os.environ.get("JPY_SESSION_NAME"):
        return False
    from IPython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    return bool(getattr(kernel, "_allow_stdin", False))

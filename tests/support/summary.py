"""The end of a test run: what was skipped and sampled, and the time beside its budget."""

from __future__ import annotations

import hashlib
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from tests import PROJECT
from tests.support.sampling import COUNTS

# | `tests/unit` | what is there | 1.5 |
BUDGET = re.compile(r"^\| `(tests/\w+)` \|.*\| ([\d.]+) \|$", re.MULTILINE)
SAMPLED = "sampled"


class Summary:
    """Listens to the reports of a run, also to those that come from workers."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._skipped: Counter[str] = Counter()
        self._sampled: dict[str, tuple[int, int]] = {}
        self._reference = reference_seconds()
        self._started = time.monotonic()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Adds up the time of each folder, and why tests were skipped."""
        self._seconds["/".join(report.nodeid.split("/")[:2])] += report.duration
        if report.skipped and isinstance(report.longrepr, tuple):
            self._skipped[report.longrepr[2].removeprefix("Skipped: ")] += 1

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Takes what a worker says of its samples."""
        self._sampled.update(getattr(node, "workeroutput", {}).get(SAMPLED, {}))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Prints it."""
        self._sampled.update(self._config.stash.get(COUNTS, {}))
        for title, lines in (
            ("skipped", self._of_skips()),
            ("enumerations", self._of_samples()),
            ("time", self._of_time()),
        ):
            if said := [*lines]:
                terminalreporter.section(title)
                terminalreporter.write("\n".join([*said, ""]))

    def _of_skips(self) -> Iterator[str]:
        for reason, count in sorted(self._skipped.items()):
            yield f"{count} {'test' if count == 1 else 'tests'} skipped: {reason}"

    def _of_samples(self) -> Iterator[str]:
        for name, (count, total) in sorted(self._sampled.items()):
            yield f"{name:<24} {count:>6} of {total:>6} cases"

    def _of_time(self) -> Iterator[str]:
        """The time of the tests by folder, beside what CONTRIBUTING.md gives it."""
        budgets = dict(BUDGET.findall((PROJECT / "CONTRIBUTING.md").read_text("utf-8")))
        for folder, seconds in sorted(self._seconds.items()):
            given = f" of {float(budgets[folder]):4.1f}" if folder in budgets else ""
            yield f"{folder:<24} {seconds / 60:5.1f}{given} minutes of one worker"
        wall = time.monotonic() - self._started
        piece = self._reference
        times = f"{wall / piece:,.0f}"
        yield f"{wall:.0f} s in all, {times} times a fixed piece of work ({piece:.2f} s)"


def reference_seconds() -> float:
    """How long a fixed piece of work takes on this machine now: the best of three."""

    def once() -> float:
        begun, text = time.perf_counter(), b""
        for _ in range(200_000):
            text = hashlib.sha256(text).digest()
        return time.perf_counter() - begun

    return min(once() for _ in range(3))

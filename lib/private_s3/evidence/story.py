"""Reads what a change folder tells, whoever wrote it and whether or not it can be trusted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from private_s3 import approval
from private_s3.errors import BadInput, PlanChanged
from private_s3.journal import Line
from private_s3.plan import Plan

PASSES = ("plan", "apply")


@dataclass(frozen=True)
class Run:
    """One step, as it was run last in one of the two passes.

    `facts` is what it found: `run` (started, ended, account, caller, region, versions,
    parameters), `checks`, perhaps `error` (kind, lines), and what else the step keeps.
    `notebook` is the executed notebook, None if it was run elsewhere.
    """

    pass_name: str
    step: str
    facts: dict[str, Any]
    notebook: Path | None

    @property
    def started(self) -> str:
        """When it began, in UTC; empty if that was not kept."""
        return str(self.about.get("started", ""))

    @property
    def about(self) -> dict[str, Any]:
        """Who ran it, where, when and with what."""
        found: dict[str, Any] = self.facts.get("run", {})
        return found

    @property
    def failed(self) -> bool:
        """Whether it ended with an error, or with a check that did not hold."""
        states = [check["state"] for check in self.facts.get("checks", ())]
        return "error" in self.facts or "FAIL" in states


def notebooks(folder: Path, pass_name: str, step: str = "") -> list[Path]:
    """The notebooks of a pass in a change folder, or of one step, the oldest of each first."""
    paths = (folder / pass_name).glob("*.ipynb")
    return sorted((path for path in paths if step in ("", named(path)[0])), key=named)


def named(notebook: Path) -> tuple[str, int]:
    """Which step a notebook is of, and which of its copies it is."""
    found = re.fullmatch(r"(.+?)(?:-(\d+))?", notebook.stem)
    assert found
    return found[1], int(found[2] or 1)


class Story:
    """A change folder, read but not trusted; what cannot be read of it is left out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not folder.is_dir() or not any(folder.iterdir()):
            raise BadInput(
                f"Could not read the change folder {folder}.",
                "It is empty." if folder.is_dir() else "There is no such folder.",
                "give the folder of one change, such as changes/CHANGE_ID",
            )

    @property
    def change_id(self) -> str:
        return self.folder.name

    @cached_property
    def lines(self) -> list[Line]:
        """The lines of the journal that can be read."""
        path = self.folder / "journal.jsonl"
        texts = path.read_bytes().split(b"\n") if path.is_file() else []
        return [line for line in map(_parsed, texts) if _is_line(line)]

    @cached_property
    def runs(self) -> list[Run]:
        """Every step in every pass, in the order in which they were begun."""
        found = []
        for pass_name in PASSES:
            for path in sorted((self.folder / "facts" / pass_name).glob("*.json")):
                if facts := _facts(path):
                    notebooks = self.notebooks(pass_name, path.stem)
                    last = notebooks[-1] if notebooks else None
                    found.append(Run(pass_name, path.stem, facts, last))
        return sorted(found, key=lambda run: run.started)

    def run(self, pass_name: str, step: str) -> Run | None:
        """One step in one pass, if it was run."""
        found = (r for r in self.runs if (r.pass_name, r.step) == (pass_name, step))
        return next(found, None)

    def notebooks(self, pass_name: str, step: str = "") -> list[Path]:
        """The executed notebooks of a pass, or of one step in it, the oldest of each first."""
        return notebooks(self.folder, pass_name, step)

    @cached_property
    def plans(self) -> dict[str, tuple[Plan, dict[str, Any]]]:
        """Every plan that was shown and can be trusted, and what its maker saw, by digest."""
        return dict(self._plans())

    def _plans(self) -> Iterator[tuple[str, tuple[Plan, dict[str, Any]]]]:
        for path in sorted((self.folder / approval.PLANS).glob("*.json")):
            try:
                yield path.stem, approval.kept(self.folder, path.stem)
            except PlanChanged:
                continue

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters of the run that began last."""
        abouts = (run.about for run in reversed(self.runs))
        return next((about["parameters"] for about in abouts if "parameters" in about), {})

    @property
    def failures(self) -> list[Run]:
        """The runs that failed and were not run again since, the last one first."""
        return [run for run in reversed(self.runs) if run.failed]

    @property
    def state(self) -> str:
        """planned, approved, begun, applied, undo begun or undone, as the journal's end says."""
        told = [line for line in self.lines if line["event"] in ("planned", "approved", "complete")]
        touched = [line for line in self.lines if line.get("changes") or _completes(line)]
        if not touched:
            return "approved" if told and told[-1]["event"] == "approved" else "planned"
        plan = self.plans.get(touched[-1]["plan"])
        undo = plan is not None and plan[0].undo
        if _completes(touched[-1]):
            return "undone" if undo else "applied"
        return "undo begun" if undo else "begun"


def _is_line(line: Any) -> bool:
    return isinstance(line, dict) and all(isinstance(line.get(k), str) for k in ("event", "time"))


def _facts(path: Path) -> dict[str, Any]:
    """The facts of a step, without what has not the form that a step writes."""
    facts = _parsed(path.read_bytes())
    if not isinstance(facts, dict):
        return {}
    run, checks = facts.get("run"), facts.get("checks")
    whole = [check for check in checks if _is_check(check)] if isinstance(checks, list) else []
    return {**facts, "run": run if isinstance(run, dict) else {}, "checks": whole}


def _is_check(check: Any) -> bool:
    return isinstance(check, dict) and {"name", "state"} <= check.keys()


def _completes(line: Line) -> bool:
    return bool(line["event"] == "complete")


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None

"""The example of a whole change, applied and sealed, that lies beside the runbooks."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import nbformat
from click.testing import CliRunner

from private_s3 import cli
from private_s3.evidence.report import browser
from private_s3.evidence.story import PASSES
from private_s3.journal import Journal
from tests import PROJECT

EXAMPLE = PROJECT / "runbooks/example/rehearsal"
TIME = re.compile(r"20\d\d-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(\+00:00|Z)?( UTC)?")


def write(changes_dir: Path) -> None:
    """Plans, approves and applies in the emulated account that the environment points at."""
    changes_dir.mkdir(parents=True, exist_ok=True)
    digest = changes_dir / "digest"
    given = ("-f", "params/rehearsal.yaml", "-p", f"changes_dir={changes_dir}")
    # Without the print: it takes more room than all else, and says the same as the report.
    with mock.patch.object(browser, "find", return_value=None):
        _run("plan", *given, "--digest-to", str(digest))
        plan = digest.read_text().strip()
        digest.unlink()
        _run("approve", plan, "--by", "approver@example.com", *given)
        _run("apply", plan, *given)


def _run(*arguments: str) -> None:
    done = CliRunner().invoke(cli.main, arguments)
    assert done.exit_code == 0, done.output


def told(folder: Path) -> dict[str, Any]:
    """What a change folder tells that is the same in each run.

    That is all but times, how long something took, how often it was asked meanwhile, with which
    words a program gave up waiting, what AWS and the runbook draw at random (ids of requests and
    tokens), and the versions of packages.
    """
    found: dict[str, Any] = {}
    for pass_name in PASSES:
        for path in sorted((folder / "facts" / pass_name).glob("*.json")):
            found[path.relative_to(folder).as_posix()] = _facts(json.loads(path.read_text()))
        for path in sorted((folder / pass_name).glob("*.ipynb")):
            found[path.relative_to(folder).as_posix()] = list(_outputs(path))
    for path in sorted((folder / "plans").glob("*.json")):
        found[path.relative_to(folder).as_posix()] = json.loads(path.read_text())
    found["journal"] = [_line(line) for line in Journal(folder).lines()]
    return found


def _facts(facts: dict[str, Any]) -> Any:
    run = {name: facts["run"][name] for name in ("account", "caller", "region", "parameters")}
    for observation in facts.get("observations", ()):
        del observation["seconds"]
        if observation["outcome"] == "timeout":
            del observation["text"]  # curl has several sentences for it
    facts["aws_calls"] = [*facts["aws_calls"]]
    facts.pop("asked", None)
    return _timeless({**facts, "run": {**run, "parameters": _same(run["parameters"])}})


def _same(parameters: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if name != "changes_dir"}


def _outputs(path: Path) -> Any:
    """The texts that a notebook shows, cell by cell."""
    kinds = ("text/html", "text/markdown", "text/plain")
    for cell in nbformat.read(path, as_version=4).cells:
        printed, *others = joined(cell.get("outputs", []))
        shown = [{"text/plain": printed}] if printed else []
        for data in [*shown, *(one.data for one in others)]:
            yield cell.id, [_timeless(data[kind]) for kind in kinds if kind in data]


def joined(shown: list[Any]) -> list[Any]:
    """The outputs of a cell, its printed text in one: in how many it comes is a matter of speed."""
    printed = "".join(one.text for one in shown if one.output_type == "stream")
    return [printed, *(one for one in shown if one.output_type != "stream")]


def _line(line: dict[str, Any]) -> Any:
    dropped = ("previous", "request_id", "time", "left")
    line.get("request", {}).pop("ClientToken", None)
    return _timeless({name: value for name, value in line.items() if name not in dropped})


def _timeless(value: Any) -> Any:
    """The value without times, which are another in each run."""
    if isinstance(value, str):
        return re.sub(r"after \d+ ms", "after MS", TIME.sub("TIME", value))
    if isinstance(value, list | tuple):
        return [_timeless(one) for one in value]
    if isinstance(value, dict):
        return {name: _timeless(one) for name, one in value.items()}
    return value


def refresh() -> bool:
    """Writes the example anew if a run of today tells something else; whether it did."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "kept"
        if EXAMPLE.is_dir():
            shutil.move(EXAMPLE, kept)
        write(EXAMPLE.parent.relative_to(PROJECT))
        if not kept.is_dir() or told(kept) != told(EXAMPLE):
            return True
        shutil.rmtree(EXAMPLE)
        shutil.move(kept, EXAMPLE)
        return False

"""Step 50 by each of its ways onto the instances: asked by the library, and read from its facts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import rehearsal
from private_s3 import aws, change
from private_s3.folder import change_folder, facts_path
from private_s3.instance import Answers
from private_s3.record import Record
from tests.support.asking import NO_SSHD, run
from tests.support.notebook_runs import CHECK
from tests.support.world import World


def by(world: World, way: str) -> dict[str, Any]:
    """The parameters for a way; skips where this machine has none by ssh."""
    if way != "ssh":
        return {"check_by": way}
    try:
        return {"check_by": way, "ssh_config": world.account.ssh_config}
    except rehearsal.StartError:
        pytest.skip(NO_SSHD)


def facts(world: World, digest: str = "", step: str = CHECK) -> Any:
    path = facts_path(world.parameters(approved_plan=digest), step)
    return json.loads(path.read_text())


def states(world: World, digest: str = "", step: str = CHECK) -> dict[str, tuple[str, str]]:
    checks = facts(world, digest, step)["checks"]
    return {check["name"]: (check["state"], check["detail"]) for check in checks}


def folder(world: World, pass_name: str) -> Path:
    """Where the script of this pass lies that is to be run by hand; the newest."""
    found = (change_folder(world.parameters()) / "by_hand" / pass_name).iterdir()
    return max(found, key=lambda path: path.stat().st_mtime_ns)


def answer(world: World, pass_name: str, *names: str) -> None:
    """Does what a person does who is asked: runs the script there, and keeps what it prints."""
    where = folder(world, pass_name)
    script = (where / "check.sh").read_text()
    for name in names:
        printed = run(world.account, script, name)["StandardOutputContent"]
        (where / f"{world.id(name)}.jsonl").write_text(printed)


def ask(world: World, digest: str = "") -> Answers:
    """What the step gets from the instances, by the library."""
    parameters = world.parameters(approved_plan=digest)
    bound = aws.connect(parameters)
    reading = change.read(bound, parameters)
    planned = change.planned(bound, Record(parameters, CHECK), reading)
    answers, _ = planned.observe()
    return answers

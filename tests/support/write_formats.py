"""Writes change folders in their present format, for later versions of the project to read.

`python -m tests.support.write_formats VERSION` runs real changes in a rehearsal account and keeps
each folder under `tests/formats/VERSION`; it takes some minutes, and never overwrites a version.
Run it in a clean checkout: the folders record the commit.
`python -m tests.support.write_formats --words` only updates what `status` says of them today.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
from click.testing import CliRunner
from nbclient.exceptions import CellExecutionError

import rehearsal
from private_s3 import cli
from private_s3.evidence import manifest
from private_s3.evidence.report import browser
from private_s3.folder import change_folder
from private_s3.journal import Journal
from private_s3.parameters import Parameters
from tests import PROJECT
from tests.support import asking, by_hand
from tests.support.formats import (
    CURRENT,
    FORMATS,
    SCENARIO,
    START,
    Kept,
    holds,
    json_text,
    kept,
    start_of,
    status_of,
    verify_result,
)
from tests.support.notebook_runs import CHECK, ENDPOINT, POLICY
from tests.support.sealed import make_key, vouch

SIGNER, APPROVER = "keeper@example.com", "approver@example.com"
FILE = PROJECT / "params/rehearsal.yaml"
# What changes an account; each has its request in the journal.
WRITES = ("CreateVpcEndpoint", "PutBucketPolicy", "DeleteVpcEndpoints")
SERVICES = {"CreateVpcEndpoint": "ec2", "PutBucketPolicy": "s3", "DeleteVpcEndpoints": "ec2"}
# Notebooks without a picture, and with few: pictures make up most of an archive.
PLANNING, APPLYING = (ENDPOINT, CHECK), (ENDPOINT, POLICY, CHECK)


@dataclass
class Change:
    """One change, run by the command line in a folder within the project."""

    account: rehearsal.Account
    kept: Kept
    values: dict[str, Any] = field(default_factory=dict)
    options: tuple[str, ...] = ()

    @property
    def changes(self) -> Path:
        """Relative to the project, since the change folder keeps this path."""
        return Path("changes", f"formats-{self.kept.state}")

    def parameters(self, **values: Any) -> Parameters:
        given = {"changes_dir": self.changes.as_posix(), "check_also": [], **self.values}
        return Parameters.load(FILE, {**given, **values})

    @property
    def folder(self) -> Path:
        return change_folder(self.parameters())

    def command(self, *command: str) -> list[str]:
        """A command with the parameters of this change."""
        given = {"check_also": [], **self.values, "changes_dir": self.changes.as_posix()}
        texts = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in given.items()
        }
        options = [word for name, text in texts.items() for word in ("-p", f"{name}={text}")]
        return [*command, "-f", FILE.relative_to(PROJECT).as_posix(), *options, *self.options]

    def run(self, *command: str) -> None:
        """Runs a command of the command line with the parameters of this change."""
        _run(*self.command(*command))

    def plan(self, command: str = "plan", *options: str) -> str:
        """Plans a change or its undo, and returns the digest."""
        with tempfile.TemporaryDirectory() as scratch:
            digest = Path(scratch, "digest")
            self.run(command, "--digest-to", str(digest), *options)
            return digest.read_text().strip()

    def approve(self, digest: str) -> None:
        self.run("approve", digest, "--by", APPROVER)


def planned(change: Change) -> None:
    change.plan("plan", *_only(change, PLANNING))


def approved(change: Change) -> None:
    change.values["approval_valid_hours"] = 8
    change.approve(change.plan("plan", *_only(change, PLANNING)))


def half_applied(change: Change) -> None:
    """Kills everything once the intent to put the bucket policy is in the journal."""
    digest = change.plan("plan", *_only(change, PLANNING))
    change.approve(digest)
    change.account.plant("PutBucketPolicy", do="drop", delay=600, who="operator")
    command = change.command("apply", digest, *_only(change, APPLYING))
    call = "import sys; from private_s3.cli import main; main(sys.argv[1:])"
    process = psutil.Popen([sys.executable, "-c", call, *command], cwd=PROJECT)
    while "PutBucketPolicy" not in (change.folder / "journal.jsonl").read_text():
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.1)
    for victim in [process, *process.children(recursive=True)]:
        victim.kill()
    process.wait()


def applied_and_sealed(change: Change) -> None:
    """All notebooks, with all pictures."""
    digest = change.plan()
    change.approve(digest)
    change.run("apply", digest)


def signed(change: Change) -> None:
    """The narrowest level; then also what an audit and CloudTrail add."""
    change.values |= {"restrict_to": "instance-origin", "check_also": ["neighbours", "break-glass"]}
    folder = change.folder.relative_to(PROJECT)
    with tempfile.TemporaryDirectory() as scratch:
        key = make_key(Path(scratch, "key"))
        vouch(change.kept.allowed_signers, SIGNER, key)
        change.options = ("--sign-with", str(key))
        digest = change.plan("plan", *_only(change, PLANNING))
        change.approve(digest)
        change.run("apply", digest, *_only(change, APPLYING))
        change.run("audit")
        _run("corroborate", str(folder), "--logs", "s3://rehearsal-trail", *change.options)


def undone(change: Change) -> None:
    """Nobody is recorded to have approved the change; somebody has approved its undo."""
    change.values["restrict_to"] = "role"
    change.run("apply", change.plan("plan", *_only(change, PLANNING)), *_only(change, APPLYING))
    digest = change.plan("undo")
    change.approve(digest)
    change.run("undo", digest)


def by_hand_in_jupyterlab(change: Change) -> None:
    """Copies of the notebooks, cell by cell; a person runs the script of step 50."""
    change.values["check_by"] = "manual"
    plan_pass = change.parameters()
    by_hand.run(plan_pass, PLANNING)
    _answer(change)
    by_hand.run(plan_pass, [CHECK])
    (plan,) = (change.folder / "plans").iterdir()
    apply_pass = change.parameters(approved_plan=plan.stem)
    by_hand.run(apply_pass, [ENDPOINT, POLICY])
    try:
        by_hand.run(apply_pass, [CHECK])
    except CellExecutionError:  # nobody has answered yet
        _answer(change)
    by_hand.run(apply_pass, [CHECK])
    manifest.seal(change.folder)


STATES: dict[str, Callable[[Change], None]] = {
    "planned": planned,
    "approved": approved,
    "half-applied": half_applied,
    "applied-and-sealed": applied_and_sealed,
    "signed": signed,
    "undone": undone,
    "by-hand": by_hand_in_jupyterlab,
}


def write(version: str, states: list[str]) -> None:
    """Writes the states of a version; refuses to overwrite one."""
    top = FORMATS / version
    if existing := [state for state in states if Kept(version, state).archive.exists()]:
        sys.exit(f"Could not write {', '.join(existing)}: a format that was kept never changes.")
    top.mkdir(parents=True, exist_ok=True)
    os.chdir(PROJECT)
    os.environ.pop("AWS_PROFILE", None)
    # Without the print, which is large and says the same as the report.
    with (
        mock.patch.object(browser, "find", return_value=None),
        rehearsal.start() as account,
    ):
        os.environ.update(account.environment())
        shutil.copy(CURRENT, top / SCENARIO)
        (top / START).write_text(json_text(start_of(account)), encoding="utf-8")
        for state in states:
            account.reset()
            change = Change(account, Kept(version, state))
            STATES[state](change)
            _keep(change)
            shutil.rmtree(PROJECT / change.changes)
            print(state, change.kept.archive.stat().st_size, flush=True)


def _keep(change: Change) -> None:
    """Keeps a change folder, and what is known of it."""
    kept = change.kept
    given = change.parameters().model_dump(exclude={"changes_dir", "approved_plan"})
    about = {
        "parameters": given,
        "calls": _calls(change),
        "account": holds(change.account),
        "status": status_of(change.parameters()),
        "verify": verify_result(change.folder, kept.allowed_signers),
    }
    with tarfile.open(kept.archive, "x:xz") as archive:
        archive.add(change.folder, change.folder.name, filter=_nobody)
    kept.about.write_text(json_text(about), encoding="utf-8")


def _calls(change: Change) -> list[dict[str, Any]]:
    """The calls that have changed the account, as it has recorded them, with their requests."""
    done = [
        (call["operation"], call["who"])
        for call in change.account.calls()
        if call["write"] and call["operation"] in WRITES and call["status"] in (200, 204)
    ]
    requests = {
        name: [
            line["request"]
            for line in Journal(change.folder).lines()
            if line["event"] == "intent" and line["operation"] == name
        ]
        for name in WRITES
    }
    return [
        {
            "service": SERVICES[name],
            "operation": name,
            "who": who,
            "parameters": requests[name].pop(0),
        }
        for name, who in done
    ]


def _nobody(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """An entry without its owner."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _only(change: Change, steps: tuple[str, ...]) -> tuple[str, ...]:
    """The option for a runbook of these steps, which lies beside the change folder."""
    path = PROJECT / change.changes / "runbook.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"title": "Some of the steps", "notebooks": steps}))
    return "--runbook", path.relative_to(PROJECT).as_posix()


def _answer(change: Change) -> None:
    """Does what a person does who is asked: runs the script, and keeps what it prints."""
    scripts = (change.folder / "by_hand").glob("*/*/check.sh")
    script = max(scripts, key=lambda path: path.stat().st_mtime_ns)
    answer = asking.run(change.account, script.read_text(), "app-1")["StandardOutputContent"]
    (script.parent / f"{change.account.ids['app-1']}.jsonl").write_text(answer)


def _run(*arguments: str) -> None:
    done = CliRunner().invoke(cli.main, arguments)
    assert done.exit_code == 0, done.output


def update_words() -> None:
    """Writes what `status` says today of every folder, and nothing else; look at the diff."""
    for one in kept():
        with tempfile.TemporaryDirectory() as folder:
            changes = Path(folder)
            one.unpack(changes)
            about = {**one.then, "status": status_of(one.parameters(changes))}
        one.about.write_text(json_text(about), encoding="utf-8")


def main(arguments: list[str]) -> None:
    match arguments:
        case ["--words"]:
            update_words()
        case [version, *states] if not version.startswith("-"):
            write(version, states or [*STATES])
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])

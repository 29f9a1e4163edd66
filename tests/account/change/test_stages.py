"""A change in stages that share nothing but the change folder: plan, approve, apply, undo."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from private_s3.cli import main
from tests.support.notebook_runs import ENDPOINT, POLICY
from tests.support.world import World, expect

FILE = "params/rehearsal.yaml"
pytestmark = pytest.mark.usefixtures("impatient", "unprinted")


class Stages:
    """The command line, each time on another copy of the change folder, as on other machines."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._number = folder, 0

    @property
    def changes(self) -> Path:
        return self._folder / f"machine-{self._number}"

    def run(self, *command: str) -> Result:
        before = self.changes
        self._number += 1
        if before.exists():
            shutil.copytree(before, self.changes)
            shutil.rmtree(before)
        options = ["-f", FILE, "-p", f"changes_dir={self.changes}"]
        quick = ["-p", "check_also=[break-glass]", "-p", "settle_seconds=0"]
        return CliRunner().invoke(main, [*command, *options, *quick])

    def digest(self, *command: str) -> str:
        """Plans, and gives the digest that the stage hands on."""
        path = self._folder / "digest"
        done = self.run(*command, "--digest-to", str(path))
        assert done.exit_code == 0, done.output
        digest = path.read_text().strip()
        assert f"approved_plan={digest}" in done.output
        return digest

    def status(self) -> str:
        done = self.run("status")
        assert done.exit_code == 0, done.output
        return done.output


def test_a_change_travels_from_plan_to_undo(world: World, tmp_path: Path) -> None:
    stages, hours = Stages(tmp_path), ("-p", "approval_valid_hours=8")
    assert "Nothing was planned yet." in stages.status()

    digest = stages.digest("plan")
    assert "nobody is recorded to have approved it" in stages.status()
    expect(stages.run("apply", digest, *hours), 3, "Nobody is recorded to have approved it")
    assert world.writes() == ["SendCommand"]  # of the plan pass

    expect(stages.run("approve", "0123456789ab", "--by", "Ann"), 3, "No such plan was shown")
    expect(stages.run("approve", digest, "--by", "An\x1bn"), 2, "is no name")
    done = stages.run("approve", digest, "--by", "ann@example.com", "--ticket", "CHANGE-7")
    assert done.exit_code == 0, done.output
    said = stages.status()
    assert re.search(rf"approved +plan {digest} by ann@example.com, ticket CHANGE-7", said)
    assert f"Next: private-s3 apply {digest} -f {FILE} -p changes_dir=" in said

    done = stages.run("apply", digest, *hours)
    assert done.exit_code == 0, done.output
    assert f"Plan {digest} was applied, and found in place" in stages.status()
    assert stages.run("audit").exit_code == 0

    undo = stages.digest("undo")
    expect(stages.run("apply", undo), 3, "It is a plan to undo")
    expect(stages.run("undo", undo, *hours), 3, "Nobody is recorded to have approved it")
    assert stages.run("approve", undo, "--by", "ann@example.com").exit_code == 0
    done = stages.run("undo", undo, *hours)
    assert done.exit_code == 0, done.output
    assert "The change was undone" in stages.status()
    assert stages.digest("plan") == digest


def test_an_audit_names_what_drifted_and_what_to_do(world: World, tmp_path: Path) -> None:
    stages = Stages(tmp_path)
    here = replace(world, folder=stages.changes)
    digest = here.plan()
    for step in (ENDPOINT, POLICY):
        assert here.notebook(step, digest).error is None
    ec2 = world.client("ec2")
    by_tag = [{"Name": "tag:private-s3:change", "Values": ["rehearsal"]}]
    (made,) = ec2.describe_vpc_endpoints(Filters=by_tag)["VpcEndpoints"]
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made["VpcEndpointId"]])
    done = stages.run("audit")
    assert done.exit_code == 1
    assert re.search(rf"FAIL endpoint {made['VpcEndpointId']}.*\n +Next: plan again", done.output)
    # Everybody is shut out by a policy that names an endpoint that is gone: the undo opens it.
    assert stages.run("undo", stages.digest("undo")).exit_code == 0


@pytest.mark.parametrize("command", [("status",), ("audit",), ("undo",)])
def test_a_journal_that_was_altered_stops_every_command(
    world: World, tmp_path: Path, command: tuple[str, ...]
) -> None:
    world.apply()
    journal = world.folder / "rehearsal/journal.jsonl"
    *lines, _ = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines))
    before = world.writes()
    expect(world.cli(*command, "-f", FILE), 1, "lines are missing at the end")
    assert world.writes() == before

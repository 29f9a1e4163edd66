"""Step 50 by each of its ways onto the instances, in both passes and in a rehearsal."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

import rehearsal
from private_s3 import aws, status
from private_s3.cli import main
from private_s3.errors import CheckFailed
from private_s3.evidence import manifest
from private_s3.evidence.corroborate import corroborate
from private_s3.evidence.verify import ok, verify
from private_s3.folder import change_folder
from tests.support.notebook_runs import CHECK, UNDO, Operator
from tests.support.ways_in import answer, by, facts, states
from tests.support.world import World

pytestmark = pytest.mark.usefixtures("impatient", "unprinted")
WAYS = ("ssm", "ssh", "manual")
PLANNED = {"identity": "succeeded", "list": "timeout"}
APPLIED = {**PLANNED, "list": "succeeded", "write": "succeeded", "read": "succeeded"}
UNREACHED = dict.fromkeys(("internet", "other-region"), "timeout")


class Desk:
    """Where an operator runs the cells of the step, and of the undo, by one of the ways."""

    def __init__(self, world: World, way: str) -> None:
        values = {**world.values, **by(world, way), "check_also": ["break-glass"]}
        if way == "ssh":  # whose sessions run side by side
            values["check_also"] = ["neighbours", "break-glass"]
        self.world, self.way = World(world.account, world.folder, values), way
        self._operator = Operator(world.folder, values, probing=True)

    def run(self, step: str, digest: str = "") -> None:
        """Runs a step; by hand, somebody is asked first, and answers."""
        if self.way == "manual" and step == CHECK:
            self._be_asked(step, digest)
            answer(self.world, "apply" if digest else "plan", "app-1")
        self._operator.run(step, digest)

    def _be_asked(self, step: str, digest: str) -> None:
        if not digest:
            return self._operator.run(step)
        with pytest.raises(CheckFailed, match="not asked yet"):
            self._operator.run(step, digest)


@pytest.mark.parametrize("way", WAYS)
def test_each_way_sees_the_same_in_both_passes(world: World, way: str, quick: None) -> None:
    desk = Desk(world, way)
    world = desk.world
    desk.run(CHECK)
    seen = {probe: outcome for probe, (outcome, _) in world.observed().items()}
    assert seen == {**PLANNED, **UNREACHED}
    assert states(world)["predicted equals observed"][0] == "PASS"

    digest = world.apply()
    desk.run(CHECK, digest)
    seen = {probe: outcome for probe, (outcome, _) in world.observed(digest).items()}
    assert seen == {**APPLIED, "delete": "succeeded", **UNREACHED}
    told = states(world, digest)
    assert {state for state, _ in told.values()} == {"PASS"}
    marked = [detail for name, (_, detail) in told.items() if world.id("app-1") in name]
    assert len(marked) == 7
    assert all(("told by hand" in detail) is (way == "manual") for detail in marked)
    instances = {one["instance_id"] for one in facts(world, digest)["observations"]}
    assert len(instances) == (4 if way == "ssh" else 1)

    objects = world.client("s3", "break-glass").list_objects_v2(Bucket="rehearsal-private-data")
    assert not [one for one in objects["Contents"] if one["Key"].startswith(".private-s3")]
    assert world.writes().count("SendCommand") == (2 if way == "ssm" else 0)
    verifies(world)
    back(desk)
    verifies(world)
    assert world.account.errors() == []


def verifies(world: World) -> None:
    """The folder seals and verifies, status reads it, and CloudTrail contradicts nothing."""
    parameters = world.parameters()
    where = change_folder(parameters)
    manifest.seal(where)
    found = verify(where)
    assert ok(found), "\n".join(map(str, found))
    said = status.of(parameters)
    assert "failed" not in " ".join(said.sentences) and len(said.rows()) == len(said.lines)
    done = corroborate(where, aws.connect(parameters))
    assert done.contradictions == []
    assert {one["operation"] for one in done.writes} <= {
        *("CreateVpcEndpoint", "PutBucketPolicy", "DeleteVpcEndpoints", "SendCommand"),
        *("PutObject", "DeleteObject"),
    }
    management = [one for one in done.writes if "Object" not in one["operation"]]
    assert all(one["found"] and one["request_id"] for one in management)


def back(desk: Desk) -> None:
    """Takes the change back by its notebook, which asks the instances once more."""
    desk.run(UNDO)
    digest = facts(desk.world, step=UNDO)["plan"]
    desk.run(UNDO, digest)
    told = states(desk.world, digest, UNDO)
    assert told["nothing of this change is left"][0] == "PASS"
    assert told["predicted equals observed"][0] == "PASS"
    unasked = [name for name, (_, detail) in told.items() if "not asked yet" in detail]
    # By hand nobody was asked; that is no failure, and is not shown as a PASS.
    assert {told[name][0] for name in unasked} == ({"UNCERTAIN"} if desk.way == "manual" else set())


# -- the command line -----------------------------------------------------------------------------


def test_the_rehearsal_runs_by_ssh(started: rehearsal.Account, tmp_path: Path) -> None:
    by(World(started, tmp_path, {}), "ssh")
    given = ["check_by=ssh", "check_also=[break-glass]", f"changes_dir={tmp_path}"]
    options = [word for one in given for word in ("-p", one)]
    done = CliRunner().invoke(main, ["rehearse", *options])
    assert done.exit_code == 0, done.output
    journal = (tmp_path / "rehearsal/journal.jsonl").read_text()
    assert '"operation": "ssh"' in journal and "SendCommand" not in journal
    shown = CliRunner().invoke(main, ["verify", str(tmp_path / "rehearsal")])
    assert shown.exit_code == 0, shown.output


def test_the_rehearsal_by_ssh_says_so_where_there_is_none(
    started: rehearsal.Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = {"error": "Could not open a way by ssh.\nThere is no sshd.\nNext: install it"}
    real = rehearsal.Account._ask
    monkeypatch.setattr(
        rehearsal.Account,
        "_ask",
        lambda self, question, **asked: (
            answer if question == "ssh" else real(self, question, **asked)
        ),
    )
    given = ["-p", "check_by=ssh", "-p", f"changes_dir={tmp_path}"]
    done = CliRunner().invoke(main, ["rehearse", *given])
    assert done.exit_code == 1 and "There is no sshd.\nNext: install it" in done.output
    assert not (tmp_path / "rehearsal").exists()
    # Whoever brings a configuration needs no sshd here; a shell is opened without a way by ssh.
    shell = CliRunner().invoke(main, ["lab", "--", "sh", "-c", "test -z $REHEARSAL_SSH_CONFIG"])
    assert shell.exit_code == 0, shell.output


def test_a_shell_in_the_lab_knows_the_way_by_ssh(world: World, tmp_path: Path) -> None:
    by(world, "ssh")
    app = world.id("app-1")
    command = f'ssh -F "$REHEARSAL_SSH_CONFIG" -o BatchMode=yes {app} id -u >{tmp_path}/said'
    done = CliRunner().invoke(main, ["lab", "--", "sh", "-c", command])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "said").read_text() == "65534\n"


def test_nobody_is_there_in_a_rehearsal_to_answer_by_hand(
    started: rehearsal.Account, tmp_path: Path
) -> None:
    given = ["-p", "check_by=manual", "-p", f"changes_dir={tmp_path}"]
    done = CliRunner().invoke(main, ["rehearse", *given])
    assert done.exit_code == 2 and "private-s3 lab" in done.output
    assert not (tmp_path / "rehearsal").exists()

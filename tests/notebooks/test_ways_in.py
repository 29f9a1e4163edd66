"""Step 50 by each of its ways onto the instances: in both passes, and with all that goes wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import rehearsal
from private_s3 import aws, change, status
from private_s3.cli import main
from private_s3.errors import BadInput, CheckFailed, RunbookError
from private_s3.evidence import manifest
from private_s3.evidence.corroborate import corroborate
from private_s3.evidence.verify import ok, verify
from private_s3.folder import change_folder, facts_path
from private_s3.instance import Answers
from private_s3.record import Record
from private_s3.ways_in import ssh
from tests.support.asking import run
from tests.support.forging import edit
from tests.support.notebook_runs import CHECK, UNDO, Operator
from tests.support.processes import gone
from tests.support.world import World, enter

WAYS = ("ssm", "ssh", "manual")
LAST = f"sleep 4444.{os.getpid()}"  # as nobody else would
PLANNED = {"identity": "succeeded", "list": "timeout"}
APPLIED = {**PLANNED, "list": "succeeded", "write": "succeeded", "read": "succeeded"}
UNREACHED = dict.fromkeys(("internet", "other-region"), "timeout")


def by(world: World, way: str) -> dict[str, Any]:
    """The parameters for a way; skips where this machine has none by ssh."""
    if way != "ssh":
        return {"check_by": way}
    try:
        return {"check_by": way, "ssh_config": world.account.ssh_config}
    except rehearsal.StartError as error:
        pytest.skip(str(error).replace("\n", " "))


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


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reports take seconds; what stands in for them is a file as good as any other."""
    write = Path.write_text
    monkeypatch.setattr(manifest.report, "write", lambda top: write(top / "report.html", "<html>"))


# -- both passes ----------------------------------------------------------------------------------


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


# -- one account for all that fails ---------------------------------------------------------------


@pytest.fixture
def asking(
    shared: rehearsal.Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """The shared account, as it is at its start, and the operator who asks only app-1."""
    entered = enter(shared, tmp_path, monkeypatch)
    values = {**entered.values, "check_also": []}
    yield World(entered.account, entered.folder, values)


@pytest.fixture
def configured(asking: World, tmp_path: Path) -> Callable[..., World]:
    """The same with a configuration for ssh in which something is replaced."""
    original = Path(by(asking, "ssh")["ssh_config"])

    def configure(old: str = "", new: str = "", before: str = "") -> World:
        text = before + original.read_text().replace("DIR", str(original.parent))
        if old:
            old = old.replace("DIR", str(original.parent))
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "config").write_text(text)
        given = {"check_by": "ssh", "ssh_config": str(tmp_path / "config")}
        return World(asking.account, asking.folder, {**asking.values, **given})

    return configure


def ask(world: World, digest: str = "") -> Answers:
    """What the step gets from the instances, by the library."""
    parameters = world.parameters(approved_plan=digest)
    bound = aws.connect(parameters)
    reading = change.read(bound, parameters)
    planned = change.planned(bound, Record(parameters, CHECK), reading)
    answers, _ = planned.observe()
    return answers


def refused(world: World) -> RunbookError:
    """The error of an apply pass; the plan pass of the same takes it as not being able to ask."""
    (check,) = ask(world).checks()
    app = world.id("app-1")
    assert (check.name, check.state) == (f"{app} can be asked", "UNCERTAIN")
    with pytest.raises(CheckFailed) as caught:
        ask(world, world.plan())
    error = caught.value
    assert error.attempted == f"Could not run the checks on {app}."
    assert error.answer == f"{app}: {check.detail}"
    assert str(error).count("\n") == 2
    return error


def test_a_host_key_that_is_not_known_lets_nobody_in(
    configured: Callable[..., World], tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    error = refused(configured("DIR/known_hosts", str(empty)))
    assert "its host key is not known" in error.answer and "get-console-output" in error.remedy
    assert empty.read_text() == ""


@pytest.mark.parametrize(
    "loose",
    [
        "Host *\n  StrictHostKeyChecking no\n",
        "Host *\n  StrictHostKeyChecking accept-new\n  UpdateHostKeys yes\n",
        "Host *\n  NoHostAuthenticationForLocalhost yes\n  HostName 127.0.0.1\n",
        "Host *\n  VerifyHostKeyDNS yes\n",
    ],
)
def test_no_configuration_lets_an_unknown_host_key_pass(
    configured: Callable[..., World], tmp_path: Path, loose: str
) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    world = configured("DIR/known_hosts", str(empty), before=loose)
    if "HostName" in loose:  # which %h then is
        text = Path(world.values["ssh_config"]).read_text()
        Path(world.values["ssh_config"]).write_text(text.replace("%h", "%n"))
    assert "its host key is not known" in refused(world).answer
    assert empty.read_text() == ""


def test_a_host_key_that_has_changed_lets_nobody_in(
    configured: Callable[..., World], tmp_path: Path
) -> None:
    world = configured()
    known = Path(world.account.ssh_config).parent / "known_hosts"
    keys = {line.split()[0]: line.split(" ", 1)[1] for line in known.read_text().splitlines()}
    (tmp_path / "other").write_text(f"{world.id('app-1')} {keys[world.id('sibling-1')]}\n")
    error = refused(configured("DIR/known_hosts", str(tmp_path / "other")))
    assert "another host key" in error.answer and "was replaced" in error.remedy


def test_a_connection_that_is_shared_is_not_used(
    configured: Callable[..., World], tmp_path: Path
) -> None:
    """Whoever opened it may have looked at no host key."""
    world = configured()
    master = [
        *("ssh", "-F", world.values["ssh_config"], "-o", f"ControlPath={tmp_path}/master-%n"),
        *("-o", "ControlMaster=yes", "-o", "StrictHostKeyChecking=no", "-N", world.id("app-1")),
    ]
    with subprocess.Popen(master, stdin=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 10
            while not list(tmp_path.glob("master-*")):
                assert time.monotonic() < end and process.poll() is None
                time.sleep(0.05)
            (tmp_path / "empty").touch()
            path = f"Host *\n  ControlMaster auto\n  ControlPath {tmp_path}/master-%n\n"
            shared = configured("DIR/known_hosts", f"{tmp_path}/empty", before=path)
            assert "its host key is not known" in refused(shared).answer
        finally:
            process.kill()


def test_a_key_that_the_instance_does_not_accept_is_named(
    configured: Callable[..., World], tmp_path: Path
) -> None:
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")]
    subprocess.run(command, check=True)
    error = refused(configured("DIR/operator", str(tmp_path / "key")))
    assert "it did not let you in" in error.answer and "IdentityFile" in error.remedy


def test_a_name_that_the_configuration_does_not_know_is_named(
    configured: Callable[..., World],
) -> None:
    error = refused(configured("Host i-*", "Host app"))
    assert "its name is not known" in error.answer and "Host i-*" in error.remedy


def test_a_proxy_command_that_fails_is_named_with_what_it_said(
    configured: Callable[..., World],
) -> None:
    world = configured()
    text = re.sub("ProxyCommand .*", 'ProxyCommand sh -c "echo no tunnel for %h >&2; exit 3"',
                  Path(world.values["ssh_config"]).read_text())  # fmt: skip
    Path(world.values["ssh_config"]).write_text(text)
    error = refused(world)
    assert "ProxyCommand or ProxyJump has failed" in error.answer
    assert f"no tunnel for {world.id('app-1')}" in error.answer


def test_a_configuration_with_a_mistake_is_named(configured: Callable[..., World]) -> None:
    world = configured("ProxyCommand", "ProxyComand")
    error = refused(world)
    assert "ssh cannot use its configuration" in error.answer
    assert "proxycomand" in error.answer.lower()


def test_a_connection_that_hangs_has_an_end(
    configured: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ssh.OPTIONS, "ConnectTimeout", "1")
    world = configured()
    text = re.sub("ProxyCommand .*", f"ProxyCommand {LAST}",
                  Path(world.values["ssh_config"]).read_text())  # fmt: skip
    Path(world.values["ssh_config"]).write_text(text)
    begun = time.monotonic()
    assert "there is no connection to it" in refused(world).answer
    assert time.monotonic() - begun < 15
    assert gone(LAST)


def test_a_script_that_hangs_has_an_end(
    configured: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "TIME_LIMIT", 2)
    monkeypatch.setattr("private_s3.probes.script", lambda **_: f"{LAST} & {LAST}\n")
    world = configured()
    assert "its time was over" in refused(world).answer
    assert gone(LAST) and gone(str(Path(world.account.ssh_config).with_name("door")))


def test_a_security_group_that_lets_ssh_in_nowhere_is_named(
    configured: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ssh.OPTIONS, "ConnectTimeout", "2")
    world = configured()
    ec2, group = world.client("ec2"), world.id("app")
    rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
    permissions = [{**rule, "IpRanges": [{"CidrIp": "10.20.0.0/16"}]}]
    ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=permissions)
    try:
        error = refused(world)
    finally:
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permissions)
    assert "there is no connection to it" in error.answer
    assert "security group lets TCP 22 in" in error.remedy


def test_a_way_that_leads_to_another_instance_is_no_way(
    configured: Callable[..., World], tmp_path: Path
) -> None:
    """As when an address was given to somebody else, and the operator has taken its key."""
    world = configured()
    app, sibling = world.id("app-1"), world.id("sibling-1")
    text = Path(world.values["ssh_config"]).read_text()
    Path(world.values["ssh_config"]).write_text(
        f"Host {app}\n  HostKeyAlias {sibling}\n{text.replace('%h', sibling)}"
    )
    assert f"it was printed on {sibling}" in refused(world).answer


def test_neighbours_that_ssh_does_not_reach_are_told_and_hide_no_other(
    configured: Callable[..., World],
) -> None:
    world = configured()
    known = Path(world.account.ssh_config).parent / "known_hosts"
    only = Path(world.values["ssh_config"]).with_name("only")
    lines = known.read_text().splitlines(keepends=True)
    only.write_text("".join(line for line in lines if world.id("sibling-1") not in line))
    text = Path(world.values["ssh_config"]).read_text()
    Path(world.values["ssh_config"]).write_text(text.replace(str(known), str(only)))
    world.values["check_also"] = ["neighbours"]
    answers = ask(world)
    assert [*answers.unasked] == [world.id("sibling-1")]
    assert {one.instance_id for one in answers.observations} == {
        world.id(name) for name in ("app-1", "neighbour-1", "reporter-1")
    }


@pytest.mark.parametrize("digest", ["", "0123456789ab"])
def test_a_configuration_that_is_not_there_stops_either_pass(asking: World, digest: str) -> None:
    values = {**asking.values, "check_by": "ssh", "ssh_config": "no/such/config"}
    world = World(asking.account, asking.folder, values)
    with pytest.raises(BadInput, match="there is no such file"):
        ask(world, digest and world.plan())


# -- by hand --------------------------------------------------------------------------------------


@pytest.fixture
def by_hand(asking: World) -> World:
    return World(asking.account, asking.folder, {**asking.values, "check_by": "manual"})


def test_while_planning_who_was_not_asked_by_hand_yet_is_uncertain(by_hand: World) -> None:
    (check,) = ask(by_hand).checks()
    app = by_hand.id("app-1")
    assert (check.name, check.state) == (f"{app} can be asked", "UNCERTAIN")
    assert check.detail.startswith("not asked yet: ")
    answer(by_hand, "plan", "app-1")
    told = {one.name: (one.state, one.detail) for one in ask(by_hand).checks()}
    assert told[f"list from {app}"] == ("SKIPPED", "timeout: told by hand")
    assert told[f"identity from {app}"][1].startswith(f"succeeded: told by hand: {app} ")


def test_an_apply_pass_says_where_the_script_is_and_where_the_answers_belong(
    by_hand: World,
) -> None:
    with pytest.raises(CheckFailed) as caught:
        ask(by_hand, by_hand.plan())
    where, app = folder(by_hand, "apply"), by_hand.id("app-1")
    assert str(where / "check.sh") in caught.value.answer
    assert str(where / f"{app}.jsonl") in caught.value.answer
    assert str(where / f"{app}.jsonl") in caught.value.remedy
    assert "run this step again" in caught.value.remedy and str(caught.value).count("\n") == 2


def test_answers_to_the_plan_pass_are_none_to_the_apply_pass(by_hand: World) -> None:
    ask(by_hand)
    answer(by_hand, "plan", "app-1")
    digest = by_hand.plan()
    with pytest.raises(CheckFailed, match="not asked yet"):
        ask(by_hand, digest)
    app = by_hand.id("app-1")
    shutil.copy(folder(by_hand, "plan") / f"{app}.jsonl", folder(by_hand, "apply"))
    with pytest.raises(CheckFailed, match="it was printed by the script"):
        ask(by_hand, digest)


def test_answers_of_another_instance_are_refused(by_hand: World) -> None:
    ask(by_hand)
    where = folder(by_hand, "plan")
    answer(by_hand, "plan", "sibling-1")
    (where / f"{by_hand.id('sibling-1')}.jsonl").rename(where / f"{by_hand.id('app-1')}.jsonl")
    (check,) = ask(by_hand).checks()
    assert f"it was printed on {by_hand.id('sibling-1')}" in check.detail


def test_a_wrong_answer_by_hand_fails_with_how_to_ask_again_and_is_asked_once(
    by_hand: World,
) -> None:
    """Nothing is applied here, so that the list times out; AWS would have a minute to act."""
    world = World(by_hand.account, by_hand.folder, {**by_hand.values, "settle_seconds": 60})
    digest = world.apply()
    try:
        with pytest.raises(CheckFailed):
            ask(world, digest)
        answer(world, "apply", "app-1")
        path = folder(world, "apply") / f"{world.id('app-1')}.jsonl"
        lines = path.read_text().splitlines()
        path.write_text("\n".join(_timed_out(line) for line in lines))
        begun = time.monotonic()
        checks = {one.name: one for one in ask(world, digest).checks()}
        assert time.monotonic() - begun < 20
        failed = checks[f"list from {world.id('app-1')}"]
        assert failed.state == "FAIL" and "told by hand" in failed.detail
        assert "run the script on the instance again" in failed.remedy
        assert facts(world, digest)["asked"] == 1
        path.write_text("\n".join(lines))
        assert {one.state for one in ask(world, digest).checks()} == {"PASS"}
    finally:
        world.undo()


def _timed_out(line: str) -> str:
    found = json.loads(line)
    if found.get("probe") == "list":
        found.update(exit=255, stdout="", stderr="Connect timeout on endpoint URL: x")
    return json.dumps(found)


@pytest.fixture
def told(by_hand: World, quick: None) -> tuple[World, Path]:
    """A sealed folder whose one observation was told by hand."""
    assert by_hand.notebook(CHECK).error is None
    answer(by_hand, "plan", "app-1")
    assert by_hand.notebook(CHECK).error is None
    where = change_folder(by_hand.parameters())
    manifest.seal(where)
    found = verify(where)
    assert ok(found), "\n".join(map(str, found))
    notes = [str(one) for one in found if "told by hand" in str(one)]
    assert len(notes) == 1 and by_hand.id("app-1") in notes[0]
    return by_hand, where


def test_whoever_seals_vouches_for_no_other_answers_than_were_read(
    told: tuple[World, Path],
) -> None:
    world, where = told
    app = world.id("app-1")
    answers = folder(world, "plan") / f"{app}.jsonl"
    original, known = answers.read_bytes(), where / f"facts/plan/{CHECK}.json"
    facts_of_it = known.read_bytes()
    lies: dict[str, Callable[[], Any]] = {
        "is not the file that was read": lambda: answers.write_bytes(original + b"\n"),
        "the facts go by it: it was printed on": lambda: answers.write_bytes(
            original.replace(app.encode(), world.id("sibling-1").encode())
        ),
        "missing; the facts go by it": answers.unlink,
        "tells something else than the facts": lambda: _edit_seen(
            known, lambda seen: seen[0].update(detail=seen[0]["detail"].replace("told by hand", ""))
        ),
        "though the facts go by it: other-region was not asked": lambda: _edit_seen(
            known, lambda seen: seen.pop()
        ),
        "tells what i-00000001 saw, and names no file of it": lambda: _edit_seen(
            known, lambda seen: seen.append({**seen[0], "instance_id": "i-00000001"})
        ),
        "tells what instances saw, and not by which files": lambda: edit(
            known, lambda found: found.pop("by_hand")
        ),
        "its parameters of another way": lambda: edit(
            known, lambda found: found["run"]["parameters"].update(check_by="ssm")
        ),
        "where this pass has no answers by hand": lambda: edit(
            known, lambda found: found["by_hand"].update(folder="by_hand/apply/0123456789ab")
        ),
        "is not the script that the facts tell of": lambda: (
            answers.parent / "check.sh"
        ).write_text("echo all is well\n"),
    }
    script = (answers.parent / "check.sh").read_bytes()
    for said, lie in lies.items():
        lie()
        manifest.seal(where)
        failed = [str(one) for one in verify(where) if one.state == "FAIL"]
        assert any(said in one for one in failed), (said, failed)
        answers.write_bytes(original)
        known.write_bytes(facts_of_it)
        (answers.parent / "check.sh").write_bytes(script)
        if "check.sh" in " ".join(manifest.seal(where)["findings"]):
            break  # an earlier seal has the script otherwise, and that is told for good
        assert ok(verify(where)), said
    assert said == [*lies][-1]


def _edit_seen(path: Path, change: Callable[[Any], Any]) -> None:
    edit(path, lambda found: change(found["observations"]))


def test_what_was_told_is_in_the_report_as_such(by_hand: World) -> None:
    assert by_hand.notebook(CHECK).error is None
    answer(by_hand, "plan", "app-1")
    assert by_hand.notebook(CHECK).error is None
    where = change_folder(by_hand.parameters())
    manifest.seal(where)
    assert "told by hand" in (where / "report.html").read_text()
    first = json.loads((where / f"plan/{CHECK}.ipynb").read_text())
    shown = json.dumps(first["cells"])
    assert "END-OF-THE-CHECKS" in shown
    assert "END-OF-THE-CHECKS" not in (where / f"plan/{CHECK}-2.ipynb").read_text()


# -- the journal ----------------------------------------------------------------------------------


def test_a_run_by_ssh_for_what_is_no_instance_is_found(
    configured: Callable[..., World], quick: None
) -> None:
    from tests.support import forging

    world = configured()
    ask(world)
    where = change_folder(world.parameters())
    lines = forging.lines(where)
    (begun,) = [line for line in lines if line["event"] == "intent"]
    assert (begun["operation"], begun["changes"]) == ("ssh", [])
    begun["request"]["InstanceIds"].append("bastion.example.com")
    forging.chain(where, lines)
    manifest.seal(where)
    failed = [str(one) for one in verify(where) if one.state == "FAIL"]
    assert any("ssh: is for bastion.example.com, which is no instance" in one for one in failed)


# -- the command line -----------------------------------------------------------------------------


def test_the_rehearsal_runs_by_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with rehearsal.start() as account:
        by(World(account, tmp_path, {}), "ssh")
    done = CliRunner().invoke(
        main, ["rehearse", "-p", "check_by=ssh", "-p", f"changes_dir={tmp_path}"]
    )
    assert done.exit_code == 0, done.output
    journal = (tmp_path / "rehearsal/journal.jsonl").read_text()
    assert '"operation": "ssh"' in journal and "SendCommand" not in journal
    shown = CliRunner().invoke(main, ["verify", str(tmp_path / "rehearsal")])
    assert shown.exit_code == 0, shown.output


def test_the_rehearsal_by_ssh_says_so_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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


def test_a_shell_in_the_lab_knows_the_way_by_ssh(tmp_path: Path) -> None:
    with rehearsal.start() as account:
        by(World(account, tmp_path, {}), "ssh")
        app = account.ids["app-1"]
    command = f'ssh -F "$REHEARSAL_SSH_CONFIG" -o BatchMode=yes {app} id -u >{tmp_path}/said'
    done = CliRunner().invoke(main, ["lab", "--", "sh", "-c", command])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "said").read_text() == "65534\n"


def test_nobody_is_there_in_a_rehearsal_to_answer_by_hand(tmp_path: Path) -> None:
    given = ["-p", "check_by=manual", "-p", f"changes_dir={tmp_path}"]
    done = CliRunner().invoke(main, ["rehearse", *given])
    assert done.exit_code == 2 and "private-s3 lab" in done.output
    assert not (tmp_path / "rehearsal").exists()

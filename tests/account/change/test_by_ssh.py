"""Step 50 by ssh: who is let in, and what is said where nobody is."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from private_s3.errors import BadInput, CheckFailed, RunbookError
from private_s3.evidence import manifest
from private_s3.evidence.verify import verify
from private_s3.folder import change_folder
from private_s3.ways_in import ssh
from tests.support import forging
from tests.support.processes import gone
from tests.support.ways_in import ask, by
from tests.support.world import World

pytestmark = pytest.mark.usefixtures("impatient")
LAST = f"sleep 4444.{os.getpid()}"  # as nobody else would


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
    # A socket's path is limited to about a hundred bytes, which pytest's folders can exceed.
    with tempfile.TemporaryDirectory() as folder:
        control_path = f"{folder}/%n"
        master = [
            *("ssh", "-F", world.values["ssh_config"], "-o", f"ControlPath={control_path}"),
            *("-o", "ControlMaster=yes", "-o", "StrictHostKeyChecking=no", "-N", world.id("app-1")),
        ]
        with subprocess.Popen(master, stdin=subprocess.DEVNULL) as process:
            try:
                end = time.monotonic() + 10
                while not [*Path(folder).iterdir()]:
                    assert time.monotonic() < end and process.poll() is None
                    time.sleep(0.05)
                (tmp_path / "empty").touch()
                path = f"Host *\n  ControlMaster auto\n  ControlPath {control_path}\n"
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


def test_a_run_by_ssh_for_what_is_no_instance_is_found(
    configured: Callable[..., World], quick: None
) -> None:
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

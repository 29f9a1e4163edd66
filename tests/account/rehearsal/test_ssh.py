"""The way by ssh onto the instances of the account: a real sshd, and who is kept out."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

import rehearsal
from rehearsal import Account, StartError
from rehearsal import ssh as way
from tests.support.accounts import Accounts
from tests.support.altered import alter
from tests.support.asking import NO_NAMESPACES, NO_ORDINARY_USER, opened_by, run
from tests.support.processes import gone, until
from tests.support.processes import running as everywhere

LAST = f"sleep 4343.{os.getpid()}"  # as nobody else would
STRICT = ("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes")


@pytest.fixture(scope="module")
def config(shared: Account) -> Path:
    """The configuration of the running account; skips where it has none."""
    return opened_by(shared)


def ssh(
    config: Path, host: str, script: str = "", *options: str, command: str = "sh -s"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ssh", "-F", config, *STRICT, "-o", "ConnectTimeout=3", *options, "-T", host, command],
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def keys_by_name(folder: Path) -> dict[str, str]:
    lines = (folder / "known_hosts").read_text().splitlines()
    return {name: key for name, _, key in map(str.split, lines)}


def processes(account: Account, name: str) -> list[psutil.Process]:
    """The processes of an account whose command line has this in it."""
    found = []
    for one in psutil.Process(account.process.pid).children(recursive=True):
        try:
            if one.status() != psutil.STATUS_ZOMBIE and name in " ".join(one.cmdline()):
                found.append(one)
        except psutil.NoSuchProcess:
            continue
    return found


# -- on the instance ------------------------------------------------------------------------------


def test_a_script_runs_on_the_instance_that_was_named(shared: Account, config: Path) -> None:
    ask = """token=$(curl -sS -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' \
        http://169.254.169.254/latest/api/token)
    curl -sS -H "X-aws-ec2-metadata-token: $token" \
        http://169.254.169.254/latest/meta-data/instance-id"""
    for name in ("app-1", "sibling-1", "neighbour-1"):
        done = ssh(config, shared.ids[name], ask)
        assert (done.returncode, done.stdout, done.stderr) == (0, shared.ids[name], "")
    assert shared.errors() == []


def test_it_sees_the_same_instance_as_by_systems_manager(shared: Account, config: Path) -> None:
    look = """id; hostname; pwd; ls -A /home; cat /proc/net/dev | cut -c 1-7 | sort
    for name in PATH HOME LANG AWS_CA_BUNDLE CURL_CA_BUNDLE SSL_CERT_FILE; do
        eval "echo $name=\\$$name"
    done
    aws --version 2>&1
    curl -sS -m 2 https://example.com 2>&1 | cut -c 1-30"""
    done = ssh(config, shared.ids["app-1"], look)
    assert done.returncode == 0, done.stderr
    assert done.stdout == run(shared, look)["StandardOutputContent"]
    assert "uid=65534(nobody)" in done.stdout and "curl: (28)" in done.stdout


def test_exit_codes_and_errors_come_back(shared: Account, config: Path) -> None:
    done = ssh(config, shared.ids["app-1"], "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")


def test_nothing_of_the_operator_nor_of_the_account_reaches_it(
    shared: Account, config: Path
) -> None:
    done = ssh(config, shared.ids["app-1"], "env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline")
    door = (config.parent / "door").read_text().split()[1]
    for secret in (shared.secret, door, *shared.people["operator"].values()):
        assert secret not in done.stdout
    names = {line.partition("=")[0] for line in done.stdout.splitlines() if re.match(r"\w+=", line)}
    allowed = {"PATH", "HOME", "LANG", "PWD", "SHELL", "USER", "LOGNAME", "MAIL", "SHLVL", "OLDPWD"}
    allowed |= {"AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"}
    assert names - allowed - {"_"} == {"SSH_CLIENT", "SSH_CONNECTION"}


HASTY = """
from rehearsal import namespaces, ssh
assert ssh._PATIENCE and namespaces._PATIENCE
ssh._PATIENCE = namespaces._PATIENCE = 1
"""


def test_who_is_silent_for_long_is_not_hung_up_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alter(monkeypatch, tmp_path, HASTY)
    with rehearsal.start() as hasty:
        done = ssh(opened_by(hasty), hasty.ids["app-1"], "sleep 2.5; echo in")
    assert (done.returncode, done.stdout, done.stderr) == (0, "in\n", "")


def test_several_come_in_at_once(shared: Account, config: Path) -> None:
    command = ["ssh", "-F", config, *STRICT, "-T", shared.ids["app-1"], "sh -s"]
    ones = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    said = [one.communicate(f"sleep 0.3; echo {n}", timeout=60)[0] for n, one in enumerate(ones)]
    assert said == ["0\n", "1\n", "2\n", "3\n"]


def test_much_is_carried_both_ways(shared: Account, config: Path) -> None:
    script = f": {'x' * 500_000}\nyes 0123456789 | head -n 100000; exit 3\n"
    done = ssh(config, shared.ids["app-1"], script)
    assert done.returncode == 3 and done.stdout == "0123456789\n" * 100_000


ORDINARY = """
import os, subprocess, sys, rehearsal
os.chdir(sys.argv[1])
with rehearsal.start() as account:
    command = ["ssh", "-F", account.ssh_config, "-o", "BatchMode=yes", account.ids["app-1"]]
    done = subprocess.run([*command, "id -u"], capture_output=True, text=True)
    print(account.mode, os.getuid(), done.stdout)
"""


def test_an_ordinary_user_gets_in_as_well(config: Path, tmp_path: Path) -> None:
    """Who has only one user runs the sshd as it, and its host key must still be its own alone."""
    if os.getuid() != 0:
        pytest.skip("an ordinary user runs all tests of this file")
    python = Path(sys.executable).resolve().parent.parent
    top = Path(rehearsal.__file__).parents[2]
    parts = [top / name for name in ("lib", "params", "notebooks")]
    settings = {
        "hostname": "ordinary",
        "visible": sorted(map(str, {sys.prefix, sys.base_prefix, python, *parts})),
        "files": {
            "etc/hosts": "127.0.0.1 localhost\n",
            "etc/passwd": "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/home:/bin/sh\n",
        },
    }
    with (tmp_path / "errors").open("w") as errors:
        done = subprocess.run(
            [
                *(sys.executable, "-I", "-S", top / "lib/rehearsal/sandbox.py"),
                json.dumps({**settings, "errors": errors.fileno()}),
                *(sys.executable, "-c", ORDINARY, top),
            ],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(top / "lib")},
            pass_fds=[errors.fileno()],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    if "portable" in done.stdout + done.stderr:
        pytest.skip(NO_NAMESPACES)
    assert done.stdout == "namespace 65534 65534\n\n", done.stderr


# -- who is kept out ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-o", "IdentityFile=/dev/null", "-o", "IdentitiesOnly=yes"), ""),
        (("-o", "PubkeyAuthentication=no"), "Permission denied (publickey)"),
        (("-o", "PreferredAuthentications=password"), "Permission denied (publickey)"),
        (("-l", "root"), "Permission denied (publickey)"),
        (("-l", "ec2-user"), "Permission denied (publickey)"),
    ],
)
def test_only_the_key_of_the_operator_opens_and_only_for_nobody(
    shared: Account, config: Path, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    if not said:  # another key instead of the one of the configuration
        key = tmp_path / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        other = tmp_path / "config"
        other.write_text(config.read_text().replace(str(config.parent / "operator"), str(key)))
        config, options, said = other, (), "Permission denied (publickey)"
    done = ssh(config, shared.ids["app-1"], "echo in", *options)
    assert done.returncode == 255 and said in done.stderr and done.stdout == ""


def test_neither_forwarding_nor_a_terminal_is_given(shared: Account, config: Path) -> None:
    """Through -W the operator would reach what is behind the instance."""
    app = shared.ids["app-1"]
    for target in ("169.254.169.254:80", "127.0.0.1:22"):
        done = ssh(config, app, "", "-W", target)
        assert done.returncode == 255 and "administratively prohibited" in done.stderr
    done = ssh(config, app, "", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1")
    assert done.returncode == 255 and "remote port forwarding failed" in done.stderr
    assert "tty" not in ssh(config, app, "", "-tt", command="tty").stdout.replace("not a tty", "")


def test_the_host_key_is_of_this_account_and_of_this_instance(
    shared: Account, config: Path, tmp_path: Path
) -> None:
    known = keys_by_name(config.parent)
    assert len({*known.values()}) == len(known) == len({*known} & {*shared.ids.values()}) >= 6
    text = config.read_text()
    app, sibling = shared.ids["app-1"], shared.ids["sibling-1"]
    wrong = tmp_path / "known_hosts"
    for line, said in (
        ("", "Host key verification failed"),
        (f"{app} ssh-ed25519 {known[sibling]}\n", "IDENTIFICATION HAS CHANGED"),
    ):
        wrong.write_text(line)
        (tmp_path / "config").write_text(
            text.replace(str(config.parent / "known_hosts"), str(wrong))
        )
        done = ssh(tmp_path / "config", app, "echo in")
        assert (done.returncode, done.stdout) == (255, "") and said in done.stderr
        assert wrong.read_text() == line


def test_the_door_serves_only_who_knows_its_secret(shared: Account, config: Path) -> None:
    port, secret = (config.parent / "door").read_text().split()
    app = shared.ids["app-1"]
    refused = [
        *(f"{guess} {app}\n" for guess in ("", "x", secret[:-1], secret.swapcase())),
        *(
            f"{app}\n",
            f"{app} {secret}\n",
            "\n",
            f"\u00e9 {app}\n",
            "x" * 5000,
            f"{secret}\t{app}\n",
        ),
    ]
    for said in refused:
        with socket.create_connection(("127.0.0.1", int(port)), timeout=5) as door:
            door.sendall(said.encode())
            with suppress(ConnectionError):  # shut before all of it was read
                assert door.recv(100) == b"", said
    for said, answer in ((f"{secret} {app}\n", b"+SSH-2.0-"), (f"{secret} i-00000000\n", b"-")):
        with socket.create_connection(("127.0.0.1", int(port)), timeout=5) as door:
            door.sendall(said.encode())
            got = b""
            while piece := door.recv(100):
                got += piece
                if len(got) >= len(answer):
                    break
            assert got.startswith(answer)
    assert shared.errors() == []


def test_a_silent_knock_holds_up_nobody(shared: Account, config: Path) -> None:
    port, secret = (config.parent / "door").read_text().split()
    app = shared.ids["app-1"]
    with (
        socket.create_connection(("127.0.0.1", int(port))),
        socket.create_connection(("127.0.0.1", int(port))) as half,
    ):
        half.sendall(f"{secret} {app}\n".encode())  # and no word of SSH
        assert ssh(config, app, "echo in").stdout == "in\n"


def test_an_instance_that_is_not_there_is_named_so(shared: Account, config: Path) -> None:
    done = ssh(config, "i-00000000000000000", "echo in")
    assert done.returncode == 255
    assert "has no such running instance" in done.stderr and "UNKNOWN port" in done.stderr


# -- the network ----------------------------------------------------------------------------------


@pytest.fixture
def only_from(shared: Account) -> Iterator[Callable[[str], None]]:
    """Lets port 22 in from these addresses only, and puts that back in the end."""
    ec2, group = shared.client("ec2"), shared.ids["app"]

    def replace(cidr: str) -> None:
        (found,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
        if found["IpPermissions"]:
            ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=found["IpPermissions"])
        if cidr:
            rule = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
            permissions = [{**rule, "IpRanges": [{"CidrIp": cidr}]}]
            ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permissions)

    yield replace
    replace("10.20.0.0/16")


@pytest.mark.parametrize(
    ("cidr", "reached"),
    [("", False), ("203.0.113.0/24", False), ("10.20.2.0/24", False), ("10.20.1.0/24", True)],
)
def test_the_security_group_decides_who_comes_in(
    shared: Account, config: Path, only_from: Callable[[str], None], cidr: str, reached: bool
) -> None:
    only_from(cidr)
    done = ssh(config, shared.ids["app-1"], "echo in")
    assert done.stdout == ("in\n" if reached else "")
    if not reached:
        assert done.returncode == 255 and "timed out" in done.stderr


def test_an_instance_without_the_rule_is_out_of_reach(shared: Account, config: Path) -> None:
    done = ssh(config, shared.ids["worker-1"], "echo in")
    assert done.returncode == 255 and "timed out" in done.stderr


def test_nothing_is_left_of_it_where_hangups_are_ignored(shared: Account, config: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        done = ssh(config, shared.ids["worker-1"], "echo in")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert done.returncode == 255 and "timed out" in done.stderr
    assert gone(str(config.parent / "door"))


def test_an_instance_that_comes_later_has_a_key_and_one_that_goes_has_no_door(
    shared: Account, config: Path
) -> None:
    ec2 = shared.client("ec2")
    (old,) = ec2.describe_instances(InstanceIds=[shared.ids["app-1"]])["Reservations"][0][
        "Instances"
    ]
    (new,) = ec2.run_instances(
        ImageId=old["ImageId"],
        MinCount=1,
        MaxCount=1,
        SubnetId=shared.ids["app-a"],
        SecurityGroupIds=[shared.ids["app"]],
    )["Instances"]
    done = ssh(config, new["InstanceId"], "hostname")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == new["PrivateDnsName"].partition(".")[0]
    ec2.terminate_instances(InstanceIds=[new["InstanceId"]])
    gone = ssh(config, new["InstanceId"], "hostname")
    assert gone.returncode == 255 and "no such running instance" in gone.stderr


def listening(table: str) -> set[tuple[str, int]]:
    """Where somebody listens by a table like /proc/net/tcp: address, in hex, and port."""
    fields = [line.split() for line in table.splitlines()]
    ends = [field[1].split(":") for field in fields if field[3] == "0A"]
    return {(address, int(port, 16)) for address, port in ends}


def test_port_22_is_in_the_network_of_the_instance_and_nothing_else_listens(
    accounts: Accounts,
) -> None:
    def here() -> set[tuple[str, int]]:
        return listening(Path("/proc/net/tcp").read_text())

    look = "cat /proc/net/tcp"
    with accounts.fresh() as account:
        before = here()
        assert ("0100007F", account.port) in before
        there = listening(run(account, look)["StandardOutputContent"])
        config = opened_by(account)
        opened = listening(run(account, look)["StandardOutputContent"]) - there
        assert opened == {("00000000", 22)}
        # The door was there from the start; nothing of the machine is opened for ssh.
        assert ("0100007F", int((config.parent / "door").read_text().split()[0])) in before
        assert here() <= before


# -- secrets --------------------------------------------------------------------------------------


def test_its_files_are_of_this_user_alone(config: Path) -> None:
    assert config.name == "config" and stat.S_IMODE(config.parent.stat().st_mode) == 0o700
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in config.parent.iterdir()}
    assert modes == dict.fromkeys(("config", "door", "known_hosts", "operator"), 0o600)
    assert all(one.stat().st_uid == os.getuid() for one in config.parent.iterdir())


def test_no_secret_is_in_an_argument(shared: Account, config: Path) -> None:
    secret = (config.parent / "door").read_text().split()[1]
    app = shared.ids["app-1"]
    command = ["ssh", "-F", str(config), *STRICT, "-T", app, "sh -s"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as one:
        assert one.stdin
        one.stdin.write("sleep 20\n")
        one.stdin.flush()
        assert until(lambda: bool(processes(shared, "sshd"))), "nobody came in"
        said = [
            " ".join(found.cmdline())
            for top in (psutil.Process(shared.process.pid), psutil.Process(one.pid))
            for found in (top, *top.children(recursive=True))
        ]
        one.kill()
    assert any("tunnel.py" in words for words in said) and any("sshd" in words for words in said)
    assert not [words for words in said if secret in words or "PRIVATE KEY" in words]
    assert until(lambda: not processes(shared, "sshd"))


def test_keys_and_secret_are_others_in_every_account(
    config: Path, shared: Account, accounts: Accounts
) -> None:
    with accounts.fresh() as other:
        there = Path(other.ssh_config).parent
        assert there != config.parent
        for name in ("door", "operator", "known_hosts"):
            assert (there / name).read_text() != (config.parent / name).read_text()
        keys = [{*keys_by_name(folder).values()} for folder in (there, config.parent)]
        assert not keys[0] & keys[1]
        # Nor does the door of one lead into the other.
        mixed = there / "mixed"
        mixed.write_text(
            config.read_text().replace(str(config.parent / "door"), str(there / "door"))
        )
        assert ssh(mixed, shared.ids["app-1"], "echo in").returncode == 255


# -- its end --------------------------------------------------------------------------------------


def open_session(account: Account) -> tuple[Path, subprocess.Popen[str], set[int]]:
    """A session that would last, and the processes that serve it."""
    config = Path(account.ssh_config)
    command = ["ssh", "-F", str(config), *STRICT, "-T", account.ids["app-1"], "sh -s"]
    one = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert one.stdin and one.stdout
    one.stdin.write(f"{LAST} & echo in; {LAST}\n")
    one.stdin.flush()
    assert one.stdout.readline() == "in\n"
    top = psutil.Process(account.process.pid)
    serving = {found.pid for found in (top, *top.children(recursive=True))}
    return config, one, serving


def test_with_its_connection_ends_all_that_was_started_by_it(shared: Account, config: Path) -> None:
    _, one, _ = open_session(shared)
    assert until(lambda: len(everywhere(LAST)) >= 2)
    with one:
        one.kill()
    assert gone(LAST) and until(lambda: not processes(shared, "sshd"))
    assert shared.errors() == []


@pytest.mark.parametrize("how", ["in good order", "killed"])
def test_with_the_account_ends_everything(how: str, config: Path) -> None:
    account = rehearsal.start()
    try:
        opened, one, serving = open_session(account)
        assert len(serving) >= 4
        if how == "killed":
            account.process.kill()
    finally:
        account.close()
    if how == "in good order":
        assert not opened.parent.exists()
    with one:
        assert one.wait(timeout=10) == 255
    assert until(lambda: not [pid for pid in serving if psutil.pid_exists(pid)])
    assert gone(LAST)
    assert until(lambda: not opened.parent.exists())


# -- where there is none --------------------------------------------------------------------------


def test_in_portable_mode_there_is_no_ssh_and_it_says_so_in_three_lines() -> None:
    with pytest.raises(way.NoSsh) as alone:
        way.program("portable")
    tried, answer, following = str(alone.value).splitlines()
    assert tried.startswith("Could not open a way by ssh") and "portable mode" in answer
    assert following.startswith("Next: ") and "ssm" in following
    try:
        account = rehearsal.start("portable")
    except StartError:  # nobody but root can read the project
        pytest.skip(NO_ORDINARY_USER)
    with account:
        with pytest.raises(StartError) as caught:
            account.ssh_config  # noqa: B018
        assert str(caught.value) == str(alone.value)
        assert account.errors() == []


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ([], "There is no sshd and no ssh-keygen on this machine."),
        (["ssh-keygen"], "There is no sshd on this machine."),
        (["sshd"], "There is no ssh-keygen on this machine."),
    ],
)
def test_without_openssh_it_says_what_to_install(
    there: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(way.shutil, "which", lambda name, path: name if name in there else None)
    with pytest.raises(way.NoSsh) as caught:
        way.program("namespace")
    _, answer, following = str(caught.value).splitlines()
    assert answer == said and "openssh-server" in following


def test_who_does_not_ask_for_ssh_pays_nothing_for_it(account: Account) -> None:
    (serving,) = psutil.Process(account.process.pid).children(recursive=True)
    assert serving.children() == []


def test_asking_twice_opens_one_way(shared: Account, config: Path) -> None:
    assert shared.ssh_config == shared.ssh_config == str(config)
    assert json.loads(json.dumps(shared.ids))  # nothing else has changed

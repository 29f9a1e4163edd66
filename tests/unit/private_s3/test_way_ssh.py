"""What is asked of the operator's OpenSSH, how it is bounded, and what its errors become.

The program `ssh` here is an acted one; a real one is used in tests/test_ways_in.py.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from private_s3.errors import BadInput, CheckFailed
from private_s3.journal import Outcome
from private_s3.ways_in import printed, side_by_side, ssh
from private_s3.ways_in.side_by_side import Ended
from private_s3.ways_in.ssh import OpenSsh
from private_s3.ways_in.ssh_errors import TROUBLES, trouble
from private_s3.ways_in.way import Heard, digest
from tests.support.processes import gone

ONE, TWO, THREE = "i-0123456789abcdef0", "i-0fedcba9876543210", "i-00000000000000003"
PROBES = ["identity", "list"]
SCRIPT = "the script of the checks\nin two lines\n"
MARK = printed.mark(SCRIPT)
# Its behaviour for an instance is in a file of that name, a piece of shell; without one it answers.
SSH = """#!/bin/sh
for instance; do case $instance in i-*) break ;; esac; done
printf '%s\\n' "$@" >"$FAKE/$instance.arguments"
env >"$FAKE/$instance.environment"
if [ -e "$FAKE/$instance" ]; then . "$FAKE/$instance"; fi
cat >"$FAKE/$instance.input"
cat "$FAKE/answer-of-$instance"
"""


def answer(instance_id: str, mark: str = MARK) -> str:
    lines = [
        {"script": mark, "at": "2026-11-26T10:00:00Z"},
        {"probe": "list", "exit": 0, "seconds": 1, "stdout": '"keys: 2" ', "stderr": ""},
        {
            "probe": "identity",
            "exit": 0,
            "seconds": 0,
            "stdout": f"{instance_id} eu-west-1 app",
            "stderr": "",
        },
    ]
    # As the script writes it.
    return "".join(f"{json.dumps(one, separators=(',', ':'))}\n" for one in lines)


class Fake:
    """An acted ssh, what it was given, and the journal that it is bracketed in."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.noted = folder, list[tuple[str, Mapping[str, Any], dict[str, Any]]]()
        (folder / "ssh").write_text(SSH)
        (folder / "ssh").chmod(0o755)
        for one in (ONE, TWO, THREE):
            self.answers(one, answer(one))

    def answers(self, instance_id: str, text: str) -> None:
        (self.folder / f"answer-of-{instance_id}").write_text(text)

    def does(self, instance_id: str, shell: str) -> None:
        (self.folder / instance_id).write_text(f"{shell}\n")

    def fails(self, instance_id: str, errors: str, code: int = 255) -> None:
        self.does(instance_id, f"cat >&2 <<'END'\n{errors}\nEND\nexit {code}")

    def read(self, instance_id: str, kind: str) -> str:
        return (self.folder / f"{instance_id}.{kind}").read_text()

    @contextmanager
    def write(self, operation: str, request: Mapping[str, Any], remedy: str) -> Iterator[Outcome]:
        outcome = Outcome()
        yield outcome
        assert outcome.request_id == ""
        self.noted.append((operation, request, outcome.values))

    def ask(self, *ids: str, optional: tuple[str, ...] = (), config: Path | None = None) -> Heard:
        return OpenSsh(self.write, config).ask(SCRIPT, PROBES, ids or (ONE,), optional)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    (tmp_path / "fake").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'fake'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE", str(tmp_path / "fake"))
    return Fake(tmp_path / "fake")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit of a run is one second."""
    monkeypatch.setattr(ssh, "TIME_LIMIT", 1)


def test_each_instance_is_asked_by_its_id_and_answers(fake: Fake) -> None:
    heard = fake.ask(ONE, TWO, optional=(THREE,))
    assert [(one.instance_id, one.probe, one.outcome) for one in heard.observations] == [
        (instance_id, probe, "succeeded")
        for instance_id in (ONE, TWO, THREE)
        for probe in ("identity", "list")
    ]
    assert heard.silent == {} and heard.again == ""


def test_the_script_comes_by_the_standard_input_and_by_nothing_else(fake: Fake) -> None:
    fake.ask()
    assert fake.read(ONE, "input") == printed.marked(SCRIPT, MARK)
    assert SCRIPT in fake.read(ONE, "input")
    for place in ("arguments", "environment"):
        assert "script of the checks" not in fake.read(ONE, place)


def test_the_arguments_let_no_host_key_pass_and_nothing_be_forwarded(fake: Fake) -> None:
    fake.ask(ONE, config=Path("/a b/$(reboot)"))
    words = fake.read(ONE, "arguments").splitlines()
    assert words[:2] == ["-F", "/a b/$(reboot)"]
    assert words[-6:] == ["-T", "-a", "-x", "--", ONE, "sh -s"]
    options = dict(word.split("=") for name, word in pairwise(words) if name == "-o")
    assert len(options) == words.count("-o") == len(words[2:-6]) / 2
    assert (
        options.items()
        >= {
            "BatchMode": "yes",
            "StrictHostKeyChecking": "yes",
            "NoHostAuthenticationForLocalhost": "no",
            "VerifyHostKeyDNS": "no",
            "ControlPath": "none",
            "ForwardAgent": "no",
            "ForwardX11": "no",
            "ClearAllForwardings": "yes",
            "PermitLocalCommand": "no",
            "ConnectTimeout": str(ssh.CONNECT_TIMEOUT),
        }.items()
    )
    fake.ask(TWO)
    assert "-F" not in fake.read(TWO, "arguments").splitlines()


def test_real_ssh_takes_all_options_and_no_configuration_takes_them_back(tmp_path: Path) -> None:
    """`ssh -G` says what it would go by, and connects to nobody."""
    import subprocess

    config = tmp_path / "config"
    config.write_text(
        "Host *\n  StrictHostKeyChecking no\n  BatchMode no\n  ForwardAgent yes\n"
        "  ForwardX11 yes\n  NoHostAuthenticationForLocalhost yes\n  VerifyHostKeyDNS yes\n"
        "  ControlMaster auto\n  ControlPath /tmp/%h\n  UpdateHostKeys yes\n"
        "  LocalForward 8080 localhost:80\n  PermitLocalCommand yes\n  LocalCommand reboot\n"
        "  RemoteCommand reboot\n  Tunnel yes\n  LogLevel QUIET\n  RequestTTY force\n"
    )
    command = OpenSsh(lambda *_: None, config).command("ssh", ONE)  # type: ignore[arg-type]
    at = command.index("-T")
    done = subprocess.run(
        [*command[:at], "-G", *command[at:]], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    found = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    assert found["stricthostkeychecking"] in ("true", "yes")
    assert found["host"] == ONE if "host" in found else found["hostname"] == ONE
    for name in (
        "forwardagent",
        "forwardx11",
        "tunnel",
        "permitlocalcommand",
        "verifyhostkeydns",
        "nohostauthenticationforlocalhost",
        "controlmaster",
        "updatehostkeys",
    ):
        assert found.get(name, "no") in ("no", "false"), name
    assert found["batchmode"] == "yes" and found["clearallforwardings"] == "yes"
    assert {"controlpath", "remotecommand"}.isdisjoint(found)
    assert found["loglevel"] == "INFO" and found["requesttty"] in ("no", "false")


@pytest.mark.parametrize("name", ["", "-oProxyCommand=reboot", "i-1", f"{ONE}\n", f"{ONE};reboot"])
def test_what_is_no_id_of_an_instance_becomes_no_argument(fake: Fake, name: str) -> None:
    with pytest.raises(BadInput, match="is no id of an instance"):
        fake.ask(ONE, name)
    assert not (fake.folder / f"{ONE}.arguments").exists() and not fake.noted


def test_it_is_noted_with_the_hash_of_the_script_and_how_each_run_ended(fake: Fake) -> None:
    fake.fails(TWO, "Permission denied (publickey).")
    fake.ask(ONE, TWO, config=Path("/home/ann/aws/config-prod"))
    ((operation, request, values),) = fake.noted
    assert (operation, values) == ("ssh", {"ended": {ONE: "exit 0", TWO: "exit 255"}})
    assert request == {
        "InstanceIds": [ONE, TWO],
        "configuration": "config-prod",
        "script": f"sha256 {digest(printed.marked(SCRIPT, MARK))}",
    }


def test_nobody_is_asked_where_no_instance_is_left(fake: Fake) -> None:
    assert OpenSsh(fake.write, None).ask(SCRIPT, PROBES, [], []) == Heard([], {})
    assert not fake.noted


def test_what_a_login_prints_is_no_answer_and_hides_none(fake: Fake) -> None:
    fake.answers(ONE, "Welcome!\n{\n" + answer(ONE))
    assert len(fake.ask().observations) == 2
    fake.answers(ONE, answer(ONE) + "Good bye!\n")
    assert "is not what the script prints: line 4" in fake.ask().silent[ONE].reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty; it ends: nothing"),
        ("This account is disabled.\n", "does not begin with the first line"),
        (answer(ONE, "ba9876543210"), "by the script ba9876543210"),
        (answer(TWO), f"it was printed on {TWO}"),
        ("\n".join(answer(ONE).splitlines()[:-1]), "identity is missing"),
    ],
)
def test_what_is_not_the_answer_of_this_instance_to_this_script_is_none(
    fake: Fake, text: str, reason: str
) -> None:
    fake.answers(ONE, text)
    heard = fake.ask(ONE, TWO)
    assert reason in heard.silent[ONE].reason
    assert {one.instance_id for one in heard.observations} == {TWO}


# -- bounds ---------------------------------------------------------------------------------------


def ends(begun: float, within: float) -> bool:
    return time.monotonic() - begun < within


@pytest.fixture
def alone() -> Iterator[str]:
    """A command that lasts for half a minute, and is like none that others run."""
    command = f"sleep 30.{os.getpid()}{time.monotonic_ns() % 10**6:06}"
    yield command
    for one in psutil.process_iter(["cmdline"]):
        if command in " ".join(one.info["cmdline"] or ()):
            one.kill()


@pytest.mark.parametrize(
    "hangs",
    [
        "LAST",
        "LAST & LAST",
        "trap '' HUP INT TERM; LAST; LAST",
        "exec >&- 2>&-; LAST",
        "echo begun; LAST",
    ],
)
def test_what_hangs_is_ended_with_all_that_it_has_started(
    fake: Fake, quick: None, hangs: str, alone: str
) -> None:
    fake.does(ONE, f"echo 'debug1: connecting' >&2\n{hangs.replace('LAST', alone)}")
    begun = time.monotonic()
    heard = fake.ask(ONE, TWO)
    assert ends(begun, 6)
    assert gone(alone)
    assert {one.instance_id for one in heard.observations} == {TWO}
    assert "ended because its time was over; it said: debug1" in heard.silent[ONE].reason
    assert fake.noted[0][2]["ended"][ONE] == "ended because its time was over"
    assert ONE in heard.silent[ONE].remedy


def test_who_hangs_keeps_no_other_waiting(fake: Fake, quick: None, alone: str) -> None:
    fake.does(ONE, alone)
    ids = [f"i-{number:017x}" for number in range(ssh.AT_ONCE + 2)]
    for one in ids:
        fake.answers(one, answer(one))
    begun = time.monotonic()
    heard = fake.ask(ONE, *ids)
    assert [*heard.silent] == [ONE] and len(heard.observations) == 2 * len(ids)
    assert ends(begun, 6)


def test_they_run_side_by_side_but_not_all_at_once(fake: Fake) -> None:
    ids = [f"i-{number:017x}" for number in range(ssh.AT_ONCE + 3)]
    for one in ids:
        fake.answers(one, answer(one))
        fake.does(one, 'ls "$FAKE" | grep -c "[.]now" >>"$FAKE/counts"; : >"$FAKE/$instance.now"\n'
                  'sleep 0.4; rm "$FAKE/$instance.now"')  # fmt: skip
    begun = time.monotonic()
    assert len(fake.ask(*ids).observations) == 2 * len(ids)
    assert ends(begun, 0.4 * len(ids))
    counts = [int(one) for one in (fake.folder / "counts").read_text().split()]
    assert 1 <= max(counts) < ssh.AT_ONCE


def test_what_says_too_much_is_ended(fake: Fake, quick: None) -> None:
    fake.does(ONE, "exec yes 'a long line of no use'")
    begun = time.monotonic()
    heard = fake.ask()
    assert ends(begun, 10) and gone("a long line of no use")
    assert f"said more than {printed.LONGEST} bytes" in heard.silent[ONE].reason


def test_what_complains_at_length_is_heard_to_its_end(fake: Fake) -> None:
    fake.does(ONE, "yes 'debug1: more' | head -n 200000 >&2")
    assert len(fake.ask().observations) == 2
    fake.does(
        ONE, "yes 'debug1: more' | head -n 200000 >&2; echo 'Permission denied' >&2; exit 255"
    )
    assert fake.ask().silent[ONE].reason.startswith("it did not let you in")


def test_who_keeps_its_streams_after_its_end_keeps_nobody_waiting(fake: Fake, alone: str) -> None:
    """As a ProxyCommand that goes on when ssh has left."""
    fake.does(ONE, f"{alone} >/dev/null &")
    begun = time.monotonic()
    assert len(fake.ask().observations) == 2
    assert ends(begun, 6)
    assert gone(alone)


def test_an_interrupt_ends_all(fake: Fake, alone: str) -> None:
    for one in (ONE, TWO):
        fake.does(one, f"{alone} & {alone}")
    # A program that runs in the background may ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    stop = threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT))
    stop.start()
    begun = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            fake.ask(ONE, TWO)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ends(begun, 6) and gone(alone)
    assert not fake.noted  # what became of it is not known


def test_without_a_limit_of_its_own_a_run_is_still_shorter_than_its_connection() -> None:
    assert 0 < ssh.CONNECT_TIMEOUT < ssh.TIME_LIMIT < 600
    assert int(ssh.OPTIONS["ServerAliveInterval"]) * int(ssh.OPTIONS["ServerAliveCountMax"]) < 60


# -- what goes wrong ------------------------------------------------------------------------------

CHANGED = """@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
Host key for i-0123456789abcdef0 has changed and you have requested strict checking.
Host key verification failed."""
UNKNOWN = """No ED25519 host key is known for i-0123456789abcdef0 and you have requested strict \
checking.
Host key verification failed."""
MESSAGES = {
    CHANGED: ("another host key", "was replaced"),
    UNKNOWN: ("host key is not known", "get-console-output"),
    f"{UNKNOWN}\nConnection closed by UNKNOWN port 65535": ("host key is not known", "known_hosts"),
    "nobody@i-0123456789abcdef0: Permission denied (publickey).": (
        "not let you in", "IdentityFile"),
    "Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures": (
        "not let you in", "IdentityFile"),
    "ann@bastion: Permission denied (publickey).\nConnection closed by UNKNOWN port 65535": (
        "not let you in", "agent"),
    "ssh: Could not resolve hostname i-0123456789abcdef0: Name or service not known": (
        "name is not known", "Host i-*"),
    "channel 0: open failed: connect failed: Name or service not known\nstdio forwarding failed": (
        "name is not known", "Host i-*"),
    "ssh: connect to host 10.0.0.1 port 22: Connection timed out": ("no connection", "TCP 22"),
    "Connection timed out during banner exchange\nConnection to UNKNOWN port 65535 timed out": (
        "no connection", "security group"),
    "ssh: connect to host 10.0.0.1 port 22: Connection refused": ("no connection", "sshd"),
    "ssh: connect to host 10.0.0.1 port 22: No route to host": ("no connection", "sshd"),
    "/bin/sh: 1: exec: awss: not found\nConnection closed by UNKNOWN port 65535": (
        "ProxyCommand or ProxyJump has failed", "OpenTunnel"),
    "aws: error: argument operation: Invalid choice\nkex_exchange_identification: Connection closed"
    " by remote host\nConnection closed by UNKNOWN port 65535": ("has failed", "AWS CLI 2"),
    "An error occurred (AccessDeniedException) when calling OpenTunnel\nConnection closed by "
    "UNKNOWN port 65535": ("ProxyCommand or ProxyJump has failed", "OpenTunnel"),
    "/a/config: line 3: Bad configuration option: proxycomand\n/a/config: terminating, 1 bad "
    "configuration options": ("cannot use its configuration", "correct /a/config"),
    "Can't open user config file /a/config: Permission denied": (
        "cannot use its configuration", "correct /a/config"),
    "client_loop: send disconnect: Broken pipe": ("connection to it broke off", "run this again"),
    "Connection to i-0123456789abcdef0 closed by remote host.": ("broke off", "the sshd of"),
    "Timeout, server i-0123456789abcdef0 not responding.": ("broke off", "run this again"),
    "something else altogether": ("ssh has failed and said: something else", "ssh -v"),
    "": ("ssh has failed and said: nothing", "ssh -v"),
}  # fmt: skip


@pytest.mark.parametrize("message", MESSAGES)
def test_an_error_of_ssh_says_what_it_means_and_what_to_do(message: str) -> None:
    reason, remedy = MESSAGES[message]
    silence = trouble(ONE, Ended(255, "", message.replace("\n", "\r\n")), "/a/config")
    assert reason in silence.reason and remedy in silence.remedy
    assert "\n" not in silence.reason + silence.remedy and "{" not in silence.remedy
    assert " ".join(message[-40:].split()) in silence.reason
    if "i-0123456789abcdef0" in message:
        assert ONE in silence.reason + silence.remedy


def test_every_kind_of_trouble_is_among_the_messages() -> None:
    found = {next((p for p in TROUBLES if re.search(p, message)), "") for message in MESSAGES}
    assert found == {"", *TROUBLES}


def test_what_the_script_itself_ends_with_is_no_error_of_ssh() -> None:
    silence = trouble(ONE, Ended(1, "", "mktemp: Permission denied: No space left"), "/a/config")
    assert silence.reason.startswith("the script ended there with 1 and said: mktemp")


def test_an_instance_that_ssh_does_not_reach_hides_no_other(fake: Fake) -> None:
    fake.fails(TWO, UNKNOWN)
    heard = fake.ask(ONE, TWO)
    assert {one.instance_id for one in heard.observations} == {ONE}
    assert [*heard.silent] == [TWO] and TWO in heard.silent[TWO].remedy


def test_without_the_program_nobody_is_asked(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CheckFailed, match="no program `ssh`") as caught:
        fake.ask()
    assert "install the OpenSSH client" in caught.value.remedy and not fake.noted


@pytest.mark.parametrize("given", ["conf/missing", "conf", "/no/such/file", "~/no-such-file"])
def test_a_configuration_that_is_not_there_is_named(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "conf").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput) as caught:
        OpenSsh.of(lambda *_: None, given)  # type: ignore[arg-type]
    assert caught.value.answer == f"ssh_config = {given!r}: there is no such file."


def test_a_configuration_is_looked_for_from_the_top_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of: Callable[[str], OpenSsh] = lambda given: OpenSsh.of(lambda *_: None, given)  # type: ignore  # noqa: E731
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "config").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path))
    for folder in (tmp_path, tmp_path / "notebooks"):
        monkeypatch.chdir(folder)
        for given in ("config", str(tmp_path / "config"), "~/config"):
            assert of(given).configuration == tmp_path / "config"
    assert of("").configuration is None


def test_a_run_gives_the_answers_in_the_order_of_the_commands(tmp_path: Path) -> None:
    commands = {"slow": ["sh", "-c", "sleep 0.3; cat"], "quick": ["cat"], "fails": ["false"]}
    ended = side_by_side.run(
        commands, "said", limit=5, at_once=2, longest=100, tick=lambda *_: None
    )
    assert [*ended] == [*commands]
    assert [str(one) for one in ended.values()] == ["exit 0", "exit 0", "exit 1"]
    assert [one.output for one in ended.values()] == ["said", "said", ""]

"""Scripts that really run on instances: as root, as an ordinary user, and without namespaces."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from rehearsal.processes import Completed
from tests import PROJECT
from tests.support.asking import NO_NAMESPACES
from tests.support.instances_lab import OTHER_REGION, RANGES, REGION

SANDBOX = PROJECT / "lib/rehearsal/sandbox.py"
ONCE = "AWS_MAX_ATTEMPTS=1 aws --cli-connect-timeout 2 --cli-read-timeout 2"
LIST = f"{ONCE} s3api list-objects-v2 --region {REGION} --bucket some-bucket"
DROPPED = LIST.replace("timeout 2", "timeout 1")  # for when there is no answer to wait for
TOKEN = """T=$(curl -sS -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $M/latest/api/token)
get() { curl -sS -H "X-aws-ec2-metadata-token: $T" "$M/latest/$1"; }
"""


class Lab:
    """The account in a process of its own, which obeys."""

    def __init__(self, mode: str, process: subprocess.Popen[str]) -> None:
        self.mode, self.process = mode, process
        self.started = json.loads(self._line())
        assert self.started["mode"] == mode
        self.instance = str(self.do("instance_id"))
        metadata = "http://169.254.169.254"
        self.metadata = (
            f"M={metadata}\n" if mode == "namespace" else ("M=$AWS_EC2_METADATA_SERVICE_ENDPOINT\n")
        )

    def send(self, name: str, **arguments: Any) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps([name, arguments]) + "\n")
        self.process.stdin.flush()

    def do(self, name: str, **arguments: Any) -> Any:
        self.send(name, **arguments)
        answer = json.loads(self._line())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]

    def run(self, script: str, timeout: float = 30, instance: str = "") -> Completed:
        return Completed(**self.do("run", script=script, timeout=timeout, instance=instance))

    def _line(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the lab has ended"
        return line


Start = Callable[..., Lab]
NOT_HELD = "not what instances of this mode are to hold"


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Starts labs, which end with the module."""
    with ExitStack() as ending:

        def start(mode: str, ordinary_user: bool = False) -> Lab:
            if not namespaces_here(ordinary_user and mode == "namespace"):
                pytest.skip(NO_NAMESPACES)
            script = PROJECT / "tests/support/instances_lab.py"
            command = [sys.executable, "-W", "error", str(script), mode]
            keys = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), "testing")
            environment = {**keys, "PATH": os.environ["PATH"], "PYTHONPATH": f"{PROJECT}/lib"}
            errors = ending.enter_context(open(os.devnull, "w"))  # noqa: PTH123
            if ordinary_user and os.getuid() == 0:
                command = [*in_sandbox(errors.fileno()), *command]
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
                pass_fds=[errors.fileno()],
            )
            ending.enter_context(process)
            ending.callback(process.kill)
            return Lab(mode, process)

        yield start


def namespaces_here(ordinary_user: bool) -> bool:
    """Whether this machine lets such a user make namespaces, by another program than ours."""
    as_root, program = os.getuid() == 0, shutil.which("unshare")
    mapped = ["--map-root-user"] if ordinary_user or not as_root else []
    user: dict[str, Any] = {"user": 65534, "group": 65534, "extra_groups": []}
    return (
        bool(program)
        and not subprocess.run(
            [str(program), *mapped, "--net", "--mount", "true"],
            capture_output=True,
            check=False,
            **(user if ordinary_user and as_root else {}),
        ).returncode
    )


def in_sandbox(errors: int) -> list[str]:
    """Starts a command as nobody, in a root where that user can read what the lab needs."""
    python = Path(sys.executable).resolve().parent.parent
    wanted = {sys.prefix, sys.base_prefix, str(python), f"{PROJECT}/lib", f"{PROJECT}/tests"}
    settings = {
        "errors": errors,
        "hostname": "ordinary",
        "visible": sorted(wanted),
        "files": {"etc/hosts": "127.0.0.1 localhost\n"},
    }
    return [sys.executable, "-I", "-S", str(SANDBOX), json.dumps(settings)]


@pytest.fixture(scope="module", params=["namespace", "namespace, ordinary user", "portable"])
def lab(request: pytest.FixtureRequest, start: Start) -> Lab:
    mode = request.param.partition(",")[0]
    return start(mode, ordinary_user=request.param != "namespace")


@pytest.fixture(autouse=True)
def tidy(request: pytest.FixtureRequest) -> Iterator[None]:
    """Each test finds the network without any way out."""
    yield
    if "lab" in request.fixturenames:
        lab: Lab = request.getfixturevalue("lab")
        lab.do("remove_endpoints")
        lab.do("remove_nat")
        lab.do("seen")


def positions(lab: Lab) -> list[dict[str, Any]]:
    return [request["position"] for request in lab.do("seen")]


def test_s3_answers_exactly_while_there_is_a_route(lab: Lab) -> None:
    dropped = {"namespace": "Connect timeout on endpoint", "portable": "Read timeout on endpoint"}
    before = lab.run(DROPPED)
    assert before.exit_code == 255 and dropped[lab.mode] in before.stderr

    endpoint = lab.do("add_endpoint")
    assert '"Key": "a"' in lab.run(LIST).stdout
    [request] = lab.do("seen")
    assert request["host"] == f"some-bucket.s3.{REGION}.amazonaws.com"
    assert request["scheme"] == "https"
    assert "Credential=ASIAEXAMPLE/" in request["authorization"]
    assert request["position"]["endpoint_id"] == endpoint
    assert request["position"]["source_ip"].startswith("10.20.1.")
    assert request["position"]["instance_id"] == lab.instance

    lab.do("remove_endpoints")
    assert dropped[lab.mode] in lab.run(DROPPED).stderr
    assert lab.do("seen") == []


def test_the_position_is_that_of_the_route_and_not_of_the_keys(lab: Lab) -> None:
    public_ip = lab.do("add_nat")
    assert lab.run(LIST).exit_code == 0
    [position] = positions(lab)
    assert position["source_ip"] == public_ip and position["vpc_id"] is None
    lab.do("add_endpoint")
    assert lab.run(LIST).exit_code == 0
    assert lab.run(LIST.replace(REGION, OTHER_REGION)).exit_code == 0
    here, other = positions(lab)
    assert here["vpc_id"] and other["vpc_id"] is None


def test_the_internet_answers_through_a_nat_gateway_only(lab: Lab) -> None:
    fetch = "curl -sS -m 2 https://example.com/ && curl -sS -m 2 http://example.com/"
    lab.do("add_endpoint")
    assert lab.run(fetch.replace("-m 2", "-m 1")).exit_code == 28
    lab.do("add_nat")
    fetched = lab.run(fetch)
    assert fetched.exit_code == 0 and fetched.stdout.count("example.com") == 2


def test_a_security_group_decides_by_port(lab: Lab) -> None:
    lab.do("add_nat")
    lab.do("allow_ports", first=80, last=80)
    https, http = (f"curl -sS -m 1 {scheme}://example.com/" for scheme in ("https", "http"))
    assert lab.run(https).exit_code == 28
    assert lab.run(http).exit_code == 0
    lab.do("allow_ports", first=1, last=65535)
    assert lab.run(https).exit_code == 0


def test_objects_are_written_with_and_without_asking_first(lab: Lab) -> None:
    lab.do("add_endpoint")
    url = f"https://some-bucket.s3.{REGION}.amazonaws.com/key"
    written = lab.run(
        f"""echo written > object
        {ONCE} s3api put-object --region {REGION} --bucket some-bucket --key key --body object
        curl -sS -m 5 -H 'Expect: 100-continue' -T object {url}"""
    )
    assert written.exit_code == 0 and written.stderr == ""
    assert ["written" in request["body"] for request in lab.do("seen")] == [True, True]


def test_metadata_answers_in_version_2_only(lab: Lab) -> None:
    refused = lab.run(
        f"{lab.metadata} curl -s -o /dev/null -w '%{{http_code}}' $M/latest/meta-data/"
    )
    assert refused.stdout == "401"
    answers = lab.run(
        f"""{lab.metadata}{TOKEN}
        get meta-data/instance-id; echo
        get meta-data/placement/region; echo
        get meta-data/iam/security-credentials/; echo
        get dynamic/instance-identity/document | grep privateIp
        get meta-data/iam/info | grep Arn
        get meta-data/iam/security-credentials/reader | grep Token"""
    )
    lines = answers.stdout.splitlines()
    assert lines[:3] == [lab.instance, REGION, "reader"]
    assert "10.20.1." in lines[3] and "reader-profile" in lines[4] and lab.instance in lines[5]


def test_without_dns_support_no_name_is_found(lab: Lab) -> None:
    lab.do("add_endpoint")
    lab.do("set_dns_support", value=False)
    failed = lab.run(LIST)
    lab.do("set_dns_support", value=True)
    expected = "endpoint URL" if lab.mode == "namespace" else "proxy URL"
    assert failed.exit_code == 255 and expected in failed.stderr
    assert lab.run(LIST).exit_code == 0


def test_nothing_of_the_operator_reaches_the_script(lab: Lab) -> None:
    seen = lab.run("id -u; ls -A ~ | wc -l; env | cut -d= -f1 | sort | tr '\\n' ' '")
    user, files, names = seen.stdout.splitlines()
    assert user != "0" and files == "0"
    own = {"PATH", "HOME", "LANG", "PWD", "AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"}
    proxy = {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}
    if lab.mode == "portable":
        own |= proxy | {"AWS_EC2_METADATA_SERVICE_ENDPOINT"}
    assert set(names.split()) == own


def test_a_namespace_shows_neither_files_nor_hosts_of_this_machine(lab: Lab) -> None:
    if lab.mode == "portable":
        pytest.skip(NOT_HELD)
    with socket.create_server(("", 0)) as listener, socket.socket(type=socket.SOCK_DGRAM) as any_:
        port = listener.getsockname()[1]
        any_.connect(("198.51.100.1", 9))  # sends nothing; chooses the machine's own address
        own = any_.getsockname()[0]
        for address, seconds in {"127.0.0.1": 1, own: 1}.items():
            tried = lab.run(f"timeout {seconds} bash -c '</dev/tcp/{address}/{port}'")
            assert tried.exit_code != 0, address
    assert lab.run(f"ls {PROJECT}/lib").exit_code != 0
    keys = "cat /proc/*/environ /proc/*/cmdline | grep -a 'testin[g]'"  # those of the lab
    assert lab.run(keys).exit_code == 1
    assert len(lab.run("ls -d /proc/[0-9]*").stdout.splitlines()) <= 2  # the shell and its ls


def test_a_namespace_gives_no_way_to_change_this_machine(lab: Lab) -> None:
    if lab.mode == "portable":
        pytest.skip(NOT_HELD)
    assert lab.run(f"touch /usr/x || touch {sys.prefix}/x").exit_code != 0
    for mounted in lab.run("cat /proc/self/mounts").stdout.splitlines():
        _, at, kind, options, *_ = mounted.split()
        assert "nosuid" in options.split(",")
        assert "ro" in options.split(",") or (at, kind) in {("/", "tmpfs"), ("/proc", "proc")}
    status = lab.run("cat /proc/self/status").stdout
    assert re.search(r"NoNewPrivs:\s+1\n", status) and re.search(r"CapEff:\s+0+\n", status)


def test_the_resolver_knows_s3_and_the_internet_and_nothing_private(lab: Lab) -> None:
    if lab.mode == "portable":
        pytest.skip(NOT_HELD)
    names = f"s3.{REGION}.amazonaws.com", "example.com", "nothing.internal"
    found = [lab.run(f"getent ahostsv4 {name}").stdout.partition(" ")[0] for name in names]
    assert ip_address(found[0]) in ip_network(RANGES[REGION])
    assert ip_address(found[1]) in ip_network("198.51.100.0/24")
    assert found[2] == ""


def test_a_connection_that_says_nothing_holds_up_nobody(lab: Lab) -> None:
    if lab.mode == "portable":
        pytest.skip(NOT_HELD)
    lab.do("add_endpoint")
    host = f"some-bucket.s3.{REGION}.amazonaws.com"
    both = lab.run(f"exec bash -c 'exec 3<>/dev/tcp/{host}/443; curl -sS -m 5 https://{host}/'")
    assert both.exit_code == 0 and "ListBucketResult" in both.stdout


def test_the_proxy_connects_only_the_instance_and_only_where_it_may_go(lab: Lab) -> None:
    if lab.mode != "portable":
        pytest.skip(NOT_HELD)
    connect = "curl -s -m 1 -o /dev/null -w '%{http_connect}' https://example.com"
    assert lab.run(connect).stdout == "000"
    lab.do("add_nat")
    assert lab.run(connect).stdout == "200"
    assert lab.run(f"https_proxy=http://x:y@${{https_proxy#*@}} {connect}").stdout == "407"


def test_the_metadata_of_portable_mode_answer_nobody_else(lab: Lab) -> None:
    if lab.mode != "portable":
        pytest.skip(NOT_HELD)
    token = "curl -sf -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60'"
    origin = "${AWS_EC2_METADATA_SERVICE_ENDPOINT%/*}"
    for secret in ("", "/guess", "/%C3%A9"):
        assert lab.run(f"{token} {origin}{secret}/latest/api/token").exit_code == 22


def test_time_and_output_are_bounded(lab: Lab) -> None:
    began = time.monotonic()
    late = lab.run("echo first; sleep 4242 & sleep 4242", timeout=1)
    assert late.timed_out and late.stdout == "first\n" and time.monotonic() - began < 5
    wait_until(lambda: not processes("4242"))
    long = lab.run("yes | head -c 3000000; echo problem >&2; exit 3")
    assert len(long.stdout) == 1_000_000
    assert (long.exit_code, long.stderr, long.timed_out) == (3, "problem\n", False)


def test_instances_come_and_go(lab: Lab) -> None:
    lab.do("add_endpoint")
    second = str(lab.do("launch"))
    assert lab.run(LIST, instance=second).exit_code == 0
    assert positions(lab)[0]["instance_id"] == second
    lab.do("terminate", instance=second)
    with pytest.raises(RuntimeError, match="KeyError"):
        lab.run("true", instance=second)


def test_an_internal_error_is_no_timeout(lab: Lab) -> None:
    lab.do("add_endpoint")
    broken = f"curl -s -m 5 https://some-bucket.s3.{REGION}.amazonaws.com/broken"
    with pytest.raises(RuntimeError, match="planted in the application"):
        lab.run(broken)
        lab.run("sleep 0.2")  # the answer may be out before the error is noted
    lab.do("recover")
    lab.do("fail_in_gate")
    with pytest.raises(RuntimeError, match="planted"):
        lab.run("true")
    lab.do("recover")


@pytest.mark.parametrize("ordinary_user", [False, True])
def test_nothing_outlives_a_lab_that_is_killed(start: Start, ordinary_user: bool) -> None:
    interfaces = sorted(name for _, name in socket.if_nameindex())
    lab = start("namespace", ordinary_user=ordinary_user)
    lab.send("run", script="setsid sleep 4343 & sleep 4343")
    wait_until(lambda: len(processes("4343")) == 2)
    lab.process.kill()
    wait_until(lambda: not processes("4343"))
    assert sorted(name for _, name in socket.if_nameindex()) == interfaces


def test_a_command_does_not_begin_once_its_lab_has_ended() -> None:
    """What ends a command with its lab comes too late for one that is still to begin."""
    if os.getuid() != 0:
        pytest.skip("an ordinary user runs no sandbox outside of a lab")
    said = []
    for ended in (False, True):
        reads, tells = os.pipe()
        if ended:
            os.close(reads)
        command = [*in_sandbox(tells), "echo", "begun"]
        done = subprocess.run(command, pass_fds=[tells], capture_output=True, text=True)
        said.append(done.stdout)
        os.close(tells)
        if not ended:
            os.close(reads)
    assert said == ["begun\n", ""]


def test_a_portable_lab_that_is_killed_leaves_no_script_and_no_file(start: Start) -> None:
    lab = start("portable", ordinary_user=True)
    folder = Path(lab.run("dirname $PWD").stdout.strip())
    # Held open, because the lab may have a temporary directory that ends with it.
    directory = os.open(f"/proc/{lab.process.pid}/root{folder.parent}", os.O_RDONLY)
    files = Path(f"/proc/self/fd/{directory}/{folder.name}")
    assert files.exists()
    lab.send("run", script="sleep 4444 & trap '' TERM HUP; sleep 4444; true")
    wait_until(lambda: len(processes("4444")) == 2)
    lab.process.kill()
    wait_until(lambda: not processes("4444") and not files.exists())
    os.close(directory)


def processes(argument: str) -> list[str]:
    """The processes of this machine that sleep for so long."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[:2] == [b"sleep", argument.encode()]:
            found.append(path.parent.name)
    return found


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)

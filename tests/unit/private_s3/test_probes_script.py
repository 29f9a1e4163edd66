"""The script of the probes, run by real shells against an acted `aws` and `curl`."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from private_s3 import probes
from private_s3.ways_in import printed, ssh, ssm

# By the program that a name really stands for: `sh` mostly is another name of one of the others.
SHELLS = {
    Path(found).resolve().name: shell
    for shell in ("sh", "bash --posix", "dash")
    if (found := shutil.which(shell.split()[0]))
}
# All that the script needs beside a shell, `aws` and `curl`.
TOOLS = "cat cut date env grep mktemp rm sed sha256sum shasum tail timeout tr"
INSTANCE = "i-0123456789abcdef0"
KEY = f".private-s3-check/change-1/{INSTANCE}"
SCRIPT = {
    "bucket": "example-bucket",
    "region": "eu-west-1",
    "change_id": "change-1",
    "other_region": "us-east-1",
    "other_bucket": "other-bucket",
}
PATHS = SCRIPT | {"writes": True}

# An answer is a piece of shell in the file of its operation's name; without one all goes well.
AWS = r"""#!/bin/sh
echo "$*" >>"$FAKE/aws.log"
env >>"$FAKE/environment"
operation=$2
case $* in *"--region us-east-1"*) operation=other-region ;; esac
previous='' body=''
for argument; do
    if [ "$previous" = --body ]; then body=$argument; fi
    previous=$argument
done
for argument; do case $argument in */copy) copy=$argument ;; esac; done
if [ -e "$FAKE/$operation" ]; then . "$FAKE/$operation"; fi
case $operation in
    list-objects-v2) echo '"keys: 2"' ;;
    put-object) cat "$body" >"$FAKE/store"; echo '"s3://written"' ;;
    get-object) cat "$FAKE/store" >"$copy"; echo '"s3://read"' ;;
    delete-object) rm -f "$FAKE/store"; echo '"s3://deleted"' ;;
    other-region) echo 'Connect timeout on endpoint URL: "https://s3.us-east-1/"' >&2; exit 255 ;;
esac
"""
CURL = r"""#!/bin/sh
echo "$*" >>"$FAKE/curl.log"
case $* in
    *api/token*) operation=token ;;
    *instance-id*) operation=instance-id ;;
    *security-credentials*) operation=role ;;
    *placement/region*) operation=region ;;
    *) operation=internet ;;
esac
if [ -e "$FAKE/$operation" ]; then . "$FAKE/$operation"; fi
case $operation in
    token) printf 'the-token' ;;
    instance-id) printf i-0123456789abcdef0 ;;
    region) printf eu-west-1 ;;
    role) printf app-role ;;
    internet) echo 'curl: (28) Connection timed out after 3001 milliseconds' >&2; exit 28 ;;
esac
"""


def default_signals() -> None:
    """As on an instance: a signal that is ignored from the start, as under nohup, stays so."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


class Host:
    """A made-up instance: a short PATH, and answers that a test can replace."""

    def __init__(self, top: Path, shell: str) -> None:
        self.shell, self.fake, self.bin, self.tmp = shell, top / "fake", top / "bin", top / "tmp"
        for folder in (self.fake, self.bin, self.tmp):
            folder.mkdir()
        for tool in ("sh", "sleep", *TOOLS.split()):
            if found := shutil.which(tool):
                (self.bin / tool).symlink_to(found)
        for name, text in (("aws", AWS), ("curl", CURL)):
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)

    def answer(self, operation: str, shell: str) -> None:
        (self.fake / operation).write_text(shell + "\n")

    def fails(self, operation: str, text: str, code: int = 255) -> None:
        self.answer(operation, f"cat >&2 <<'END'\n{text}\nEND\nexit {code}")

    def log(self, name: str) -> list[str]:
        path = self.fake / name
        return path.read_text().splitlines() if path.exists() else []

    def start(
        self, script: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        command = [shutil.which(self.shell.split()[0]) or "", *self.shell.split()[1:], "-c", script]
        return subprocess.Popen(
            command,
            env={
                "PATH": str(self.bin),
                "FAKE": str(self.fake),
                "TMPDIR": str(self.tmp),
                **(environment or {}),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=default_signals,
        )

    def output(self, script: str = "", **environment: str) -> str:
        process = self.start(script or probes.script(**PATHS), environment)
        output, errors = process.communicate(timeout=30)
        assert (process.returncode, errors) == (0, "")
        assert not list(self.tmp.iterdir()), "the temporary folder is left behind"
        return output

    def output_of_input(self, script: str, *, fails: bool = False) -> str:
        """What a shell prints that reads the script from its standard input, as ssh gives it."""
        done = subprocess.run(
            [shutil.which(self.shell.split()[0]) or "", *self.shell.split()[1:], "-s"],
            input=script,
            env={"PATH": str(self.bin), "FAKE": str(self.fake), "TMPDIR": str(self.tmp)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode != 0) is fails, done.stderr
        return done.stdout

    def observe(self, script: str = "", **environment: str) -> dict[str, probes.Observation]:
        observations = probes.observations(INSTANCE, self.output(script, **environment))
        return {one.probe: one for one in observations}

    def outcomes(self, **environment: str) -> dict[str, str]:
        return {probe: one.outcome for probe, one in self.observe(**environment).items()}


@pytest.fixture(params=SHELLS.values(), ids=SHELLS.keys())
def host(tmp_path: Path, request: pytest.FixtureRequest) -> Host:
    return Host(tmp_path, request.param)


Healthy = tuple[Host, dict[str, probes.Observation]]


@pytest.fixture(scope="module", params=SHELLS.values(), ids=SHELLS.keys())
def healthy(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Healthy:
    """A host on which all goes well, after one run, and what was seen in it."""
    host = Host(tmp_path_factory.mktemp("healthy"), request.param)
    return host, host.observe()


def test_all_is_well_and_every_probe_is_seen(healthy: Healthy) -> None:
    host, seen = healthy
    assert {probe: one.outcome for probe, one in seen.items()} == {
        "identity": "succeeded",
        "list": "succeeded",
        "write": "succeeded",
        "read": "succeeded",
        "delete": "succeeded",
        "internet": "timeout",
        "other-region": "timeout",
    }
    assert tuple(seen) == probes.PROBES
    assert seen["identity"].detail == f"{INSTANCE} eu-west-1 app-role"
    assert seen["list"].detail == "keys: 2"
    assert not (host.fake / "store").exists()


def test_without_writes_the_bucket_is_only_listed(host: Host) -> None:
    seen = host.observe(probes.script(**SCRIPT, writes=False))
    assert set(seen) == {"identity", "list", "internet", "other-region"}
    assert {line.split()[1] for line in host.log("aws.log")} == {"list-objects-v2"}


def test_every_aws_call_is_bounded_and_names_its_region(healthy: Healthy) -> None:
    host, _ = healthy
    calls = host.log("aws.log")
    assert len(calls) == 5
    for call in calls:
        assert "--output json --cli-connect-timeout 3 --cli-read-timeout 10" in call
        assert re.search(
            r"--bucket (example-bucket .*--region eu-west-1|other-bucket .*--region us-east-1)",
            call,
        )
    environment = host.log("environment")
    assert environment.count("AWS_MAX_ATTEMPTS=1") == environment.count("AWS_PAGER=") == len(calls)


def test_the_one_object_is_under_the_reserved_prefix(healthy: Healthy) -> None:
    host, _ = healthy
    for call in host.log("aws.log"):
        if "list-objects-v2" not in call:
            assert f"--bucket example-bucket --key {KEY} " in call


def test_only_the_role_of_the_instance_can_answer(host: Host) -> None:
    kept = {
        "AWS_CA_BUNDLE": "/ca.pem",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1338/",
        "HTTPS_PROXY": "http://127.0.0.1:3128",
    }
    shadows = (
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"),
        *("AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_EC2_METADATA_DISABLED"),
        "AWS_CA_BUNDLES",
    )
    host.observe(**kept, **dict.fromkeys(shadows, "of-somebody"), AWS_CONFIG_FILE="of-somebody")
    environment = host.log("environment")
    assert not [line for line in environment if line.endswith("of-somebody")]
    for name, value in kept.items():
        assert f"{name}={value}" in environment
    assert "AWS_CONFIG_FILE=/dev/null" in environment
    assert "AWS_SHARED_CREDENTIALS_FILE=/dev/null" in environment


def test_identity_comes_from_the_second_version_of_the_metadata_service(host: Host) -> None:
    host.observe(AWS_EC2_METADATA_SERVICE_ENDPOINT="http://127.0.0.1:1338/")
    token, *others = [line for line in host.log("curl.log") if "/latest/" in line]
    assert "--request PUT" in token and "http://127.0.0.1:1338/latest/api/token" in token
    assert len(others) == 3
    for line in others:
        assert "--header X-aws-ec2-metadata-token: the-token" in line
    for line in (token, *others):
        assert "--noproxy * " in line and "--max-time 3" in line
    assert all(line.startswith("-q ") for line in host.log("curl.log"))


def test_an_answer_of_another_instance_is_no_success(host: Host) -> None:
    host.answer("instance-id", "printf i-0bad; exit 0")
    assert host.observe()["identity"].outcome == "another instance"


def test_without_a_role_identity_says_so(host: Host) -> None:
    host.fails("role", "curl: (22) The requested URL returned error: 404", 22)
    assert host.observe()["identity"].outcome == "no credentials"


def test_without_an_identity_the_object_still_gets_a_safe_name(host: Host) -> None:
    host.answer("instance-id", "echo '<html>$(reboot)'; exit 0")
    host.observe()
    keys = {line.split("--key ")[1].split()[0] for line in host.log("aws.log") if "--key " in line}
    assert len(keys) == 1
    assert re.fullmatch(r"\.private-s3-check/change-1/unknown-[0-9]+", keys.pop())


def test_the_internet_and_another_region_are_seen_when_they_answer(host: Host) -> None:
    host.answer("internet", "printf 'HTTP 200'; exit 0")
    host.answer("other-region", "echo 1; exit 0")
    seen = host.observe()
    assert (seen["internet"].outcome, seen["internet"].detail) == ("succeeded", "HTTP 200")
    assert seen["other-region"].outcome == "succeeded"
    assert any(line.endswith(" https://example.com") for line in host.log("curl.log"))


def test_a_probe_that_outlasts_the_others_is_waited_for(host: Host) -> None:
    host.answer("internet", "sleep 1; echo 'curl: (28) no answer' >&2; exit 28")
    seen = host.observe(probes.script(**SCRIPT, writes=False))
    assert seen["internet"].outcome == "timeout"


def test_each_failure_is_seen_at_its_own_probe(host: Host) -> None:
    host.fails(
        "list-objects-v2", '\nConnect timeout on endpoint URL: "https://b.s3.amazonaws.com/"'
    )
    host.fails("put-object", "\nAn error occurred (AccessDenied) when calling it: Access Denied")
    host.fails("get-object", "Unable to locate credentials.", 253)
    host.fails("delete-object", "something never seen before")
    host.fails("internet", "curl: (6) Could not resolve host: example.com", 6)
    assert host.outcomes() == {
        "identity": "succeeded",
        "list": "timeout",
        "write": "denied",
        "read": "no credentials",
        "delete": "unknown",
        "internet": "name not resolved",
        "other-region": "timeout",
    }


def test_a_failed_write_does_not_keep_the_others_from_being_tried(host: Host) -> None:
    host.fails("put-object", "An error occurred (AccessDenied) when calling it: Access Denied")
    host.fails("get-object", "An error occurred (NoSuchKey) when calling it: no such key", 254)
    outcomes = host.outcomes()
    assert (outcomes["write"], outcomes["read"]) == ("denied", "not found")
    assert outcomes["delete"] == "succeeded"


def test_an_object_that_reads_differently_is_found_out(host: Host) -> None:
    host.answer("get-object", 'echo changed >"$copy"; exit 0')
    seen = host.observe()
    assert seen["read"].outcome == "tampered"
    assert re.search("wrote [0-9a-f]{64}, read [0-9a-f]{64}$", seen["read"].text)
    assert not (host.fake / "store").exists()


def test_without_a_tool_for_checksums_nothing_is_called_equal(host: Host) -> None:
    for tool in ("sha256sum", "shasum"):
        (host.bin / tool).unlink(missing_ok=True)
    assert host.outcomes()["read"] == "unknown"


def test_other_tools_for_checksums_and_no_time_limit_will_do(host: Host) -> None:
    (host.bin / "timeout").unlink(missing_ok=True)
    (host.bin / "sha256sum").unlink(missing_ok=True)
    if not (host.bin / "shasum").exists():
        (host.bin / "shasum").symlink_to(shutil.which("sha256sum") or "")
        pytest.skip("shasum is not here")
    assert host.outcomes()["read"] == "succeeded"


@pytest.mark.parametrize("missing", ["aws", "curl"])
@pytest.mark.parametrize("limited", [True, False])
def test_a_missing_program_is_named(host: Host, missing: str, limited: bool) -> None:
    if any(Path(folder, missing).exists() for folder in ("/usr/local/bin", "/snap/bin")):
        pytest.skip(f"the script would find {missing} beside the search path")
    (host.bin / missing).unlink()
    if not limited:
        (host.bin / "timeout").unlink(missing_ok=True)
    outcome, concerned = {
        "aws": ("no aws cli", {"list", "write", "read", "delete", "other-region"}),
        "curl": ("no curl", {"identity", "internet"}),
    }[missing]
    # In another locale the quotes around the name are not plain ones.
    outcomes = host.outcomes(LC_ALL="C.UTF-8")
    assert {probe for probe, seen in outcomes.items() if seen == outcome} == concerned


def test_any_bytes_become_valid_json_in_plain_characters(host: Host) -> None:
    printed = (
        r"""printf '"q" \\ back\\slash %%s $(x) `x` tab\there\001\033[31m\303\251\377\177' >&2"""
    )
    host.answer("list-objects-v2", printed + "; printf '\\nnext\\r\\n' >&2; exit 255")
    output = host.output()
    assert output.isascii()
    record = next(
        record for record in map(json.loads, output.splitlines()) if record["probe"] == "list"
    )
    assert record["stderr"] == r'"q" \ back\slash %s $(x) `x` tab here??[31m???? next '
    assert set(record) == {"probe", "exit", "seconds", "stdout", "stderr"}


def test_output_stays_below_what_ssm_keeps(host: Host) -> None:
    flood = "head=$(printf '%0500d' 0 | tr 0 '\"'); for _ in 1 2 3 4 5 6; do echo \"$head\"; done"
    for operation in (
        *("list-objects-v2", "put-object", "get-object", "delete-object", "other-region"),
        *("token", "internet"),
    ):
        host.answer(operation, f"{flood}; ({flood}) >&2; echo the end >&2; exit 255")
    output = host.output()
    lines = output.splitlines()
    assert len(lines) == len(probes.PROBES)
    assert len(output) < 24_000
    # A longer line could be torn apart by one of a probe that runs beside it.
    assert max(map(len, lines)) < 4096
    assert all(json.loads(line)["stderr"].endswith("the end ") for line in lines)


def wait_for(path: Path) -> None:
    end = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < end, f"{path.name} has not happened"
        time.sleep(0.01)


@pytest.fixture
def writing(host: Host) -> Iterator[tuple[Host, subprocess.Popen[str]]]:
    """A host whose write takes long, and lands even when it is told to stop."""
    host.answer(
        "put-object",
        """trap 'sleep 0.3; cat "$body" >"$FAKE/store"; echo >"$FAKE/landed"; exit 1' TERM
        cat "$body" >"$FAKE/store"; echo >"$FAKE/putting"
        while :; do sleep 0.05; done""",
    )
    process = host.start(probes.script(**PATHS))
    wait_for(host.fake / "putting")
    yield host, process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_an_interrupted_write_leaves_nothing_behind(
    writing: tuple[Host, subprocess.Popen[str]], name: str
) -> None:
    host, process = writing
    number = signal.Signals[name]
    began = time.monotonic()
    process.send_signal(number)
    process.communicate(timeout=10)
    assert time.monotonic() - began < 5
    assert process.returncode == 128 + number
    assert (host.fake / "landed").exists()
    assert f"--key {KEY} " in host.log("aws.log")[-1]
    assert host.log("aws.log")[-1].startswith("s3api delete-object ")
    assert not (host.fake / "store").exists()
    assert not list(host.tmp.iterdir())


def test_a_second_signal_does_not_stop_the_cleaning_up(
    writing: tuple[Host, subprocess.Popen[str]],
) -> None:
    host, process = writing
    host.answer("delete-object", 'echo >"$FAKE/deleting"; sleep 0.5')
    process.terminate()
    wait_for(host.fake / "deleting")
    process.terminate()
    process.communicate(timeout=10)
    assert not (host.fake / "store").exists()
    assert not list(host.tmp.iterdir())


def test_a_write_of_which_nobody_wants_to_hear_leaves_nothing_behind(host: Host) -> None:
    """As when the connection of ssh is cut: there is no signal but that of a closed pipe."""
    host.answer("put-object", 'cat "$body" >"$FAKE/store"; echo >"$FAKE/putting"; sleep 0.5')
    process = host.start(probes.script(**PATHS))
    wait_for(host.fake / "putting")
    assert process.stdout and process.stderr
    process.stdout.close()
    with process.stderr:
        assert process.wait(timeout=10) == 141
    assert host.log("aws.log")[-1].startswith("s3api delete-object ")
    assert not (host.fake / "store").exists()
    assert not list(host.tmp.iterdir())


def test_an_object_that_was_never_written_is_not_deleted(host: Host) -> None:
    host.answer("list-objects-v2", 'echo >"$FAKE/listing"; exec sleep 20')
    process = host.start(probes.script(**PATHS))
    wait_for(host.fake / "listing")
    process.terminate()
    process.communicate(timeout=10)
    assert not [line for line in host.log("aws.log") if "--key" in line]
    assert not list(host.tmp.iterdir())


@pytest.mark.skipif(not shutil.which("timeout"), reason="no timeout program here")
def test_a_command_that_hangs_is_ended(host: Host) -> None:
    host.answer("list-objects-v2", "exec sleep 20")
    script = probes.script(**PATHS)
    assert script.count("'timeout 40'") == 1
    began = time.monotonic()
    seen = host.observe(script.replace("'timeout 40'", "'timeout 0.5'"))
    assert time.monotonic() - began < 10
    assert (seen["list"].outcome, seen["list"].detail) == ("unknown", "exit 124: nothing printed")


def test_the_slowest_run_ends_before_it_is_ended() -> None:
    text = probes.script(**PATHS)
    limit = int(re.findall(r"limit='timeout ([0-9]+)'", text)[0])
    metadata, internet = map(int, re.findall(r"--max-time ([0-9]+)", text))
    calls = len(re.findall(r"\bs3api \"\$\w+\" [a-z0-9-]+", text))
    assert calls == 6  # list, write, read, delete, the other Region, and cleaning up
    # As if nothing ran beside anything else.
    slowest = calls * limit + 4 * metadata + internet
    assert (
        slowest < ssm.EXECUTION_TIMEOUT - 30 and slowest < ssh.TIME_LIMIT - ssh.CONNECT_TIMEOUT - 30
    )


def test_read_from_the_standard_input_it_runs_whole_or_not_at_all(host: Host) -> None:
    """No command of it may take the rest of it for its input, nor half a script write."""
    for operation in ("list-objects-v2", "put-object", "token", "internet"):
        host.answer(operation, 'cat >"$FAKE/eaten"; [ ! -s "$FAKE/eaten" ] || exit 9')
    mark = printed.mark(probes.script(**PATHS))
    script = printed.marked(probes.script(**PATHS), mark)
    seen = printed.read(INSTANCE, host.output_of_input(script), mark, probes.PROBES)
    assert [one.outcome for one in seen[:5]] == ["succeeded"] * 5
    calls = host.log("aws.log")
    for part in (0.2, 0.6, 0.9, 0.99):
        cut = script[: int(len(script) * part)]
        host.output_of_input(cut, fails=True)
    assert host.log("aws.log") == calls


def test_the_script_has_nothing_that_ssm_would_fill_in() -> None:
    assert "{{" not in probes.script(**PATHS)


def test_the_script_is_shipped_and_parsed_by_every_shell(host: Host) -> None:
    command: list[Any] = [*host.shell.split(), "-n", "-c", probes.script(**PATHS)]
    assert subprocess.run(command, env=os.environ, check=True).returncode == 0

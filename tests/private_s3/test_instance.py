"""What is made of the probes' output, and how their command is sent and waited for."""

from __future__ import annotations

import hashlib
import itertools
import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from private_s3 import aws, instance
from private_s3.errors import AwsRefused, BadInput, CheckFailed
from private_s3.instance import Answers, Observation
from private_s3.journal import Outcome

ONE, TWO = "i-0123456789abcdef0", "i-0fedcba9876543210"
COMMAND = "11111111-2222-3333-4444-555555555555"
SCRIPT = {
    "bucket": "example-bucket",
    "region": "eu-west-1",
    "change_id": "change-1",
    "other_region": "us-east-1",
    "other_bucket": "other-bucket",
}
SCRIPT_VALUES = [*SCRIPT, "internet"]


@contextmanager
def unkept(operation: str, request: Any, remedy: str) -> Iterator[Outcome]:
    """Brackets a write as a journal does, and keeps nothing."""
    with aws.attempt(f"call {operation}", remedy):
        yield Outcome()


def test_the_values_are_assigned_in_front_of_the_script() -> None:
    first = instance.script(**SCRIPT, writes=True).splitlines()[:7]
    assert first == [
        "bucket=example-bucket",
        "region=eu-west-1",
        "prefix=.private-s3-check/change-1",
        "other_region=us-east-1",
        "other_bucket=other-bucket",
        "internet=https://example.com",
        "writes=yes",
    ]
    assert "\nwrites=no\n" in instance.script(**SCRIPT, writes=False)


def test_the_values_are_quoted_even_if_a_pattern_lets_too_much_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(instance.SAFE, "bucket", "(?s).*")
    for bucket in ("$(reboot)", "a b", "a'b", "a\nb;reboot"):
        text = instance.script(**(SCRIPT | {"bucket": bucket}), writes=False)
        assert shlex.split(text.partition("\nregion=")[0]) == [f"bucket={bucket}"]


@pytest.mark.parametrize("name", SCRIPT_VALUES)
@pytest.mark.parametrize(
    "hostile",
    [
        *("", " ", "-rf", "--endpoint-url", "a b", "a'b", 'a"b', "a;b", "a|b", "a&b", "a\\b"),
        *("$(reboot)", "`reboot`", "${HOME}", "a\nb", "a\n", "\n", "../../etc", "a*", "a\0b"),
        *("bücket", "a{{ssm:secret}}", "https://", "https://-a", "https://a b", "https://a/$(b)"),
        *("file:///etc/passwd", "eu-west-1\n", "eu-west-1;reboot", "eu-west-\u0661"),
    ],
)
def test_a_hostile_value_is_refused_by_name(name: str, hostile: str) -> None:
    with pytest.raises(BadInput) as caught:
        instance.script(**(SCRIPT | {name: hostile}), writes=False)
    assert f"{name if name != 'change_id' else 'prefix'} = " in caught.value.answer


def test_the_other_region_must_be_another_one() -> None:
    with pytest.raises(BadInput, match="is the Region of the bucket"):
        instance.script(**(SCRIPT | {"other_region": "eu-west-1"}), writes=False)


def denied(why: str, action: str = "s3:ListBucket") -> str:
    return (
        "\nAn error occurred (AccessDenied) when calling the ListObjectsV2 operation: User: "
        f"arn:aws:sts::123456789012:assumed-role/app/{ONE} is not authorized to perform: {action} "
        f'on resource: "arn:aws:s3:::no-timeout-bucket" {why}'
    )


URL = '"https://b.s3.eu-west-1.amazonaws.com/?list-type=2&max-keys=5&encoding-type=url"'
SESSION = "with an explicit deny in a session policy"
CASES = [
    (0, "", "", "succeeded", ""),
    (0, '"keys: 2" ', "a warning", "succeeded", "keys: 2"),
    (255, "", f"\nConnect timeout on endpoint URL: {URL}", "timeout", ""),
    (255, "", f"aws: [ERROR]: Connect timeout on endpoint URL: {URL}", "timeout", ""),
    (255, "", f"Read timeout on endpoint URL: {URL}", "timeout", ""),
    (28, "HTTP 000", "curl: (28) Connection timed out after 3001 milliseconds", "timeout", ""),
    (28, "", "curl: (28) Failed to connect to a port 443 after 3001 ms: Timeout was reached",
     "timeout", ""),
    (28, "", "curl: (28) Proxy CONNECT aborted due to timeout", "timeout", ""),
    (7, "", "curl: (7) Failed to connect to a port 443: Connection timed out", "timeout", ""),
    (255, "", f"\nCould not connect to the endpoint URL: {URL}", "no connection", ""),
    (7, "", "curl: (7) Failed to connect to a port 443 after 0 ms: Couldn't connect to server",
     "no connection", ""),
    (6, "", "curl: (6) Could not resolve host: example.com", "name not resolved", ""),
    (255, "", 'Failed to connect to proxy URL: "http://10.0.0.9:3128"', "proxy", ""),
    (5, "", "curl: (5) Could not resolve proxy: proxy", "proxy", ""),
    (56, "", "curl: (56) CONNECT tunnel failed, response 403", "proxy", ""),
    (56, "", "curl: (56) Received HTTP code 403 from proxy after CONNECT", "proxy", ""),
    (60, "", "curl: (60) SSL certificate problem: self-signed certificate", "not trusted", ""),
    (255, "", f"SSL validation failed for {URL} [SSL: CERTIFICATE_VERIFY_FAILED]",
     "not trusted", ""),
    (255, "", denied("with an explicit deny in a resource-based policy"), "denied",
     "explicit deny in a resource-based policy"),
    (254, "", "aws: [ERROR]: " + denied("with an explicit deny in a VPC endpoint policy").strip(),
     "denied", "explicit deny in a VPC endpoint policy"),
    (255, "", denied("with an explicit deny in a service control policy: arn:aws:o::1:p/x/y"),
     "denied", "explicit deny in a service control policy"),
    (255, "", denied("with an explicit deny in an identity-based policy"), "denied",
     "explicit deny in an identity-based policy"),
    (255, "", denied(SESSION), "denied", "explicit deny in a session policy"),
    (255, "", denied("with an explicit deny in a permissions boundary"), "denied",
     "explicit deny in a permissions boundary"),
    (255, "", denied("because no VPC endpoint policy allows the s3:ListBucket action"), "denied",
     "no VPC endpoint policy allows"),
    (255, "", denied("because no identity-based policy allows the s3:ListBucket action"), "denied",
     "no identity-based policy allows"),
    (255, "", denied("because no permissions boundary allows the s3:ListBucket action"), "denied",
     "no permissions boundary allows"),
    (255, "", denied("because no identity-based policy allows the kms:Decrypt action",
                     "kms:Decrypt"), "denied", "no identity-based policy allows (kms:Decrypt)"),
    (255, "", "An error occurred (AccessDenied) when calling the GetObject operation: "
     "Access Denied", "denied", "Access Denied"),
    (255, "", "An error occurred (403) when calling the HeadBucket operation: Forbidden",
     "denied", "Forbidden"),
    (254, "", "An error occurred (NoSuchBucket) when calling the ListObjectsV2 operation: "
     "The specified bucket does not exist", "not found", "The specified bucket does not exist"),
    (255, "", "An error occurred (404) when calling the HeadBucket operation: Not Found",
     "not found", "Not Found"),
    (255, "", "An error occurred (PermanentRedirect) when calling the ListObjectsV2 operation: "
     "The bucket you are attempting to access must be addressed using the specified endpoint.",
     "wrong region", ""),
    (255, "", 'Unable to locate credentials. You can configure credentials by running "aws '
     'configure".', "no credentials", ""),
    (253, "", "aws: [ERROR]: Unable to locate credentials. You can configure credentials by "
     'running "aws login".', "no credentials", ""),
    (22, "", "curl: (22) The requested URL returned error: 404", "no credentials", ""),
    (22, "", "curl: (22) The requested URL returned error: 404 Not Found", "no credentials", ""),
    (127, "", "sh: 47: exec: aws: not found", "no aws cli", ""),
    (127, "", "sh: line 47: aws: command not found", "no aws cli", ""),
    (127, "", "timeout: failed to run command 'aws': No such file or directory", "no aws cli", ""),
    (127, "", "sh: 53: curl: not found", "no curl", ""),
    (127, "", "bash: line 53: curl: command not found", "no curl", ""),
    (1, "", f"checksum differs: wrote {'a' * 64}, read {'b' * 64}", "tampered", ""),
    (1, "", "checksum differs: wrote nothing, read nothing", "unknown",
     "exit 1: checksum differs: wrote nothing, read nothing"),
    (255, "", "An error occurred (RequestTimeTooSkewed) when calling it: clock", "unknown",
     "exit 255: An error occurred (RequestTimeTooSkewed) when calling it: clock"),
    (124, "", "", "unknown", "exit 124: nothing printed"),
    # The code alone says nothing: 28 and 255 have no meaning without their text.
    (28, "", "no words of curl", "unknown", "exit 28: no words of curl"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "stdout", "stderr", "outcome", "detail"), CASES)
def test_a_printed_text_is_understood(
    code: int, stdout: str, stderr: str, outcome: str, detail: str
) -> None:
    assert instance.classify(code, stdout, stderr) == (outcome, detail)


def test_every_way_to_be_understood_is_in_the_cases() -> None:
    assert set(instance.READINGS.values()) <= {case[3] for case in CASES}
    assert set(instance.READINGS.values()) > instance.UNREACHABLE


@pytest.mark.parametrize(
    ("outcome", "expected", "agrees"),
    [
        ("timeout", "timeout", True),
        ("timeout", "unreachable", True),
        ("name not resolved", "unreachable", True),
        ("succeeded", "unreachable", False),
        ("denied", "unreachable", False),
        ("not found", "unreachable", False),
        ("proxy", "unreachable", False),
        ("not trusted", "unreachable", False),
        ("no curl", "unreachable", False),
        ("unknown", "unreachable", False),
        ("timeout", "succeeded", False),
    ],
)
def test_unreachable_stands_only_for_no_answer_at_all(
    outcome: str, expected: str, agrees: bool
) -> None:
    assert Observation(ONE, "internet", outcome, "", 3).agrees(expected) is agrees


class Ssm:
    """An SSM client, and what it is to be asked and to answer, in order."""

    def __init__(self) -> None:
        self.client = boto3.client(
            "ssm", region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b"
        )
        self.stub = Stubber(self.client)

    def lists(self, *pings: tuple[str, str], asked: tuple[str, ...] = (ONE,)) -> None:
        self.stub.add_response(
            "describe_instance_information",
            {"InstanceInformationList": [{"InstanceId": i, "PingStatus": p} for i, p in pings]},
            {"Filters": [{"Key": "InstanceIds", "Values": list(asked)}]},
        )

    def takes_the_command(self, *instance_ids: str) -> None:
        self.stub.add_response(
            "send_command",
            {"Command": {"CommandId": COMMAND}, "ResponseMetadata": {"RequestId": "r-1"}},
            {
                "InstanceIds": list(instance_ids),
                "DocumentName": "AWS-RunShellScript",
                "Comment": "Checks of the private path to S3",
                "Parameters": {"commands": ["the script"], "executionTimeout": ["300"]},
                "TimeoutSeconds": 30,
            },
        )

    def has_nothing_yet(self) -> None:
        self.stub.add_client_error("get_command_invocation", "InvocationDoesNotExist")

    def answers(
        self, status: str, output: str = "", errors: str = "", details: str = "", of: str = ONE
    ) -> None:
        self.stub.add_response(
            "get_command_invocation",
            {
                "Status": status,
                "StatusDetails": details or status,
                "StandardOutputContent": output,
                "StandardErrorContent": errors,
            },
            {"CommandId": COMMAND, "InstanceId": of},
        )


@pytest.fixture
def ssm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ssm]:
    """An SSM client without a network; time passes 15 seconds at every look, without waiting."""
    clock = SimpleNamespace(monotonic=itertools.count(0, 15).__next__, sleep=lambda _: None)
    monkeypatch.setattr("private_s3.aws.time", clock)
    ssm = Ssm()
    with ssm.stub:
        yield ssm
    ssm.stub.assert_no_pending_responses()


def line(probe: str, exit: int = 0, stdout: str = "", stderr: str = "") -> str:
    record = {"probe": probe, "exit": exit, "seconds": 1, "stdout": stdout, "stderr": stderr}
    return json.dumps(record) + "\n"


def test_an_instance_that_ssm_does_not_list_is_not_managed(ssm: Ssm) -> None:
    ssm.lists((TWO, "ConnectionLost"), asked=(ONE, TWO))
    assert instance.managed(ssm.client, [ONE, TWO]) == {
        ONE: "not managed",
        TWO: "ConnectionLost",
    }


def test_run_waits_until_the_probes_have_ended(ssm: Ssm) -> None:
    ssm.lists((ONE, "Online"))
    ssm.takes_the_command(ONE)
    ssm.has_nothing_yet()
    for status in ("Pending", "Delayed", "InProgress"):
        ssm.answers(status)
    output = line("internet", 28, stderr="curl: (28) x") + line("identity", 0, f"{ONE} r role ")
    ssm.answers("Success", output)
    assert instance.run(ssm.client, unkept, [ONE], "the script") == [
        Observation(ONE, "identity", "succeeded", f"{ONE} r role", 1, f"{ONE} r role"),
        Observation(ONE, "internet", "timeout", "", 1, "curl: (28) x"),
    ]


def test_one_command_serves_all_instances(ssm: Ssm) -> None:
    ssm.lists((ONE, "Online"), (TWO, "Online"), asked=(ONE, TWO))
    ssm.takes_the_command(ONE, TWO)
    ssm.answers("Success", line("list"))
    ssm.answers("Success", line("list"), of=TWO)
    seen = instance.run(ssm.client, unkept, [ONE, TWO], "the script")
    assert [one.instance_id for one in seen] == [ONE, TWO]


@pytest.mark.parametrize("status", ["not managed", "ConnectionLost", "Inactive"])
def test_an_instance_without_an_agent_is_named_with_the_way_out(ssm: Ssm, status: str) -> None:
    others = () if status == "not managed" else ((TWO, status),)
    ssm.lists((ONE, "Online"), *others, asked=(ONE, TWO))
    with pytest.raises(CheckFailed) as caught:
        instance.run(ssm.client, unkept, [ONE, TWO], "the script")
    assert caught.value.answer == f"{TWO} is {status}"
    for word in ("ssm", "ssmmessages", "AmazonSSMManagedInstanceCore", "agent"):
        assert word in caught.value.remedy


@pytest.mark.parametrize(
    ("status", "details"),
    [
        ("Failed", "Failed"),
        ("TimedOut", "Execution Timed Out"),
        ("TimedOut", "DeliveryTimedOut"),
        ("Cancelled", "Cancelled"),
        ("Failed", "Undeliverable"),
        ("Undeliverable", "Undeliverable"),
    ],
)
def test_a_command_that_does_not_end_well_is_an_error(ssm: Ssm, status: str, details: str) -> None:
    ssm.lists((ONE, "Online"))
    ssm.takes_the_command(ONE)
    ssm.answers(status, line("list"), "mktemp: no space\nleft", details)
    with pytest.raises(CheckFailed) as caught:
        instance.run(ssm.client, unkept, [ONE], "the script")
    assert ONE in caught.value.attempted and COMMAND in caught.value.attempted
    assert caught.value.answer == f"SSM answered {status} ({details}). mktemp: no space left"


def test_waiting_has_an_end_that_names_the_last_state(ssm: Ssm) -> None:
    ssm.lists((ONE, "Online"))
    ssm.takes_the_command(ONE)
    ssm.has_nothing_yet()
    # At 15 seconds a look and a limit of 340: the look after 345 seconds is the last.
    for _ in range(22):
        ssm.answers("InProgress")
    with pytest.raises(AwsRefused, match="Last seen: InProgress") as caught:
        instance.run(ssm.client, unkept, [ONE], "the script")
    assert ONE in caught.value.attempted


@pytest.mark.parametrize(
    "output",
    ["Welcome!\n", "{}\n", '{"probe":"list"}\n', line("new"), "[1]\n", '{"probe":"list","exit":1'],
)
def test_output_that_is_not_the_probes_is_an_error(ssm: Ssm, output: str) -> None:
    ssm.lists((ONE, "Online"))
    ssm.takes_the_command(ONE)
    ssm.answers("Success", line("list") + output)
    with pytest.raises(CheckFailed, match="Could not read what the checks on"):
        instance.run(ssm.client, unkept, [ONE], "the script")


@pytest.mark.parametrize("output", ["", "i-0fedcba9876543210 r role", f"{ONE}0 r role"])
def test_identity_must_name_the_instance_that_was_asked(ssm: Ssm, output: str) -> None:
    ssm.lists((ONE, "Online"))
    ssm.takes_the_command(ONE)
    ssm.answers("Success", line("identity", 0, output))
    assert instance.run(ssm.client, unkept, [ONE], "the script")[0].outcome == "another instance"


@pytest.mark.parametrize(
    ("calls", "permission"),
    [
        (0, "ssm:DescribeInstanceInformation"),
        (1, "ssm:SendCommand"),
        (2, "ssm:GetCommandInvocation"),
    ],
)
def test_a_refusal_names_the_permission_to_grant(ssm: Ssm, calls: int, permission: str) -> None:
    if calls > 0:
        ssm.lists((ONE, "Online"))
    if calls > 1:
        ssm.takes_the_command(ONE)
    operation = ("describe_instance_information", "send_command", "get_command_invocation")[calls]
    ssm.stub.add_client_error(operation, "AccessDeniedException", "no")
    with pytest.raises(AwsRefused) as caught:
        instance.run(ssm.client, unkept, [ONE], "the script")
    assert caught.value.code == "AccessDeniedException"
    assert permission in caught.value.remedy


def rows(observations: list[Observation], expected: instance.Expected) -> list[list[Any]]:
    frame = instance.frame(observations, expected)
    assert tuple(frame.columns) == instance.PROBE_COLUMNS
    return [list(row) for row in frame.itertuples(index=False)]


def test_the_frame_holds_expected_against_observed() -> None:
    observations = [
        Observation(TWO, "list", "denied", "Access Denied", 1),
        Observation(ONE, "internet", "timeout", "", 3),
        Observation(ONE, "list", "succeeded", "keys: 2", 1),
    ]
    expected = {"internet": "unreachable", "list": "succeeded"}
    assert rows(observations, {ONE: expected, TWO: expected}) == [
        [ONE, "list", "succeeded", "succeeded", "keys: 2"],
        [ONE, "internet", "unreachable", "timeout", ""],
        [TWO, "list", "succeeded", "denied", "Access Denied"],
        [TWO, "internet", "unreachable", "not run", ""],
    ]


def test_the_frame_keeps_its_columns_when_nothing_was_seen() -> None:
    assert rows([], {}) == []


def test_an_observation_that_nobody_expected_is_shown() -> None:
    assert rows([Observation(ONE, "list", "timeout", "", 3)], {}) == [
        [ONE, "list", "", "timeout", ""]
    ]


@pytest.mark.parametrize(
    ("probe", "outcome", "text", "state"),
    [
        ("list", "succeeded", "", "allowed"),
        ("list", "denied", "", "denied"),
        ("list", "timeout", "", "no way"),
        ("write", "no connection", "", "no way"),
        ("read", "not found", "", "allowed"),
        ("read", "denied", "is not authorized to perform: s3:ListBucket on", "allowed"),
        ("read", "denied", "is not authorized to perform: s3:GetObject on", "denied"),
        ("list", "denied", "is not authorized to perform: s3:ListBucket on", "denied"),
        ("list", "wrong region", "", "wrong region"),
    ],
)
def test_an_outcome_is_a_state_of_the_access_matrix(
    probe: str, outcome: str, text: str, state: str
) -> None:
    assert Observation(ONE, probe, outcome, "", 1, text).state == state


def test_neighbours_that_ssm_does_not_reach_are_left_out(ssm: Ssm) -> None:
    ssm.lists((ONE, "Online"), (TWO, "ConnectionLost"), asked=(ONE, TWO))
    ssm.takes_the_command(ONE)
    ssm.answers("Success", line("list", 0, "keys: 1"))
    seen = instance.run(ssm.client, unkept, [ONE], "the script", optional=[TWO])
    assert [one.instance_id for one in seen] == [ONE]


def test_the_command_is_noted_with_its_id_and_a_hash_of_its_script(ssm: Ssm) -> None:
    noted: list[Any] = []

    @contextmanager
    def write(operation: str, request: Any, remedy: str) -> Iterator[Outcome]:
        yield (outcome := Outcome())
        noted.extend((operation, request, outcome.values))

    ssm.lists((ONE, "Online"))
    ssm.takes_the_command(ONE)
    ssm.answers("Success", line("list"))
    instance.run(ssm.client, write, [ONE], "the script")
    operation, request, values = noted
    assert (operation, request["InstanceIds"]) == ("SendCommand", [ONE])
    assert request["script"] == f"sha256 {hashlib.sha256(b'the script').hexdigest()}"
    assert values["command_id"]


# -- the answers ----------------------------------------------------------------------------------


def ask(ssm: Ssm, *, applying: bool) -> Answers:
    return instance.ask(
        ssm.client,
        unkept,
        [ONE],
        neighbours=[TWO],
        bucket="example-bucket",
        region="us-east-1",
        change_id="change-1",
        applying=applying,
    )


def test_instances_that_cannot_be_asked_are_no_failure_before_anything_is_done(ssm: Ssm) -> None:
    ssm.lists((ONE, "ConnectionLost"), asked=(ONE, TWO))
    found = ask(ssm, applying=False)
    told = [(check.name, check.state, check.detail) for check in found.checks()]
    assert told == [(f"{ONE} can be asked", "UNCERTAIN", f"{ONE} is ConnectionLost")]


def test_instances_that_cannot_be_asked_are_one_once_the_change_is_applied(ssm: Ssm) -> None:
    ssm.lists((ONE, "ConnectionLost"), asked=(ONE, TWO))
    with pytest.raises(CheckFailed, match=f"{ONE} is ConnectionLost"):
        ask(ssm, applying=True)


@pytest.mark.parametrize("applying", [True, False])
def test_writes_are_sent_and_expected_only_while_applying(
    monkeypatch: pytest.MonkeyPatch, ssm: Ssm, applying: bool
) -> None:
    sent: list[str] = []

    def run(
        _: Any, __: Any, ids: list[str], script: str, *, optional: list[str]
    ) -> list[Observation]:
        assert (ids, optional) == ([ONE], [TWO])
        sent.append(script)
        return [Observation(TWO, "list", "denied", "", 1)]

    monkeypatch.setattr(instance, "run", run)
    found = ask(ssm, applying=applying)
    assert f"writes={'yes' if applying else 'no'}\n" in sent[0]
    assert "other_region=us-west-2\n" in sent[0]  # not the bucket's own
    assert list(found.expected) == [ONE]  # nothing is demanded of a neighbour
    assert found.expected[ONE].keys() >= {"identity", "list", "internet", "other-region"}
    assert ({"write", "read", "delete"} <= found.expected[ONE].keys()) is applying


@pytest.mark.parametrize(
    ("seen", "applying", "state", "detail"),
    [
        ([("list", "succeeded", "keys: 1")], True, "PASS", "succeeded: keys: 1"),
        ([("list", "timeout", "")], True, "FAIL", "timeout; expected: succeeded"),
        ([("list", "timeout", "")], False, "SKIPPED", "timeout"),
        ([], True, "FAIL", "not run"),
        ([("write", "succeeded", "")], False, "FAIL", "not run"),
    ],
)
def test_an_answer_is_checked_against_what_is_expected(
    seen: list[tuple[str, str, str]], applying: bool, state: str, detail: str
) -> None:
    observations = [Observation(ONE, *one, 1) for one in seen]
    observations += [Observation(TWO, "list", "denied", "", 1)]
    answers = Answers(observations, {ONE: {"list": "succeeded"}}, applying)
    (check,) = answers.checks()
    assert (check.name, check.state, check.detail) == (f"list from {ONE}", state, detail)


def test_nobody_is_asked_where_no_instance_is_left(ssm: Ssm) -> None:
    assert instance.run(ssm.client, unkept, [], "the script") == []
    ssm.lists((TWO, "ConnectionLost"), asked=(TWO,))
    assert instance.run(ssm.client, unkept, [], "the script", optional=[TWO]) == []

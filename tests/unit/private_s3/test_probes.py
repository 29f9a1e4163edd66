"""The script of the probes, and what is made of what they print."""

from __future__ import annotations

import shlex

import pytest

from private_s3 import probes
from private_s3.errors import BadInput
from private_s3.probes import Observation

ONE = "i-0123456789abcdef0"
SCRIPT = {
    "bucket": "example-bucket",
    "region": "eu-west-1",
    "change_id": "change-1",
    "other_region": "us-east-1",
    "other_bucket": "other-bucket",
}
SCRIPT_VALUES = [*SCRIPT, "internet"]


def test_the_values_are_assigned_in_front_of_the_script() -> None:
    first = probes.script(**SCRIPT, writes=True).splitlines()[:7]
    assert first == [
        "bucket=example-bucket",
        "region=eu-west-1",
        "prefix=.private-s3-check/change-1",
        "other_region=us-east-1",
        "other_bucket=other-bucket",
        "internet=https://example.com",
        "writes=yes",
    ]
    assert "\nwrites=no\n" in probes.script(**SCRIPT, writes=False)


def test_the_values_are_quoted_even_if_a_pattern_lets_too_much_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(probes.SAFE, "bucket", "(?s).*")
    for bucket in ("$(reboot)", "a b", "a'b", "a\nb;reboot"):
        text = probes.script(**(SCRIPT | {"bucket": bucket}), writes=False)
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
        probes.script(**(SCRIPT | {name: hostile}), writes=False)
    assert f"{name if name != 'change_id' else 'prefix'} = " in caught.value.answer


def test_the_other_region_must_be_another_one() -> None:
    with pytest.raises(BadInput, match="is the Region of the bucket"):
        probes.script(**(SCRIPT | {"other_region": "eu-west-1"}), writes=False)


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
    assert probes.classify(code, stdout, stderr) == (outcome, detail)


def test_every_way_to_be_understood_is_in_the_cases() -> None:
    assert set(probes.READINGS.values()) <= {case[3] for case in CASES}
    assert set(probes.READINGS.values()) > probes.UNREACHABLE


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

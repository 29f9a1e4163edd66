"""What a command has printed is read for what it says; whatever it is, it is never run."""

from __future__ import annotations

import time

import pytest

from private_s3.doctor import error_text
from private_s3.doctor.error_text import LIMIT, UNKNOWN, Clue, read

REGION = "ap-northeast-1"
S3 = f"https://data.s3.{REGION}.amazonaws.com"
PACKAGES = f"al2023-repos-{REGION}-de612dc2"
USER = "User: arn:aws:sts::123456789012:assumed-role/app/i-0123456789abcdef0"


def denied(operation: str, action: str, reason: str, code: str = "AccessDenied") -> str:
    """As S3 refuses, by the AWS CLI."""
    about = f'{USER} is not authorized to perform: {action} on resource: "arn:aws:s3:::data"'
    return f"An error occurred ({code}) when calling the {operation} operation: {about} {reason}"


BECAUSE = "because no {} policy allows the s3:GetObject action"
TEXTS: dict[str, tuple[str, str, tuple[int, ...]]] = {
    "timeout": (
        f'Connect timeout on endpoint URL: "{S3}/?list-type=2"',
        "timeout",
        (1, 2, 3, 7, 5),
    ),
    "read timeout": (f'Read timeout on endpoint URL: "{S3}/"', "timeout", (1, 2, 3, 7, 5)),
    "by version 2": (
        f'aws: [ERROR]: Connect timeout on endpoint URL: "{S3}/"',
        "timeout",
        (1, 2, 3, 7, 5),
    ),
    "botocore": (
        f'botocore.exceptions.ConnectTimeoutError: Connect timeout on endpoint URL: "{S3}/"',
        "timeout",
        (1, 2, 3, 7, 5),
    ),
    "curl, timeout": (
        "curl: (28) Connection timed out after 5001 milliseconds",
        "timeout",
        (1, 2, 3, 7, 5),
    ),
    "curl, too slow": (
        "curl: (28) Operation too slow. Less than 1 bytes/sec transferred the last 5 seconds",
        "timeout",
        (1, 2, 3, 7, 5),
    ),
    "old name": (
        'Connect timeout on endpoint URL: "https://data.s3.amazonaws.com/"',
        "timeout",
        (4, 1, 2, 3, 7, 5),
    ),
    "old name, no bucket": (
        'Connect timeout on endpoint URL: "https://s3.amazonaws.com/"',
        "timeout",
        (4, 1, 2, 3, 7, 5),
    ),
    "no Region": (
        'You must specify a region. You can also configure your region by running "aws configure".',
        "no Region",
        (4,),
    ),
    "redirect": (
        "An error occurred (PermanentRedirect) when calling the ListObjectsV2 operation: The "
        "bucket you are attempting to access must be addressed using the specified endpoint.",
        "another Region",
        (5, 4),
    ),
    "no name, no Region": (
        'Could not connect to the endpoint URL: "https://data.s3.amazonaws.com/"',
        "no connection",
        (6, 4),
    ),
    "no name": (f'Could not connect to the endpoint URL: "{S3}/"', "no connection", (6,)),
    "curl, no name": (
        f"curl: (6) Could not resolve host: data.s3.{REGION}.amazonaws.com",
        "no connection",
        (6,),
    ),
    "agent, no name": (
        f"dial tcp: lookup s3.{REGION}.amazonaws.com on 10.0.0.2:53: no such host",
        "no connection",
        (6,),
    ),
    "second endpoint": (
        "An error occurred (RouteAlreadyExists) when calling the CreateVpcEndpoint operation: "
        "route table rtb-1 already has a route with destination-prefix-list-id pl-61a54008",
        "served already",
        (8,),
    ),
    "second endpoint, Terraform": (
        "Error: creating EC2 VPC Endpoint: RouteAlreadyExists: route table rtb-1 has a route",
        "served already",
        (8,),
    ),
    "route by hand": (
        "An error occurred (InvalidParameterValue) when calling the DeleteRoute operation: cannot "
        "remove VPC endpoint route pl-61a54008 in route table rtb-1",
        "route of an endpoint",
        (9,),
    ),
    "route by Terraform": (
        "Error: InvalidParameterValue: Cannot create or replace a prefix list route targeting a "
        "VPC Endpoint.",
        "route of an endpoint",
        (9,),
    ),
    "cut": (
        "Connection was closed before we received a valid response from endpoint URL",
        "connection cut",
        (10,),
    ),
    "by the bucket policy": (
        denied("GetObject", "s3:GetObject", "with an explicit deny in a resource-based policy"),
        "bucket policy",
        (12, 13, 11),
    ),
    "by the endpoint's policy": (
        denied("GetObject", "s3:GetObject", BECAUSE.format("VPC endpoint")),
        "endpoint policy",
        (14,),
    ),
    "denied by the endpoint's policy": (
        denied("GetObject", "s3:GetObject", "with an explicit deny in a VPC endpoint policy"),
        "endpoint policy",
        (14,),
    ),
    "by the role": (
        denied("GetObject", "s3:GetObject", BECAUSE.format("identity-based")),
        "role",
        (18,),
    ),
    "by a boundary": (
        denied("GetObject", "s3:GetObject", "because no permissions boundary allows the action"),
        "permissions boundary",
        (),
    ),
    "by the organization": (
        denied("GetObject", "s3:GetObject", "with an explicit deny in a service control policy"),
        "service control policy",
        (),
    ),
    "all buckets": (
        denied("ListBuckets", "s3:ListAllMyBuckets", BECAUSE.format("identity-based")),
        "all buckets",
        (18,),
    ),
    "without a reason": (
        "An error occurred (AccessDenied) when calling the GetObject operation: Access Denied",
        "denied",
        (18, 14, 12),
    ),
    "Go": (
        "operation error S3: GetObject, https response error StatusCode: 403, RequestID: X, "
        "api error AccessDenied: Access Denied",
        "denied",
        (18, 14, 12),
    ),
    "HEAD": (
        "fatal error: An error occurred (403) when calling the HeadObject operation: Forbidden",
        "no reason",
        (19,),
    ),
    "key": (
        denied("GetObject", "kms:Decrypt", "because no resource-based policy allows it"),
        "key",
        (20,),
    ),
    "disabled key": (
        "An error occurred (KMS.DisabledException) when calling the GetObject operation: it is off",
        "key",
        (20,),
    ),
    "public": (
        denied(
            "PutBucketPolicy",
            "s3:PutBucketPolicy",
            "because public policies are prevented by the BlockPublicPolicy setting in S3 Block "
            "Public Access.",
        ),
        "public policy",
        (21,),
    ),
    "packages": (
        f"Status code: 403 for https://{PACKAGES}.s3.dualstack.{REGION}.amazonaws.com/core/mirrors/"
        "latest/x86_64/mirror.list (IP: 52.219.1.2)",
        "bucket of AWS",
        (15,),
    ),
    "packages, yum": (
        f"https://amazonlinux-2-repos-{REGION}.s3.{REGION}.amazonaws.com/2/core/repomd.xml: "
        "[Errno 14] HTTP Error 403 - Forbidden",
        "bucket of AWS",
        (15,),
    ),
    "packages, no host": (
        "Cannot download repomd.xml: Status code: 403",
        "bucket of AWS",
        (15,),
    ),
    "curl, 403": ("curl: (22) The requested URL returned error: 403", "bucket of AWS", (15,)),
    "agent": (
        f"An error occurred (AccessDenied) when calling the GetObject operation: {USER} is not "
        f'authorized to perform: s3:GetObject on resource: "arn:aws:s3:::amazon-ssm-{REGION}/x" '
        "because no VPC endpoint policy allows the s3:GetObject action",
        "bucket of AWS",
        (15,),
    ),
    "image": (
        f"failed to copy: prod-{REGION}-starport-layer-bucket.s3.{REGION}.amazonaws.com: 403 "
        "Forbidden",
        "bucket of AWS",
        (15,),
    ),
    "no instance": (
        "An error occurred (InvalidInstanceId) when calling the SendCommand operation: Instances "
        "[[i-1]] not in a valid state for account 1",
        "not managed",
        (16,),
    ),
    "no session": (
        "An error occurred (TargetNotConnected) when calling the StartSession operation: i-1 is "
        "not connected.",
        "not managed",
        (16,),
    ),
    "pending": ('{"Status": "Pending", "StatusDetails": "Pending"}', "not managed", (16,)),
    "agent, timeout": (
        f'Post "https://ssm.{REGION}.amazonaws.com/": dial tcp 52.1.2.3:443: i/o timeout',
        "timeout",
        (16, 17),
    ),
    "STS": (
        f'Connect timeout on endpoint URL: "https://sts.{REGION}.amazonaws.com/"',
        "timeout",
        (17,),
    ),
    "STS of the world": (
        'Connect timeout on endpoint URL: "https://sts.amazonaws.com/"',
        "timeout",
        (17,),
    ),
    "EC2 without a name": (
        f'Could not connect to the endpoint URL: "https://ec2.{REGION}.amazonaws.com/"',
        "no connection",
        (17,),
    ),
    "operator": (
        f"An error occurred (UnauthorizedOperation) when calling the X operation: {USER} is not "
        "authorized to perform: ec2:DescribeVpcs because no identity-based policy allows it",
        "another permission",
        (),
    ),
    "proxy": ('Failed to connect to proxy URL: "http://proxy:3128"', "proxy", ()),
    "no credentials": ("Unable to locate credentials.", "no credentials", ()),
    "clock": (
        "An error occurred (RequestTimeTooSkewed) when calling the ListObjectsV2 operation: x",
        "clock",
        (),
    ),
    "certificate": (
        f"SSL validation failed for {S3}/ CERTIFICATE_VERIFY_FAILED",
        "certificate",
        (),
    ),
    "refused": ("curl: (7) Failed to connect to x port 443: Connection refused", "refused", ()),
    "internet": ("Connection timed out for https://example.com/", "another host", ()),
}
NOT_KNOWN = [
    "hello",
    "$ aws s3 ls s3://data --cli-connect-timeout 5",
    "An error occurred (InvalidInstanceID.NotFound) when calling the DescribeInstances operation",
    "An error occurred (NoSuchKey) when calling the GetObject operation: The key does not exist.",
    "403 for https://example.com/: 403 Forbidden",
    "2026-11-26 12:00:00   403 readme.txt",
    "\x00\xff\x1b[31m\u202e",
]


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_says_what_it_is_and_how_that_can_be(name: str) -> None:
    text, kind, symptoms = TEXTS[name]
    (clue,) = read(text)
    assert (clue.kind, clue.symptoms) == (kind, symptoms)
    assert clue.quote.removesuffix("...") in " ".join(text.split())


@pytest.mark.parametrize("text", NOT_KNOWN)
def test_all_else_is_unknown(text: str) -> None:
    (clue,) = read(text)
    assert (clue.kind, clue.symptoms) == (UNKNOWN, ())
    assert "An error occurred" in error_text.WANTED


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_an_empty_text_says_nothing(text: str) -> None:
    assert read(text) == []


@pytest.mark.parametrize(
    ("url", "service", "region", "bucket"),
    [
        (f"https://my.data.s3.{REGION}.amazonaws.com/key", "s3", REGION, "my.data"),
        (f"https://s3.{REGION}.amazonaws.com/data/key", "s3", REGION, "data"),
        (f"https://data.s3.dualstack.{REGION}.amazonaws.com/", "s3", REGION, "data"),
        (f"https://data.s3-{REGION}.amazonaws.com/", "s3", REGION, "data"),
        ("https://data.s3.us-gov-west-1.amazonaws.com/", "s3", "us-gov-west-1", "data"),
        ("https://data.s3.cn-north-1.amazonaws.com.cn/", "s3", "cn-north-1", "data"),
        ("https://data.s3.amazonaws.com/key", "s3", "", "data"),
        ("https://s3.amazonaws.com/data/key", "s3", "", "data"),
        (f"https://data.vpce-1a-2b.s3.{REGION}.vpce.amazonaws.com/", "s3", REGION, "data"),
        (f"https://sts.{REGION}.amazonaws.com/", "sts", REGION, ""),
        (f"https://api.ecr.{REGION}.amazonaws.com/", "ecr", REGION, ""),
        ("https://iam.amazonaws.com/", "iam", "", ""),
        ("https://example.com/", "", "", ""),
    ],
)
def test_host_service_region_and_bucket_are_read_from_the_address(
    url: str, service: str, region: str, bucket: str
) -> None:
    (clue,) = read(f'Connect timeout on endpoint URL: "{url}"')
    assert (clue.service, clue.region, clue.bucket) == (service, region, bucket)
    assert clue.host == url.split("/")[2]


def test_the_host_that_failed_is_the_one_named_last_or_else_the_one_before() -> None:
    (clue,) = read(f"https://mirror.example.com/: Connection timed out for {S3}/")
    assert clue.host == S3.removeprefix("https://")
    (clue,) = read(f"{S3}/x: Connection timed out")
    assert clue.host == S3.removeprefix("https://")


def test_what_was_asked_and_what_refused_it_are_read_too() -> None:
    (clue,) = read(TEXTS["by the endpoint's policy"][0])
    told = Clue(
        "endpoint policy",
        (14,),
        clue.quote,
        bucket="data",
        action="s3:GetObject",
        layer="VPC endpoint policy",
        operation="GetObject",
    )
    assert clue == told


def test_several_errors_are_told_apart_in_their_order_and_each_once() -> None:
    names = ["HEAD", "packages", "STS", "second endpoint", "HEAD"]
    text = "\n".join(f"$ a command\n{TEXTS[name][0]}" for name in names)
    assert [clue.symptoms for clue in read(text)] == [(19,), (15,), (17,), (8,)]


def test_what_stands_beside_an_error_is_not_taken_for_it() -> None:
    """The packages are of the second error, though their repository is named before it."""
    errors = read(
        "fatal error: An error occurred (403) when calling the HeadObject operation: Forbidden\n"
        "Errors during downloading metadata for repository 'amazonlinux':\n"
        f"  - Status code: 403 for https://{PACKAGES}.s3.{REGION}.amazonaws.com/x (IP: 52.219.1.2)"
    )
    assert [(clue.kind, clue.bucket) for clue in errors] == [
        ("no reason", ""),
        ("bucket of AWS", PACKAGES),
    ]


@pytest.mark.parametrize("width", [40, 72, 80, 100])
@pytest.mark.parametrize("name", [name for name in TEXTS if "by " in name or name == "public"])
def test_a_terminal_may_have_wrapped_it(name: str, width: int) -> None:
    text, _, symptoms = TEXTS[name]
    lines, line = [], ""
    for word in text.split(" "):
        if len(line) + len(word) >= width:
            lines, line = [*lines, line], ""
        line += f" {word}" if line else word
    assert symptoms in [clue.symptoms for clue in read("\r\n".join([*lines, line]))]


def test_it_may_come_as_json_of_systems_manager() -> None:
    text = (
        '{"StandardErrorContent": "\\nAn error occurred (AccessDenied) when calling the GetObject '
        f'operation: Access Denied\\nConnect timeout on endpoint URL: \\"{S3}/\\"\\n"}}'
    )
    assert [clue.kind for clue in read(text)] == ["denied", "timeout"]


def test_no_secret_is_quoted() -> None:
    key = "AKIA" + "QXPLANTED0000001"
    text = f"{key} {TEXTS['timeout'][0]} aws_secret_access_key=planted/K7MDENG/bPxRfiCYplanted"
    (clue,) = read(text)
    assert "lanted" not in repr(clue).lower() and "withheld" in clue.quote
    (unknown,) = read(f"nothing known {key}")
    assert key not in repr(unknown)


def test_of_a_secret_in_the_middle_of_a_long_line_no_half_is_left() -> None:
    key = "AKIA" + "QXPLANTED0000001"
    half = error_text.LINE // 2
    for before, after in ((half - 10, half), (half, half - 10)):
        line = f"{'x ' * (before // 2)}{key}{' x' * (after // 2)}"
        told = error_text.safe(line)
        assert key[:8] not in told and key[-8:] not in told


def test_a_quote_is_one_short_line() -> None:
    (clue,) = read(TEXTS["timeout"][0] + " and on" * 1000 + "\n\n" + "more")
    assert len(clue.quote) <= error_text.QUOTED and "\n" not in clue.quote
    assert clue.quote.endswith("...")


def test_of_a_long_text_beginning_and_end_are_read() -> None:
    filler = "a line of a log\n" * LIMIT
    text = f"{TEXTS['STS'][0]}\n{filler}{TEXTS['clock'][0]}\n{filler}{TEXTS['HEAD'][0]}"
    assert [clue.kind for clue in read(text)] == ["timeout", "no reason"]


@pytest.mark.parametrize(
    "piece",
    [
        "a.",
        "x\n",
        "\x00",
        "An error occurred (",
        "https://",
        "arn:aws:s3:::",
        "Connect timeout on endpoint ",
        "CreateRoute operation ",
        "cannot remove ",
        "password=a ",
        "AccessDenied\n",
        "\U0001f512",
    ],
)
def test_megabytes_of_anything_are_read_in_no_time(piece: str) -> None:
    started = time.process_time()
    assert len(read(piece * (3_000_000 // len(piece)))) <= error_text.MOST_CLUES
    assert time.process_time() - started < 4

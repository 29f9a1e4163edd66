"""Who is let in, who is not, and how a refusal reads: the account's door, over the network."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from rehearsal import Account
from tests.support.asking import code_of

BUCKET = "rehearsal-private-data"
SERVICES = {"sts": "get_caller_identity", "ec2": "describe_vpcs", "s3": "list_buckets"}


def signed_by(account: Account, service: str, **keys: str) -> Any:
    """A client that signs with other keys than the operator's own."""
    own = account.people["operator"]
    given = {
        "aws_access_key_id": own["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": own["AWS_SECRET_ACCESS_KEY"],
        "aws_session_token": own["AWS_SESSION_TOKEN"],
        **keys,
    }
    url, once = account.endpoint_url, Config(retries={"total_max_attempts": 1})
    return boto3.client(service, account.region, endpoint_url=url, config=once, **given)  # type: ignore


@pytest.mark.parametrize(
    ("service", "code"),
    [("sts", "SignatureDoesNotMatch"), ("ec2", "AuthFailure"), ("s3", "SignatureDoesNotMatch")],
)
def test_a_wrong_secret_is_refused(shared: Account, service: str, code: str) -> None:
    client = signed_by(shared, service, aws_secret_access_key="wrong")
    assert code_of(getattr(client, SERVICES[service])) == code


@pytest.mark.parametrize(
    ("service", "code"),
    [("sts", "InvalidClientTokenId"), ("ec2", "AuthFailure"), ("s3", "InvalidAccessKeyId")],
)
@pytest.mark.parametrize(
    "keys",
    [{"aws_access_key_id": "ASIAAAAAAAAAAAAAAAAA"}, {"aws_session_token": "another"}],
)
def test_an_unknown_key_or_token_is_refused(
    shared: Account, service: str, code: str, keys: dict[str, str]
) -> None:
    assert code_of(getattr(signed_by(shared, service, **keys), SERVICES[service])) == code


def test_a_body_that_was_changed_on_the_way_is_refused(shared: Account) -> None:
    sts = signed_by(shared, "sts")
    sts.meta.events.register(
        "before-send.sts",
        lambda request, **_: setattr(request, "body", request.body.replace("2011", "2012")),
    )
    assert code_of(sts.get_caller_identity) == "SignatureDoesNotMatch"


def test_anonymous_callers_reach_nothing(shared: Account) -> None:
    for path in (f"/{BUCKET}", f"/{BUCKET}/readme.txt", "/", "/moto-api/data.json"):
        assert ask(shared, path)[0] in (403, 404)
    assert ask(shared, f"/{BUCKET}/readme.txt")[1].count("<Code>AccessDenied</Code>") == 1


def test_the_control_needs_the_secret(shared: Account) -> None:
    assert ask(shared, "/_rehearsal/calls")[0] == 403
    assert ask(shared, "/_rehearsal/calls", **{"X-Rehearsal-Secret": "wrong"})[0] == 403


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "//", {}),
        ("GET", "/%ff%", {}),
        ("ODD", "/x", {}),
        ("PUT", "/x", {"Content-Length": "many"}),
        ("POST", f"/{BUCKET}?delete", {}),
        ("POST", "/", {"X-Amz-Target": "x"}),
        ("GET", "/", {"Authorization": "Basic x"}),
        ("GET", "/", {"Host": ""}),
        ("GET", "/", {"X-Amz-Security-Token": "\xe9"}),
        ("GET", "/_rehearsal/calls", {"X-Rehearsal-Secret": "\xe9"}),
    ],
)
def test_a_stray_request_is_refused_and_harms_nothing(
    shared: Account, method: str, path: str, headers: dict[str, str]
) -> None:
    connection = HTTPConnection("127.0.0.1", shared.port, timeout=10)
    connection.request(method, path, headers=headers)
    assert connection.getresponse().status in (400, 403, 404, 501)
    connection.close()
    # The account trusts no result any more once a part of it has failed.
    shared.client("s3").put_object(Bucket="rehearsal-logs", Key="x", Body=b"")
    assert shared.errors() == []


def ask(account: Account, path: str, **headers: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", account.port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def test_refusals_read_as_those_of_each_service(shared: Account) -> None:
    me = "User: arn:aws:sts::123456789012:assumed-role/operator/rehearsal"
    refused = [
        (
            "ec2",
            "create_vpc",
            {"CidrBlock": "10.9.0.0/16"},
            "UnauthorizedOperation",
            f"You are not authorized to perform this operation. {me} is not authorized to perform:"
            " ec2:CreateVpc because no identity-based policy allows the ec2:CreateVpc action",
        ),
        (
            "ssm",
            "get_parameter",
            {"Name": "x"},
            "AccessDeniedException",
            f"{me} is not authorized to perform: ssm:GetParameter on resource: * because no"
            " identity-based policy allows the ssm:GetParameter action",
        ),
        (
            "iam",
            "list_users",
            {},
            "AccessDenied",
            f"{me} is not authorized to perform: iam:ListUsers on resource: * because no"
            " identity-based policy allows the iam:ListUsers action",
        ),
        (
            "s3",
            "put_object",
            {"Bucket": BUCKET, "Key": "x", "Body": b""},
            "AccessDenied",
            f"{me} is not authorized to perform: s3:PutObject on resource:"
            f' "arn:aws:s3:::{BUCKET}/x" because no identity-based policy allows the s3:PutObject'
            " action",
        ),
    ]
    for service, operation, request, code, message in refused:
        with pytest.raises(ClientError) as error:
            getattr(shared.client(service, "operator"), operation)(**request)
        answer = error.value.response["Error"]
        assert (answer["Code"], answer["Message"]) == (code, message)


@pytest.mark.parametrize(
    ("service", "operation", "request_"),
    [
        ("iam", "simulate_custom_policy", {"PolicyInputList": ["{}"], "ActionNames": ["s3:*"]}),
        ("accessanalyzer", "list_analyzers", {}),
        ("s3", "get_bucket_metrics_configuration", {"Bucket": BUCKET, "Id": "x"}),
        ("ec2", "describe_network_insights_paths", {}),
    ],
)
def test_what_is_not_emulated_says_so(
    shared: Account, service: str, operation: str, request_: dict[str, Any]
) -> None:
    assert code_of(getattr(shared.client(service), operation), **request_) == "NotImplemented"


def test_break_glass_can_be_assumed_and_only_by_whom_it_trusts(shared: Account) -> None:
    sts = shared.client("sts", "operator")
    role = "arn:aws:iam::123456789012:role/{}"
    keys = sts.assume_role(RoleArn=role.format("break-glass"), RoleSessionName="me")["Credentials"]
    s3 = signed_by(
        shared,
        "s3",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )
    s3.put_object(Bucket=BUCKET, Key="rescued", Body=b"")
    s3.delete_object(Bucket=BUCKET, Key="rescued")
    for name in ("auditor", "app-instance"):
        request = {"RoleArn": role.format(name), "RoleSessionName": "me"}
        assert code_of(sts.assume_role, **request) == "AccessDenied"


def test_a_bucket_of_another_region_is_found_there(shared: Account) -> None:
    s3 = shared.client("s3", "operator")
    assert s3.head_bucket(Bucket="rehearsal-us-east-1")["BucketRegion"] == "us-east-1"
    connection = HTTPConnection("127.0.0.1", shared.port, timeout=10)
    connection.request("HEAD", "/rehearsal-us-east-1")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (301, b"")
    assert answer.getheader("x-amz-bucket-region") == "us-east-1"
    connection.close()


def test_a_bucket_that_is_refused_tells_its_region_but_not_why(shared: Account) -> None:
    with pytest.raises(ClientError) as error:
        shared.client("s3", "break-glass").head_bucket(Bucket="rehearsal-logs")
    answer = error.value.response
    assert answer["Error"]["Code"] == "403"
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"] == "ap-northeast-1"
    assert code_of(shared.client("s3").head_bucket, Bucket="no-such-bucket") == "404"


def test_the_account_is_bound_to_the_loopback_interface_alone(shared: Account) -> None:
    listening = [
        (address, port)
        for pid in processes(shared.process.pid)
        for address, port in listeners(pid)
        if port == shared.port
    ]
    assert set(listening) == {("127.0.0.1", shared.port)}
    for address in {found[4][0] for found in socket.getaddrinfo(socket.gethostname(), None)}:
        if not str(address).startswith("127.") and ":" not in str(address):
            with pytest.raises(OSError):
                socket.create_connection((str(address), shared.port), timeout=2).close()


def processes(session: int) -> list[int]:
    """The processes of a session: the account, and what it started without one of its own."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def listeners(pid: int) -> list[tuple[str, int]]:
    """The addresses on which this process's host network is listened."""
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    sockets = {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
    found = []
    for row in rows:
        if row[3] == "0A" and f"socket:[{row[9]}]" in sockets:
            address, port = row[1].split(":")
            found.append((socket.inet_ntoa(bytes.fromhex(address)[::-1]), int(port, 16)))
    return found


def test_nothing_is_left_when_the_parent_is_killed() -> None:
    program = (
        "import rehearsal, time; a = rehearsal.start(); print(a.process.pid, flush=True);"
        " time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    account = int(re.fullmatch(r"(\d+)\n", parent.stdout.readline())[1])  # type: ignore[index]
    assert account in processes(account)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 15
    while processes(account) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes(account) == []

"""A rehearsal account that was put back is as it was at its start, whatever was done to it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import HTTPClientError
from botocore.parsers import ResponseParserError

import rehearsal
from rehearsal import Account, StartError, scenario, symptoms
from tests.support.altered import alter
from tests.support.asking import MARKED, code_of, opened_by, run, send
from tests.support.inventory import QUOTAS, inventory
from tests.support.processes import gone, running, until

PRIVATE, EVIDENCE = "rehearsal-private-data", "rehearsal-evidence"
S3 = "com.amazonaws.ap-northeast-1.s3"
LAST = f"sleep 4345.{os.getpid()}"  # as nobody else would
STRICT = ("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes")


# -- what is done to an account -------------------------------------------------------------------


def plant_every_symptom(account: Account) -> None:
    symptoms.open_path(account)
    for name in symptoms.SYMPTOMS:
        symptoms.plant(account, name)


def change_networks(account: Account) -> None:
    ec2, ids = account.client("ec2"), account.ids
    for region in ("ap-northeast-1", "us-east-1"):
        other = account.client("ec2", region=region)
        vpc = other.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
        other.create_subnet(VpcId=vpc, CidrBlock="10.77.1.0/24")
        other.create_network_acl(VpcId=vpc)
    table = ec2.create_route_table(VpcId=ids["rehearsal"])["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=ids["app-b"])
    public = route_table(account, "public")
    ec2.create_vpc_endpoint(VpcId=ids["shared"], ServiceName=S3, RouteTableIds=[public])
    ec2.delete_vpc_endpoints(VpcEndpointIds=[ids["ssm"]])
    ec2.delete_route(RouteTableId=public, DestinationCidrBlock="0.0.0.0/0")
    (nat,) = ec2.describe_nat_gateways()["NatGateways"]
    ec2.delete_nat_gateway(NatGatewayId=nat["NatGatewayId"])
    ec2.modify_vpc_attribute(VpcId=ids["shared"], EnableDnsSupport={"Value": False})
    ec2.create_tags(Resources=[ids["app-a"]], Tags=[{"Key": "Name", "Value": "renamed"}])


def route_table(account: Account, name: str) -> str:
    named = [{"Name": "tag:Name", "Values": [name]}]
    (found,) = account.client("ec2").describe_route_tables(Filters=named)["RouteTables"]
    return str(found["RouteTableId"])


def change_instances(account: Account) -> None:
    ec2, ids = account.client("ec2"), account.ids
    (old,) = ec2.describe_instances(InstanceIds=[ids["app-1"]])["Reservations"][0]["Instances"]
    ec2.run_instances(
        ImageId=old["ImageId"], MinCount=1, MaxCount=1, SubnetId=ids["app-a"],
        SecurityGroupIds=[ids["app"]],
    )  # fmt: skip
    ec2.stop_instances(InstanceIds=[ids["sibling-1"]])
    ec2.stop_instances(InstanceIds=[ids["neighbour-1"]])
    ec2.start_instances(InstanceIds=[ids["neighbour-1"]])
    ec2.terminate_instances(InstanceIds=[ids["reporter-1"]])


def change_roles(account: Account) -> None:
    iam = account.client("iam")
    iam.create_role(RoleName="new", AssumeRolePolicyDocument="{}")
    iam.create_instance_profile(InstanceProfileName="new")
    iam.create_user(UserName="new")
    iam.create_access_key(UserName="new")
    everything = {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
    document = json.dumps({"Version": "2012-10-17", **everything})
    iam.put_role_policy(RoleName="auditor", PolicyName="all", PolicyDocument=document)
    iam.delete_role_policy(RoleName="worker-instance", PolicyName="be-managed")


def change_buckets(account: Account) -> None:
    s3 = account.client("s3")
    later = datetime.now(UTC) + timedelta(days=1)
    locked = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": later}
    s3.put_object(Bucket=EVIDENCE, Key="kept", Body=b"1", ObjectLockLegalHoldStatus="ON", **locked)
    s3.put_object(Bucket=EVIDENCE, Key="kept", Body=b"2")
    s3.delete_object(Bucket=EVIDENCE, Key="kept")
    s3.delete_object(Bucket=PRIVATE, Key="reports/2026-01.csv")
    s3.put_object(Bucket=PRIVATE, Key="new", Body=b"new")
    s3.create_multipart_upload(Bucket=PRIVATE, Key="begun")
    s3.delete_public_access_block(Bucket=PRIVATE)
    s3.put_bucket_versioning(Bucket=PRIVATE, VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_tagging(Bucket=PRIVATE, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    s3.put_bucket_logging(
        Bucket="rehearsal-logs",
        BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": PRIVATE, "TargetPrefix": "logs/"}},
    )
    s3.list_objects_v2(Bucket="rehearsal-logs")  # a line that is still to be delivered
    s3.list_objects_v2(Bucket="rehearsal-trail")
    where = {"LocationConstraint": account.region}
    s3.create_bucket(Bucket="rehearsal-new", CreateBucketConfiguration=where)
    elsewhere = account.client("s3", region="us-east-1")
    elsewhere.create_bucket(Bucket="rehearsal-new-us-east-1")


def delete_a_bucket(account: Account) -> None:
    s3 = account.client("s3", region="us-east-1")
    s3.delete_object(Bucket="rehearsal-us-east-1", Key="readme.txt")
    s3.delete_bucket(Bucket="rehearsal-us-east-1")


def change_keys_and_quotas(account: Account) -> None:
    for region in ("ap-northeast-1", "us-east-1"):
        kms = account.client("kms", region=region)
        key = kms.create_key()["KeyMetadata"]["KeyId"]
        kms.create_alias(AliasName="alias/new", TargetKeyId=key)
        kms.disable_key(KeyId=key)
        quotas = account.client("service-quotas", region=region)
        for code in QUOTAS:
            raised = {"ServiceCode": "vpc", "QuotaCode": code, "DesiredValue": 900}
            quotas.request_service_quota_increase(**raised)


def let_others_act(account: Account) -> None:
    account.client("s3").put_bucket_policy(Bucket=PRIVATE, Policy=policy_without_effect())
    for act in ("grow prefix list", "dual stack"):
        account.act(act)
    for act in ("foreign policy", "reorder policy"):
        account.act(act, bucket=PRIVATE)
    vpc, tables = account.ids["shared"], [route_table(account, "private")]
    account.act("foreign endpoint", vpc_id=vpc, service_name=S3, route_table_ids=tables)


def policy_without_effect() -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::123456789012:role/auditor"},
        "Action": "s3:ListBucket",
        "Resource": f"arn:aws:s3:::{PRIVATE}",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def plant_faults(account: Account) -> None:
    ec2, s3, ids = account.client("ec2"), account.client("s3"), account.ids
    for late in ("pending", "stale endpoint"):
        account.plant("CreateVpcEndpoint", do=late, reads=1000)
    made = ec2.create_vpc_endpoint(VpcId=ids["shared"], ServiceName=S3)["VpcEndpoint"]
    account.plant("DeleteVpcEndpoints", do="deleting", reads=1000)
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made["VpcEndpointId"]])
    for late in ("stale policy", "slow policy"):
        account.plant("PutBucketPolicy", do=late, reads=1000)
    s3.put_bucket_policy(Bucket=PRIVATE, Policy=policy_without_effect())
    account.act("delay trail", seconds=3600)
    account.plant("*", do="drop", times=0, who="reader")
    account.plant("*", code="Throttling", times=0, skip=3)
    account.plant("DescribeVpcs", delay=60, do="drop answer")


DEEDS = (
    change_buckets, change_keys_and_quotas, change_roles, plant_every_symptom, change_networks,
    change_instances, let_others_act, delete_a_bucket,
)  # fmt: skip
# Some of what they change: an inventory that saw nothing would find all accounts alike.
CHANGED = (
    "buckets", "get_bucket_logging of rehearsal-logs", "versions in rehearsal-evidence",
    "versions in rehearsal-private-data", "uploads to rehearsal-private-data",
    "get_public_access_block of rehearsal-private-data", "get_bucket_policy as operator",
    "aliases in us-east-1", "quota L-93826ACB in us-east-1", "list_users", "list_instance_profiles",
    "get_account_authorization_details", "describe_vpcs in us-east-1", "managed", "on sibling-1",
    "describe_route_tables in ap-northeast-1", "describe_instances as operator",
    "describe_vpc_endpoints in ap-northeast-1", "events of ap-northeast-1", "calls", "commands",
    "{'PrefixListId': 'pl-61a54008'} in ap-northeast-1",
)  # fmt: skip


# -- as at its start ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def start() -> dict[str, Any]:
    """What another account holds at its start."""
    with rehearsal.start() as other:
        return inventory(other)


@pytest.fixture(scope="module")
def new_ids() -> list[str]:
    """The ids of what is made in an account that was never put back."""
    with rehearsal.start() as other:
        return made(other)


def made(account: Account) -> list[str]:
    """The ids of one new thing of each kind."""
    ec2, operator = account.client("ec2"), account.client("ec2", "operator")
    vpc = ec2.create_vpc(CidrBlock="10.88.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.88.1.0/24")["Subnet"]["SubnetId"]
    endpoint = operator.create_vpc_endpoint(
        VpcId=account.ids["rehearsal"], ServiceName=S3, **MARKED
    )["VpcEndpoint"]["VpcEndpointId"]
    (old,) = ec2.describe_instances(InstanceIds=[account.ids["app-1"]])["Reservations"]
    (new,) = ec2.run_instances(
        ImageId=old["Instances"][0]["ImageId"], MinCount=1, MaxCount=1, SubnetId=subnet
    )["Instances"]
    role = account.client("iam").create_role(RoleName="made", AssumeRolePolicyDocument="{}")
    key = account.client("kms").create_key()["KeyMetadata"]["KeyId"]
    kept = account.client("s3").put_object(Bucket=EVIDENCE, Key="made", Body=b"")["VersionId"]
    command = send(account, "true")["CommandId"]
    address = new["PrivateIpAddress"], ec2.allocate_address(Domain="vpc")["PublicIp"]
    found = [vpc, subnet, endpoint, new["InstanceId"], role["Role"]["RoleId"], key, kept, command]
    return [*found, *address]


def differences(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    names = {*one, *other}
    return {n: (one.get(n), other.get(n)) for n in names if one.get(n) != other.get(n)}


def test_whatever_was_done_to_it_an_account_is_as_at_its_start(start: dict[str, Any]) -> None:
    with rehearsal.start() as account:
        first = inventory(account, its_own=True)
        for deed in DEEDS:
            deed(account)
        assert {*CHANGED} <= {*differences(first, inventory(account))}
        plant_faults(account)
        account.reset()
        again = inventory(account, its_own=True)
        assert differences(first, again) == {}
        del again["keys"]
        assert differences(again, start) == {}
        assert account.errors() == []


def test_ids_made_after_a_reset_are_those_made_after_a_start(
    account: Account, new_ids: list[str]
) -> None:
    for _ in range(2):
        assert made(account) == new_ids
        account.reset()


def test_ids_by_name_are_those_of_the_start(account: Account) -> None:
    before = {**account.ids}
    symptoms.open_path(account)
    symptoms.plant(account, "not-managed")()  # its endpoint is created again, with another id
    assert account.ids != before
    account.reset()
    assert account.ids == before


def test_clients_and_keys_made_before_go_on_working(account: Account) -> None:
    before = [account.client("ec2", who) for who in ("root", "operator")]
    for _ in range(2):
        for client in before:
            assert account.ids["private-a"] in str(client.describe_route_tables())
        account.reset()
    assert account.calls() == []


def test_keys_that_were_given_out_are_known_no_more(account: Account) -> None:
    role = {"RoleArn": "arn:aws:iam::123456789012:role/break-glass", "RoleSessionName": "me"}
    keys = account.client("sts", "operator").assume_role(**role)["Credentials"]
    client = boto3.client(
        "sts", account.region, endpoint_url=account.endpoint_url,
        aws_access_key_id=keys["AccessKeyId"], aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )  # fmt: skip
    assert code_of(client.get_caller_identity) == ""
    account.reset()
    assert code_of(client.get_caller_identity) == "InvalidClientTokenId"


def test_connections_and_scripts_end(account: Account) -> None:
    send(account, f"setsid {LAST} & {LAST}")
    assert until(lambda: len(running(LAST)) >= 2)
    account.plant("DescribeVpcs", delay=60)
    with socket.create_connection(("127.0.0.1", account.port), timeout=10) as silent:
        silent.sendall(b"GET / HTTP/1.1\r\n")
        with ThreadPoolExecutor() as threads:
            late = threads.submit(once(account, "ec2").describe_vpcs)
            assert until(lambda: accepted(account) >= 2)
            account.reset()
            with pytest.raises(HTTPClientError):
                late.result(timeout=10)
        assert silent.recv(1) == b""
    assert gone(LAST)
    assert account.calls() == []


def once(account: Account, service: str) -> Any:
    """A client that does not try again."""
    keys = account.people["root"]
    return boto3.client(  # type: ignore[call-overload]
        service, account.region, endpoint_url=account.endpoint_url,
        aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip


def accepted(account: Account) -> int:
    """How many connections it serves now."""
    (serving,) = psutil.Process(account.process.pid).children()
    return sum(one.status == "ESTABLISHED" for one in serving.net_connections("tcp"))


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where an account that is started now puts its temporary files."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.fixture
def own(temporary: Path) -> Iterator[Account]:
    """An account with temporary files of its own."""
    with rehearsal.start() as account:
        yield account


def test_each_time_the_way_by_ssh_opens_again(own: Account, temporary: Path) -> None:
    keys = set()
    for _ in range(2):
        config = opened_by(own)
        keys.add((config.parent / "operator").read_text())
        command = ["ssh", "-F", str(config), *STRICT, "-T", own.ids["app-1"], "sh -s"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True,
        ) as session:  # fmt: skip
            assert session.stdin and session.stdout
            session.stdin.write(f"{LAST} & echo in; {LAST}\n")
            session.stdin.flush()
            assert session.stdout.readline() == "in\n"
            own.reset()
            assert session.wait(timeout=10) == 255
        assert gone(LAST)
        assert [*temporary.iterdir()] == []
    assert len(keys) == 2 and own.errors() == []


# -- nothing is left ------------------------------------------------------------------------------


def footprint(account: Account) -> dict[str, int]:
    """How much of this machine an account has."""
    top = psutil.Process(account.process.pid)
    (serving,) = top.children()
    descriptors = Path(f"/proc/{serving.pid}/fd")
    return {
        "processes": len(serving.children(recursive=True)),
        "threads of the first": top.num_threads(),
        "threads of the serving": serving.num_threads(),
        "descriptors of the first": top.num_fds(),
        "descriptors of the serving": serving.num_fds(),
        "namespaces": sum(str(one.readlink()).startswith("net:") for one in descriptors.iterdir()),
    }


def test_twenty_resets_leave_nothing(own: Account, temporary: Path) -> None:
    before = footprint(own)
    for number in range(20):
        send(own, f"setsid {LAST} & {LAST}")
        time.sleep(number / 40)  # while it begins, and when it runs
        own.reset()
    assert until(lambda: footprint(own) == before), (before, footprint(own))
    assert gone(LAST) and [*temporary.iterdir()] == []


def family(pid: int) -> list[psutil.Process]:
    top = psutil.Process(pid)
    return [top, *top.children(recursive=True)]


def ended(processes: list[psutil.Process]) -> bool:
    return not [
        one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE
    ]


def test_nothing_is_left_when_its_first_process_is_killed(own: Account, temporary: Path) -> None:
    busy(own)
    processes = family(own.process.pid)
    own.process.kill()
    assert until(lambda: ended(processes)) and gone(LAST)
    assert until(lambda: [*temporary.iterdir()] == [])
    with pytest.raises(StartError) as error:
        own.reset()
    assert in_three_lines(error) == (
        "Could not put the rehearsal account back to its start.",
        "Its process ended.",
    )


def test_when_the_serving_process_is_killed_a_reset_recovers(own: Account, temporary: Path) -> None:
    busy(own)
    top, serving, *others = family(own.process.pid)
    serving.kill()
    assert until(lambda: ended([serving, *others])) and gone(LAST)
    own.reset()
    assert own.ids["rehearsal"] in str(own.client("ec2").describe_vpcs())
    assert run(own, "echo in")["StandardOutputContent"] == "in\n"
    assert top.is_running() and until(lambda: [*temporary.iterdir()] == [])


def busy(account: Account) -> None:
    """Lets it have all that it can have: a script, what that leaves behind, and a way by ssh."""
    with suppress(StartError):  # there is less to end then
        assert account.ssh_config
    send(account, f"setsid {LAST} & {LAST}")
    assert until(lambda: len(running(LAST)) >= 2)


PARENT = """
import sys, time, rehearsal
account = rehearsal.start()
account.reset()
print(account.process.pid, flush=True)
sys.stdin.read()
"""


def test_nothing_is_left_when_its_parent_is_killed_after_a_reset(temporary: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout
        processes = family(int(parent.stdout.readline()))
        assert len(processes) == 2
        parent.send_signal(signal.SIGKILL)
    assert until(lambda: ended(processes))
    assert until(lambda: [*temporary.iterdir()] == [])


# -- while others use it --------------------------------------------------------------------------


def test_requests_that_are_under_way_get_their_answer_or_none(account: Account) -> None:
    vpcs = {one["VpcId"] for one in account.client("ec2").describe_vpcs()["Vpcs"]}
    over, answers, lost = threading.Event(), [0] * 4, [0] * 4

    def ask(number: int) -> None:
        ec2, s3 = once(account, "ec2"), once(account, "s3")
        while not over.is_set():
            try:
                if number % 2:
                    s3.put_object(Bucket=PRIVATE, Key="a", Body=b"a")
                else:
                    found = {one["VpcId"] for one in ec2.describe_vpcs()["Vpcs"]}
                    assert found == vpcs
                    ec2.create_tags(Resources=[*vpcs], Tags=[{"Key": "a", "Value": "b"}])
            except (HTTPClientError, ResponseParserError):  # its connection ended, maybe in between
                lost[number] += 1
            else:
                answers[number] += 1

    with ThreadPoolExecutor() as threads:
        asking = [threads.submit(ask, number) for number in range(4)]
        for reached in range(5, 30, 5):
            assert until(lambda reached=reached: min(answers) >= reached or over.is_set())  # type: ignore[misc]
            account.reset()
        over.set()
        for one in asking:
            one.result(timeout=30)
    assert sum(lost) <= 5 * 4
    account.reset()
    assert account.calls() == [] and account.errors() == []


def test_several_may_reset_it_at_once(account: Account) -> None:
    with ThreadPoolExecutor() as threads:
        for one in [threads.submit(account.reset) for _ in range(4)]:
            one.result(timeout=30)
    assert account.client("ec2").describe_vpcs()["Vpcs"] and len(account.calls()) == 1


# -- what cannot serve ----------------------------------------------------------------------------


def in_three_lines(error: pytest.ExceptionInfo[Any]) -> tuple[str, str]:
    """What was tried and what came back, of three lines."""
    tried, answer, following = str(error.value).splitlines()
    assert following.startswith("Next: ") and answer
    return tried, answer


# Serves only while there is no such file; what is in that happens instead.
HINDERED = """
from pathlib import Path
from rehearsal import lab
serve = lab.Lab.serve
def hindered(*arguments):
    if Path({file!r}).exists():
        exec(Path({file!r}).read_text())
    serve(*arguments)
lab.Lab.serve = hindered
"""
HINDRANCES = {
    "raise OSError()": "OSError()",
    "raise OSError(1, 'Not\\nhere')": "[Errno 1] Not here",
    "raise RuntimeError('a defect')": "The process that serves the account ended.",
    "import os; os._exit(3)": "The process that serves the account ended.",
}


@pytest.fixture
def hinder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that hinders the accounts that are started from now on, once it is there."""
    file = tmp_path / "hindrance"
    alter(monkeypatch, tmp_path, HINDERED.format(file=str(file)))
    return file


def test_an_account_that_cannot_serve_again_says_so_in_three_lines(hinder: Path) -> None:
    with rehearsal.start() as account:
        for how, found in HINDRANCES.items():
            hinder.write_text(how)
            with pytest.raises(StartError) as error:
                account.reset()
            tried = "Could not put the rehearsal account back to its start."
            assert in_three_lines(error) == (tried, found)
        hinder.unlink()
        account.reset()
        assert account.client("ec2").describe_vpcs()["Vpcs"]


@pytest.mark.parametrize("how", [*HINDRANCES][1:3])
def test_an_account_that_cannot_serve_does_not_start(how: str, hinder: Path) -> None:
    hinder.write_text(how)
    with pytest.raises(StartError) as error:
        rehearsal.start()
    tried = "Could not start the rehearsal account in auto mode."
    assert in_three_lines(error) == (tried, HINDRANCES[how])


def test_an_account_that_was_closed_says_so_in_three_lines() -> None:
    account = rehearsal.start()
    account.close()
    with pytest.raises(StartError) as error:
        account.reset()
    assert in_three_lines(error)[1] == "Its process ended."


def broken_scenario(kind: str, folder: Path) -> Path:
    path, text = folder / "scenario.yaml", Path(str(scenario.__file__)).with_suffix(".yaml")
    usual = text.read_text()
    if kind == "a folder":
        path.mkdir()
    elif kind == "no text":
        path.write_bytes(b"\xff\xfe\xff")
    elif kind != "missing":
        path.write_text(
            {
                "malformed": "vpcs: {",
                "empty": "",
                "a number": "1",
                "without a part": usual.replace("buckets:", "baskets:"),
                "an unknown subnet": usual.replace(
                    "subnet: app-a, security", "subnet: x, security"
                ),
                "no range": usual.replace("10.20.0.0/16", "10.20.0.0/99"),
            }[kind]
        )
    return path


UNREAD = {
    "missing": "No such file",
    "a folder": "Is a directory",
    "no text": "can't decode",
    "malformed": "flow",
    "empty": "It holds no names with values.",
    "a number": "It holds no names with values.",
    "without a part": "It has no buckets.",
}
UNBUILT = {"an unknown subnet": "KeyError: 'x'", "no range": "10.20.0.0/99"}


def is_none(error: pytest.ExceptionInfo[Any], path: Path, found: str) -> bool:
    """Whether it says that the file describes no account, and why."""
    tried, answer = in_three_lines(error)
    return (
        tried == f"Could not start the rehearsal account that {path} describes." and found in answer
    )


@pytest.mark.parametrize("kind", UNREAD)
def test_a_scenario_that_is_none_is_not_read(kind: str, tmp_path: Path) -> None:
    path = broken_scenario(kind, tmp_path)
    with pytest.raises(scenario.NoScenario) as error:
        scenario.read(str(path))
    assert is_none(error, path, UNREAD[kind])


@pytest.mark.parametrize("kind", ["missing", "malformed", *UNBUILT])
def test_an_account_of_a_scenario_that_is_none_does_not_start(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = broken_scenario(kind, tmp_path)
    with pytest.raises(StartError) as error:
        rehearsal.start(scenario=path)
    assert is_none(error, path, {**UNREAD, **UNBUILT}[kind])
    assert capfd.readouterr() == ("", "")


def test_a_scenario_that_may_not_be_read_is_refused_in_three_lines(tmp_path: Path) -> None:
    path = broken_scenario("empty", tmp_path)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root may read everything")
    with pytest.raises(scenario.NoScenario, match="Permission denied"):
        scenario.read(str(path))

"""The shipped policies for operators: enough for all that a change does, and nothing more.

The rehearsal account's operator holds them, and loses one action at a time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError

import rehearsal
from iam_verdict import parse
from private_s3 import s3_names
from tests import PROJECT
from tests.support.accounts import Accounts
from tests.support.least_privilege import (
    AUDIT,
    DIAGNOSE,
    NAMES,
    Bench,
    Run,
    actions,
    bench,
    policy,
)
from tests.support.sampling import sampled

EVERY = [(name, action) for name in NAMES for action in actions(name)]
# What the steps after a change call, and so say if it is missing.
LATER = {
    DIAGNOSE: [
        "ec2:DescribeInstances", "ec2:DescribeNetworkAcls", "ec2:DescribePrefixLists",
        "ec2:DescribeRouteTables", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets",
        "ec2:DescribeVpcAttribute", "ec2:DescribeVpcEndpoints",
        "iam:GetAccountAuthorizationDetails",
        "s3:GetBucketLocation", "s3:GetBucketPolicy", "s3:GetBucketPublicAccessBlock",
        "s3:GetEncryptionConfiguration", "s3:GetReplicationConfiguration",
        "ssm:DescribeInstanceInformation",
    ],
    AUDIT: [
        "ec2:DescribeInstances", "ec2:DescribePrefixLists", "ec2:DescribeRouteTables",
        "ec2:DescribeSubnets", "ec2:DescribeVpcEndpoints",
        "iam:GetAccountAuthorizationDetails",
        "s3:GetBucketPolicy", "s3:GetBucketPublicAccessBlock", "s3:GetReplicationConfiguration",
    ],
}  # fmt: skip
# S3 names the Region of a bucket also to a caller that it refuses.
SPARED = {(DIAGNOSE, "s3:GetBucketLocation")}
# The names of services in actions and in botocore, where they differ.
MODELS = {
    "access-analyzer": "accessanalyzer",
    "servicequotas": "service-quotas",
}
READS = ("Check", "Describe", "Get", "List", "Lookup", "Validate")
# It opens a WebSocket, and is no operation of any model.
# Source: Amazon EC2 User Guide, "Grant permissions for EC2 Instance Connect Endpoint".
WEB_SOCKET = "ec2-instance-connect:OpenTunnel"
# What the operator asks S3 for from outside; to be refused is an answer too.
PROBES = {"ListObjectsV2", "GetObject", "PutObject", "DeleteObject"}
PROBED = {"s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject"}
# What endpoints of a change are tagged with, and what EC2 answers to a dry run.
MARK = [{"Key": "Name", "Value": "x"}, {"Key": "private-s3:change", "Value": "x"}]
DRY_RUN, REFUSED = "DryRunOperation", "UnauthorizedOperation"
STEPS = sorted(path.stem for path in (PROJECT / "notebooks").glob("*.ipynb"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each action is a class of its own."""
    cases = {
        "removed": EVERY,
        "removed_later": [(step, action) for step in LATER for action in LATER[step]],
    }
    for name, of in cases.items():
        if name in metafunc.fixturenames:
            chosen = sampled(metafunc.config, f"actions: {name}", of, lambda case: [case])
            metafunc.parametrize(name, chosen, ids="/".join)


@pytest.fixture(scope="module")
def operators(accounts: Accounts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """An account for operators who lack an action."""
    with accounts.fresh() as account, bench(account, tmp_path_factory.mktemp("changes")) as made:
        yield made
        assert account.errors() == []


@pytest.fixture(scope="module")
def whole(operators: Bench) -> Run:
    """A whole change of an operator who holds the policies."""
    return operators.whole_run()


# -- enough ----------------------------------------------------------------------------------------


def test_a_whole_change_is_refused_nothing_but_what_its_own_fence_keeps_out(whole: Run) -> None:
    assert whole.refused <= PROBES
    assert len(whole.denied) == len(PROBES)
    assert all("explicit deny in a resource-based policy" in answer for answer in whole.denied)


def test_to_plan_takes_the_policy_for_reading_alone_and_writes_nothing(operators: Bench) -> None:
    calls, checks = operators.plan_as("reader")
    assert calls and not [call["operation"] for call in calls if call["write"]]
    uncertain = {c["name"]: c["detail"] for c in checks if c["state"] == "UNCERTAIN"}
    app_1 = operators.account.ids["app-1"]
    assert "ssm:SendCommand" in uncertain[f"{app_1} can be asked"]


# -- nothing more ----------------------------------------------------------------------------------


def test_each_action_is_missed_by_name(operators: Bench, removed: tuple[str, str]) -> None:
    name, action = removed
    told = operators.told(action)
    assert told, f"nothing needs {action}: take it out of params/iam/{name}.json"
    assert told.named == [action], told.text
    assert operators.account.errors() == []


def test_each_action_that_is_needed_later_is_missed_by_name(
    operators: Bench, removed_later: tuple[str, str]
) -> None:
    step, action = removed_later
    told = operators.told_later(step, action)
    if removed_later in SPARED:
        assert told is None
    else:
        assert told and told.named == [action], told


@pytest.mark.parametrize("step", LATER)
def test_each_action_that_is_needed_later_is_known(whole: Run, step: str) -> None:
    assert whole.actions[step]["plan"] == LATER[step]
    assert {*LATER[step]} <= {*actions("read")} and len(LATER[step]) > 8


@pytest.mark.parametrize("name", NAMES)
def test_each_policy_names_its_actions_and_what_they_are_on(name: str) -> None:
    as_filled = json.dumps(policy(name)).replace("BREAK_GLASS_ROLE", "*")
    parse(as_filled, names_principals=False)
    statements = policy(name)["Statement"]
    sids = [statement["Sid"] for statement in statements]
    assert len({*sids}) == len(sids) and all(re.fullmatch("[A-Za-z0-9]+", sid) for sid in sids)
    for statement in statements:
        named = _as_list(statement["Action"])
        assert named == sorted(named) and not [one for one in named if "*" in one or "?" in one]
        if statement["Resource"] == "*" and named != ["iam:GetAccountAuthorizationDetails"]:
            # AWS knows no resource for these; the Region is what they can be narrowed by.
            keys = {key for tests in statement["Condition"].values() for key in tests}
            assert keys in ({"ec2:Region"}, {"aws:RequestedRegion"})


@pytest.mark.parametrize("name", NAMES)
def test_each_action_is_one_of_its_service(name: str) -> None:
    session = botocore.session.get_session()
    for statement in policy(name)["Statement"]:
        for action in _as_list(statement["Action"]):
            service, _, operation = action.partition(":")
            if service == "s3":
                assert operation in s3_names.actions()
            elif action != WEB_SOCKET:
                model = session.get_service_model(MODELS.get(service, service))
                assert operation in model.operation_names, action


def test_the_policy_for_reading_holds_no_write() -> None:
    for action in actions("read"):
        assert action.partition(":")[2].startswith(READS), action
    held = [action for name in ("change", "check") for action in actions(name)]
    assert not {*held} & {*actions("read")}
    read = [action for action in held if action.partition(":")[2].startswith(READS)]
    assert read == ["ssm:GetCommandInvocation"]  # it reads what commands have printed as root


# -- as narrow as AWS allows -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def others(shared: rehearsal.Account) -> dict[str, str]:
    """By name, the ids of endpoints: of a change, and of somebody else for two services."""
    ec2, made = shared.client("ec2"), {}
    for name, service, tags in (
        ("ours", "s3", MARK),
        ("theirs", "s3", []),
        ("db", "dynamodb", MARK),
    ):
        specification = [{"ResourceType": "vpc-endpoint", "Tags": tags}] if tags else []
        made[name] = ec2.create_vpc_endpoint(
            VpcId=shared.ids["rehearsal"],
            ServiceName=f"com.amazonaws.{shared.region}.{service}",
            TagSpecifications=specification,
        )["VpcEndpoint"]["VpcEndpointId"]
    return made


def answer(account: rehearsal.Account, service: str, operation: str, **request: Any) -> str:
    """The code of what the operator is answered; empty if it is done."""
    region = request.pop("region", "")
    try:
        getattr(account.client(service, "operator", region), operation)(**request)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, DRY_RUN),
        ({"ServiceName": "com.amazonaws.ap-northeast-1.dynamodb"}, REFUSED),
        ({"RouteTableIds": []}, DRY_RUN),
        ({"VpcId": "shared", "RouteTableIds": []}, REFUSED),
        ({"tags": []}, REFUSED),
        ({"tags": MARK[:1]}, REFUSED),
        ({"tags": MARK[1:]}, DRY_RUN),
        ({"tags": [*MARK, {"Key": "owner", "Value": "x"}]}, REFUSED),
        ({"region": "us-east-1"}, REFUSED),
    ],
)
def test_an_endpoint_is_made_for_s3_in_this_vpc_with_the_tags_of_a_change_alone(
    shared: rehearsal.Account, change: dict[str, Any], code: str
) -> None:
    asked = {
        "VpcId": "rehearsal",
        "RouteTableIds": ["private-a"],
        "ServiceName": "com.amazonaws.ap-northeast-1.s3",
        "tags": MARK,
        **change,
    }
    tags = asked.pop("tags")
    asked["VpcId"] = shared.ids[asked["VpcId"]]
    asked["RouteTableIds"] = [shared.ids[name] for name in asked["RouteTableIds"]]
    asked["TagSpecifications"] = [{"ResourceType": "vpc-endpoint", "Tags": tags}] if tags else []
    assert answer(shared, "ec2", "create_vpc_endpoint", DryRun=True, **asked) == code


@pytest.mark.parametrize(
    ("name", "code"), [("ours", DRY_RUN), ("theirs", REFUSED), ("db", REFUSED)]
)
def test_an_endpoint_is_deleted_only_if_a_change_has_made_it(
    shared: rehearsal.Account, others: dict[str, str], name: str, code: str
) -> None:
    asked = {"VpcEndpointIds": [others[name]], "DryRun": True}
    assert answer(shared, "ec2", "delete_vpc_endpoints", **asked) == code
    tag = {"Resources": [others[name]], "Tags": MARK, "DryRun": True}
    assert answer(shared, "ec2", "create_tags", **tag) == REFUSED  # to delete it then


@pytest.mark.parametrize(
    ("service", "operation", "request_", "code"),
    [
        ("s3", "put_bucket_policy", {"Bucket": "rehearsal-logs", "Policy": "{}"}, "AccessDenied"),
        ("s3", "delete_bucket_policy", {"Bucket": "rehearsal-logs"}, "AccessDenied"),
        ("s3", "get_bucket_policy", {"Bucket": "rehearsal-logs"}, "AccessDenied"),
        ("ec2", "describe_subnets", {"region": "us-east-1"}, REFUSED),
        ("ec2", "describe_subnets", {}, ""),
        ("ssm", "describe_instance_information", {"region": "us-east-1"}, "AccessDeniedException"),
    ],
)
def test_nothing_is_read_or_written_elsewhere(
    shared: rehearsal.Account, service: str, operation: str, request_: Any, code: str
) -> None:
    assert answer(shared, service, operation, **request_) == code


@pytest.mark.parametrize(
    ("instance", "document", "code"),
    [
        ("reporter-1", "AWS-RunShellScript", ""),
        ("worker-1", "AWS-RunShellScript", "AccessDeniedException"),
        ("app-1", "AWS-RunPowerShellScript", "AccessDeniedException"),
    ],
)
def test_a_command_runs_on_the_instances_of_the_vpc_alone(
    shared: rehearsal.Account, instance: str, document: str, code: str
) -> None:
    asked = {"InstanceIds": [shared.ids[instance]], "Parameters": {"commands": ["true"]}}
    assert answer(shared, "ssm", "send_command", DocumentName=document, **asked) == code


def test_the_attributes_of_other_vpcs_and_the_roles_of_others_are_out_of_reach(
    shared: rehearsal.Account,
) -> None:
    attribute = {"Attribute": "enableDnsSupport"}
    for name, code in (("rehearsal", ""), ("shared", REFUSED)):
        asked = {"VpcId": shared.ids[name], **attribute}
        assert answer(shared, "ec2", "describe_vpc_attribute", **asked) == code
    role = f"arn:aws:iam::{shared.account_id}:role/"
    for name, code in (("break-glass", ""), ("ci-deployer", "AccessDenied")):
        asked = {"RoleArn": f"{role}{name}", "RoleSessionName": "me"}
        assert answer(shared, "sts", "assume_role", **asked) == code


# -- what the notebooks say ------------------------------------------------------------------------


def needs(step: str) -> tuple[set[str], set[str]]:
    """The policies and actions that a notebook says that it needs, and needs besides to apply."""
    cell = json.loads((PROJECT / f"notebooks/{step}.ipynb").read_text("utf-8"))["cells"][0]
    (row,) = re.findall(r"^\| \*\*Needs\*\* \| (.*) \|$", "".join(cell["source"]), re.MULTILINE)
    parts = (row.partition("o apply")[0], row.partition("o apply")[2])
    plan, apply = ({*re.findall(r"`([a-z0-9-]+:[A-Za-z*]+|params/iam/\w+)", p)} for p in parts)
    for number in re.findall(r"what notebook (\d\d) needs", parts[0]):
        (other,) = [one for one in STEPS if one.startswith(number)]
        plan |= needs(other)[0]
    return plan, apply


def granted(said: set[str]) -> set[str]:
    """The actions that are meant by the names of policies and of actions, be they patterns."""
    files = {f"params/iam/{name}": actions(name) for name in NAMES}
    known = {action for _, action in EVERY}
    meant = [files.get(one, [a for a in known if fnmatchcase(a, one)]) for one in said]
    return {action for some in meant for action in some}


@pytest.mark.parametrize("step", STEPS)
def test_a_notebook_says_all_that_it_needs_to_plan_and_to_apply(whole: Run, step: str) -> None:
    asked, (plan, apply) = whole.actions[step], needs(step)
    # While planning the instances are asked by who may ask them, and else are not.
    assert {*asked["plan"]} - PROBED - {*actions("check")} <= granted(plan)
    assert {*asked["plan"], *asked.get("apply", [])} - PROBED <= granted(plan | apply)


@pytest.mark.parametrize("step", STEPS)
def test_a_notebook_names_no_policy_that_it_can_do_without(whole: Run, step: str) -> None:
    asked, (plan, apply) = whole.actions[step], needs(step)
    every = {*asked["plan"], *asked.get("apply", [])}
    for one in plan | apply:
        assert granted({one}), f"no policy grants {one}"
        if one.startswith("params/"):
            assert every & granted({one}), one
    assert not granted(plan) & {*actions("change")}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

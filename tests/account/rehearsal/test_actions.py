"""What a policy can be narrowed by, for the services that a change asks: resources and keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from rehearsal import Account
from tests.support.asking import code_of

REGION, ACCOUNT = "ap-northeast-1", "123456789012"
OWN = f"arn:aws:ec2:{REGION}:{ACCOUNT}"
S3, DYNAMODB = f"com.amazonaws.{REGION}.s3", f"com.amazonaws.{REGION}.dynamodb"
TABLE, ENDPOINT, ANY_VPC = f"{OWN}:route-table/*", f"{OWN}:vpc-endpoint/*", f"{OWN}:vpc/*"
CHANGE = "private-s3:change"
REFUSED, PASSED = "UnauthorizedOperation", "DryRunOperation"
Grant = Callable[..., None]


def allow(actions: str | list[str], resources: str | list[str], **condition: Any) -> dict[str, Any]:
    """A statement; conditions as OPERATOR={KEY: VALUE}."""
    statement = {"Effect": "Allow", "Action": actions, "Resource": resources}
    return {**statement, "Condition": condition} if condition else statement


@pytest.fixture
def grant(shared: Account) -> Any:
    """Gives the role of `ci` one policy, of the statements that it is called with."""
    iam = shared.client("iam")

    def give(*statements: dict[str, Any]) -> None:
        text = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.put_role_policy(RoleName="ci-deployer", PolicyName="trial", PolicyDocument=text)

    yield give
    iam.delete_role_policy(RoleName="ci-deployer", PolicyName="trial")


def creation(account: Account, *tags: str, vpc: str = "rehearsal", **more: Any) -> dict[str, Any]:
    """A dry run of the creation of an endpoint, with these tags."""
    made = [{"Key": key, "Value": "x"} for key in tags]
    specification = [{"ResourceType": "vpc-endpoint", "Tags": made}] if tags else []
    return {
        "VpcId": account.ids[vpc],
        "ServiceName": S3,
        "RouteTableIds": [account.ids["private-a"]],
        "TagSpecifications": specification,
        "DryRun": True,
        **more,
    }


def create(account: Account, *tags: str, **more: Any) -> str:
    """What `ci` is answered to it."""
    call = account.client("ec2", "ci").create_vpc_endpoint
    return code_of(call, **creation(account, *tags, **more))


@pytest.fixture
def made(shared: Account) -> Any:
    """Somebody's endpoint, with the tag of a change."""
    ec2 = shared.client("ec2")
    request = {**creation(shared, CHANGE), "DryRun": False}
    name = ec2.create_vpc_endpoint(**request)["VpcEndpoint"]["VpcEndpointId"]
    yield name
    ec2.delete_vpc_endpoints(VpcEndpointIds=[name])


# -- an endpoint is made ---------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [TABLE, ENDPOINT, ANY_VPC])
def test_each_resource_of_a_creation_must_be_allowed(
    shared: Account, grant: Grant, missing: str
) -> None:
    every = [TABLE, ENDPOINT, ANY_VPC]
    grant(allow("ec2:CreateVpcEndpoint", every))
    assert create(shared) == PASSED
    grant(allow("ec2:CreateVpcEndpoint", [one for one in every if one != missing]))
    assert create(shared) == REFUSED


def test_a_creation_can_be_narrowed_to_a_vpc(shared: Account, grant: Grant) -> None:
    own_vpc = f"{OWN}:vpc/{shared.ids['rehearsal']}"
    for narrowed in (
        [allow("ec2:CreateVpcEndpoint", [TABLE, ENDPOINT, own_vpc])],
        [
            allow("ec2:CreateVpcEndpoint", [TABLE, ENDPOINT]),
            allow(
                "ec2:CreateVpcEndpoint",
                ANY_VPC,
                StringEquals={"ec2:VpcID": shared.ids["rehearsal"]},
            ),
        ],
    ):
        grant(*narrowed)
        assert create(shared) == PASSED
        assert create(shared, vpc="shared") == REFUSED


def test_no_key_tells_in_which_vpc_a_route_table_is(shared: Account, grant: Grant) -> None:
    """Source: Service Authorization Reference: CreateVpcEndpoint has no ec2:Vpc."""
    other = allow("ec2:CreateVpcEndpoint", [ENDPOINT, ANY_VPC])
    vpc = f"{OWN}:vpc/{shared.ids['rehearsal']}"
    grant(other, allow("ec2:CreateVpcEndpoint", TABLE, ArnEquals={"ec2:Vpc": vpc}))
    assert create(shared) == REFUSED
    one = {"ec2:RouteTableID": shared.ids["private-a"]}
    grant(other, allow("ec2:CreateVpcEndpoint", TABLE, StringEquals=one))
    assert create(shared) == PASSED
    assert create(shared, RouteTableIds=[shared.ids["main"]]) == REFUSED


NAMED = "ForAllValues:StringEquals"


@pytest.mark.parametrize(
    ("condition", "passes", "refused"),
    [
        (
            {"StringEquals": {"ec2:VpceServiceName": S3}},
            {},
            {"ServiceName": DYNAMODB},
        ),
        ({"StringEquals": {"ec2:VpceServiceOwner": "amazon"}}, {}, None),
        ({"StringEquals": {"ec2:VpceServiceOwner": "aws-marketplace"}}, None, {}),
        ({"StringEquals": {"ec2:Region": REGION}}, {}, None),
        ({"StringEquals": {"ec2:Region": "us-east-1"}}, None, {}),
        ({"Null": {f"aws:RequestTag/{CHANGE}": "false"}}, {"tags": [CHANGE]}, {"tags": ["Name"]}),
        ({"StringEquals": {f"aws:RequestTag/{CHANGE}": "x"}}, {"tags": ["Name", CHANGE]}, {}),
        ({"StringEquals": {f"aws:RequestTag/{CHANGE}": "y"}}, None, {"tags": [CHANGE]}),
        (
            {NAMED: {"aws:TagKeys": ["Name", CHANGE]}},
            {"tags": ["Name", CHANGE]},
            {"tags": ["Name", CHANGE, "team"]},
        ),
        # Of what is yet to be made there are no tags.
        ({"StringEquals": {f"aws:ResourceTag/{CHANGE}": "x"}}, None, {"tags": [CHANGE]}),
    ],
)
def test_a_creation_is_narrowed_by_what_is_to_be_made(
    shared: Account, grant: Grant, condition: Any, passes: Any, refused: Any
) -> None:
    grant(
        allow("ec2:CreateVpcEndpoint", [TABLE, ANY_VPC]),
        allow("ec2:CreateVpcEndpoint", ENDPOINT, **condition),
        allow("ec2:CreateTags", ENDPOINT),
    )
    for request, code in ((passes, PASSED), (refused, REFUSED)):
        if request is not None:
            more = {key: value for key, value in request.items() if key != "tags"}
            assert create(shared, *request.get("tags", []), **more) == code


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ({"StringEquals": {"ec2:CreateAction": "CreateVpcEndpoint"}}, PASSED),
        ({"StringEquals": {"ec2:CreateAction": "RunInstances"}}, REFUSED),
        ({NAMED: {"aws:TagKeys": [CHANGE]}}, PASSED),
        ({NAMED: {"aws:TagKeys": ["Name"]}}, REFUSED),
    ],
)
def test_to_tag_while_making_needs_its_own_permission(
    shared: Account, grant: Grant, condition: Any, code: str
) -> None:
    every = allow("ec2:CreateVpcEndpoint", [TABLE, ENDPOINT, ANY_VPC])
    grant(every)
    assert (create(shared), create(shared, CHANGE)) == (PASSED, REFUSED)
    grant(every, allow("ec2:CreateTags", ENDPOINT, **condition))
    assert create(shared, CHANGE) == code


def test_what_may_be_tagged_at_its_making_may_not_be_tagged_later(
    shared: Account, grant: Grant, made: str
) -> None:
    tag = shared.client("ec2", "ci").create_tags
    request = {"Resources": [made], "Tags": [{"Key": "Name", "Value": "x"}], "DryRun": True}
    making = {"ec2:CreateAction": "CreateVpcEndpoint"}
    grant(allow("ec2:CreateTags", ENDPOINT, StringEquals=making))
    assert code_of(tag, **request) == REFUSED
    grant(allow("ec2:CreateTags", ENDPOINT, StringEquals={"aws:RequestTag/Name": "x"}))
    assert code_of(tag, **request) == PASSED


# -- an endpoint is changed, and deleted -----------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "modify", "delete"),
    [
        ({"StringEquals": {f"aws:ResourceTag/{CHANGE}": "x"}}, PASSED, PASSED),
        ({"StringEquals": {f"ec2:ResourceTag/{CHANGE}": "x"}}, PASSED, PASSED),
        ({"StringEquals": {f"aws:ResourceTag/{CHANGE}": "y"}}, REFUSED, REFUSED),
        # It is a key of DeleteVpcEndpoints, and none of ModifyVpcEndpoint.
        ({"StringEquals": {"ec2:VpceServiceName": S3}}, REFUSED, PASSED),
        ({"StringEquals": {"ec2:VpceServiceName": DYNAMODB}}, REFUSED, REFUSED),
        ({"StringEquals": {f"aws:RequestTag/{CHANGE}": "x"}}, REFUSED, REFUSED),
    ],
)
def test_an_endpoint_is_known_by_its_tags_and_its_service(
    shared: Account, grant: Grant, made: str, condition: Any, modify: str, delete: str
) -> None:
    both = ["ec2:ModifyVpcEndpoint", "ec2:DeleteVpcEndpoints"]
    grant(allow("ec2:ModifyVpcEndpoint", TABLE), allow(both, ENDPOINT, **condition))
    ec2, main = shared.client("ec2", "ci"), shared.ids["main"]
    asked = {"VpcEndpointId": made, "AddRouteTableIds": [main], "DryRun": True}
    assert code_of(ec2.modify_vpc_endpoint, **asked) == modify
    assert code_of(ec2.delete_vpc_endpoints, VpcEndpointIds=[made], DryRun=True) == delete


def test_that_an_endpoint_is_gone_is_told_to_who_could_have_deleted_it(
    shared: Account, grant: Grant
) -> None:
    delete = shared.client("ec2", "ci").delete_vpc_endpoints
    gone: Any = {"VpcEndpointIds": ["vpce-0123456789abcdef0"]}
    assert code_of(delete, **gone) == REFUSED
    grant(allow("ec2:DeleteVpcEndpoints", ENDPOINT, Null={f"aws:ResourceTag/{CHANGE}": "false"}))
    (answer,) = delete(**gone)["Unsuccessful"]
    assert answer["Error"]["Code"] == "InvalidVpcEndpoint.NotFound"
    grant(allow("ec2:DeleteVpcEndpoints", f"{OWN}:vpc-endpoint/vpce-1"))
    assert code_of(delete, **gone) == REFUSED


# -- what is read, and by Systems Manager ----------------------------------------------------------


def test_a_listing_is_narrowed_by_region_alone(shared: Account, grant: Grant) -> None:
    grant(allow("ec2:DescribeSubnets", f"{OWN}:subnet/*"))
    here = shared.client("ec2", "ci").describe_subnets
    assert code_of(here, SubnetIds=[shared.ids["app-a"]]) == REFUSED
    grant(allow("ec2:DescribeSubnets", "*", StringEquals={"ec2:Region": REGION}))
    assert code_of(here) == ""
    assert code_of(shared.client("ec2", "ci", "us-east-1").describe_subnets) == REFUSED


def test_the_attributes_of_a_vpc_are_those_of_a_resource(shared: Account, grant: Grant) -> None:
    grant(allow("ec2:DescribeVpcAttribute", f"{OWN}:vpc/{shared.ids['rehearsal']}"))
    read = shared.client("ec2", "ci").describe_vpc_attribute
    asked = {"Attribute": "enableDnsSupport"}
    assert code_of(read, VpcId=shared.ids["rehearsal"], **asked) == ""
    assert code_of(read, VpcId=shared.ids["shared"], **asked) == REFUSED


def test_a_prefix_list_of_aws_is_no_resource_of_the_account(shared: Account, grant: Grant) -> None:
    read, ec2 = shared.client("ec2", "ci").get_managed_prefix_list_entries, shared.client("ec2")
    own = ec2.create_managed_prefix_list(PrefixListName="own", MaxEntries=1, AddressFamily="IPv4")[
        "PrefixList"
    ]["PrefixListId"]
    grant(allow("ec2:GetManagedPrefixListEntries", f"{OWN}:prefix-list/*"))
    assert code_of(read, PrefixListId=own) == ""
    assert code_of(read, PrefixListId="pl-61a54008") == REFUSED
    grant(allow("ec2:GetManagedPrefixListEntries", f"arn:aws:ec2:{REGION}:aws:prefix-list/*"))
    assert code_of(read, PrefixListId=own) == REFUSED
    assert code_of(read, PrefixListId="pl-61a54008") == ""
    ec2.delete_managed_prefix_list(PrefixListId=own)


@pytest.mark.parametrize("key", ["ssm:resourceTag/Name", "aws:ResourceTag/Name"])
def test_a_command_is_narrowed_by_document_and_instance(
    shared: Account, grant: Grant, key: str
) -> None:
    document = f"arn:aws:ssm:{REGION}::document/AWS-RunShellScript"
    send = shared.client("ssm", "ci").send_command

    def code(*names: str) -> str:
        ids = [shared.ids[name] for name in names]
        asked = {"DocumentName": "AWS-RunShellScript", "Parameters": {"commands": ["true"]}}
        return code_of(send, InstanceIds=ids, **asked)

    app_1 = f"{OWN}:instance/{shared.ids['app-1']}"
    by_tag = allow("ssm:SendCommand", f"{OWN}:instance/*", StringEquals={key: "app-1"})
    for instances in (allow("ssm:SendCommand", app_1), by_tag):
        grant(instances)
        assert code("app-1") == "AccessDeniedException"
        grant(instances, allow("ssm:SendCommand", document))
        assert code("app-1") == ""
        assert code("sibling-1") == code("app-1", "sibling-1") == "AccessDeniedException"


def test_a_quota_is_a_resource(shared: Account, grant: Grant) -> None:
    read = shared.client("service-quotas", "ci").get_service_quota
    quota = f"arn:aws:servicequotas:{REGION}:{ACCOUNT}:vpc/L-1B52E74A"
    grant(allow("servicequotas:GetServiceQuota", quota))
    assert code_of(read, ServiceCode="vpc", QuotaCode="L-1B52E74A") == ""
    refused = code_of(read, ServiceCode="vpc", QuotaCode="L-93826ACB")
    assert refused == "AccessDeniedException"


# -- what is noted ---------------------------------------------------------------------------------


def test_a_dry_run_is_no_write_and_each_call_has_its_actions(shared: Account) -> None:
    since = len(shared.calls())
    assert create(shared, CHANGE) == REFUSED
    assert code_of(shared.client("s3", "ci").head_bucket, Bucket="rehearsal-private-data") == ""
    create_vpc_endpoint, head_bucket = shared.calls()[since:]
    assert not create_vpc_endpoint["write"]
    assert create_vpc_endpoint["actions"] == ["ec2:CreateVpcEndpoint"]  # the first that is refused
    assert head_bucket["actions"] == ["s3:ListBucket"]
    code = code_of(
        shared.client("ec2").create_vpc_endpoint, **creation(shared, CHANGE, DryRun=True)
    )
    assert code == PASSED
    assert shared.calls()[-1]["actions"] == ["ec2:CreateTags", "ec2:CreateVpcEndpoint"]

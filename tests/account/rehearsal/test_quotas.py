"""Service Quotas in the rehearsal account: what is told of a quota, and that it really bites."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rehearsal import Account
from rehearsal.quotas import GATEWAY_ENDPOINTS, GATEWAY_ENDPOINTS_PER_VPC, ROUTES
from tests.support.asking import client_of, code_of

QUOTA = {"ServiceCode": "vpc", "QuotaCode": GATEWAY_ENDPOINTS}
# An increase cannot be taken back: the tests that ask for one do so elsewhere.
ELSEWHERE, FAR_AWAY = "us-east-1", "eu-west-1"
Fill = Callable[..., Any]


@pytest.fixture
def fill(shared: Account) -> Iterator[Fill]:
    """Makes gateway endpoints in a Region; gives root's client, and what else one is asked by."""
    made: dict[str, Any] = {}

    def make(region: str, vpc_id: str, count: int, service: str = "s3") -> Any:
        client = made.setdefault(region, shared.client("ec2", region=region))
        for _ in range(count):
            client.create_vpc_endpoint(**asked(region, vpc_id, service))
        return client

    yield make
    for client in made.values():
        gateways = [{"Name": "vpc-endpoint-type", "Values": ["Gateway"]}]
        found = client.describe_vpc_endpoints(Filters=gateways)["VpcEndpoints"]
        client.delete_vpc_endpoints(VpcEndpointIds=[one["VpcEndpointId"] for one in found])


def asked(region: str, vpc_id: str, service: str = "s3") -> dict[str, Any]:
    return {"VpcId": vpc_id, "ServiceName": f"com.amazonaws.{region}.{service}"}


def quota(account: Account, who: str = "root", **ask: str) -> dict[str, Any]:
    return dict(
        account.client("service-quotas", who).get_service_quota(**{**QUOTA, **ask})["Quota"]
    )


def default_vpc(account: Account, region: str) -> str:
    found = account.client("ec2", region=region).describe_vpcs()["Vpcs"]
    return str(next(vpc["VpcId"] for vpc in found if vpc["IsDefault"]))


def test_a_quota_is_told_as_aws_tells_it(shared: Account) -> None:
    found = quota(shared)
    assert found["QuotaName"] == "Gateway VPC endpoints per Region"
    assert (found["ServiceCode"], found["QuotaCode"]) == ("vpc", "L-1B52E74A")
    assert (found["Value"], found["Adjustable"]) == (20.0, True)
    assert found["QuotaArn"] == "arn:aws:servicequotas:ap-northeast-1:123456789012:vpc/L-1B52E74A"
    assert quota(shared, QuotaCode=ROUTES)["Value"] == 500.0


@pytest.mark.parametrize("unknown", [{"QuotaCode": "L-00000000"}, {"ServiceCode": "s3"}])
def test_a_quota_that_there_is_none_of_is_no_such_resource(
    shared: Account, unknown: dict[str, str]
) -> None:
    ask = client_of(shared, "service-quotas", "root").get_service_quota
    assert code_of(ask, **{**QUOTA, **unknown}) == "NoSuchResourceException"


def test_what_is_not_emulated_is_said_to_be_so(shared: Account) -> None:
    client = client_of(shared, "service-quotas", "root")
    assert code_of(client.list_services) == "NotImplemented"


def test_who_may_not_ask_is_refused(shared: Account) -> None:
    ask = client_of(shared, "service-quotas", "break-glass").get_service_quota
    assert code_of(ask, **QUOTA) == "AccessDeniedException"
    assert quota(shared, "operator")["Value"] == 20.0


def test_the_quota_of_gateway_endpoints_bites(shared: Account, fill: Fill) -> None:
    region, ids = shared.region, shared.ids
    ec2 = fill(region, ids["shared"], 12)
    fill(region, ids["rehearsal"], 8, "dynamodb")
    one_more = asked(region, ids["rehearsal"])
    assert code_of(ec2.create_vpc_endpoint, **one_more) == "VpcEndpointLimitExceeded"
    # It is about gateways alone, and about one Region.
    interface = {"VpcEndpointType": "Interface", "SubnetIds": [ids["app-b"]]}
    made = ec2.create_vpc_endpoint(**asked(region, ids["rehearsal"], "logs"), **interface)
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made["VpcEndpoint"]["VpcEndpointId"]])
    fill(ELSEWHERE, default_vpc(shared, ELSEWHERE), 1)


def test_a_quota_that_was_raised_leaves_room_for_more(shared: Account, fill: Fill) -> None:
    client = shared.client("service-quotas", region=ELSEWHERE)
    raised = client.request_service_quota_increase(**QUOTA, DesiredValue=21)["RequestedQuota"]
    assert raised["Status"] == "APPROVED"
    assert client.get_service_quota(**QUOTA)["Quota"]["Value"] == 21.0
    assert quota(shared)["Value"] == 20.0  # that of the other Region
    vpc_id = default_vpc(shared, ELSEWHERE)
    ec2 = fill(ELSEWHERE, vpc_id, 21)
    one_more = asked(ELSEWHERE, vpc_id)
    assert code_of(ec2.create_vpc_endpoint, **one_more) == "VpcEndpointLimitExceeded"
    for wanted in (21, 20, 10_001):
        again = {**QUOTA, "DesiredValue": wanted}
        assert code_of(client.request_service_quota_increase, **again) == "IllegalArgumentException"


def test_a_vpc_has_a_quota_of_its_own_that_nobody_can_raise(shared: Account, fill: Fill) -> None:
    client = shared.client("service-quotas", region=FAR_AWAY)
    client.request_service_quota_increase(**QUOTA, DesiredValue=1_000)
    vpc_id = default_vpc(shared, FAR_AWAY)
    ec2 = fill(FAR_AWAY, vpc_id, GATEWAY_ENDPOINTS_PER_VPC)
    one_more = asked(FAR_AWAY, vpc_id, "dynamodb")
    assert code_of(ec2.create_vpc_endpoint, **one_more) == "VpcEndpointLimitExceeded"
    other = ec2.create_vpc(CidrBlock="10.50.0.0/16")["Vpc"]["VpcId"]
    fill(FAR_AWAY, other, 1)


def test_a_full_route_table_takes_no_endpoint(shared: Account, fill: Fill) -> None:
    vpc_id = default_vpc(shared, ELSEWHERE)
    ec2 = fill(ELSEWHERE, vpc_id, 0)
    full = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
    vpn = ec2.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
    ec2.attach_vpn_gateway(VpcId=vpc_id, VpnGatewayId=vpn)
    routes = [f"10.{16 + number // 250}.{number % 250}.0/24" for number in range(499)]
    for cidr in routes:  # and the local one
        ec2.create_route(RouteTableId=full, DestinationCidrBlock=cidr, GatewayId=vpn)
    one_more = {**asked(ELSEWHERE, vpc_id), "RouteTableIds": [full]}
    assert code_of(ec2.create_vpc_endpoint, **one_more) == "RouteLimitExceeded"
    ec2.delete_route(RouteTableId=full, DestinationCidrBlock=routes[0])
    assert code_of(ec2.create_vpc_endpoint, **one_more) == ""


def test_a_dry_run_is_noted_as_one_and_has_faults_of_its_own(shared: Account) -> None:
    ec2 = client_of(shared, "ec2", "root")
    one = asked(shared.region, shared.ids["rehearsal"])
    shared.plant("CreateVpcEndpoint (dry run)", code="Unavailable", status=503)
    shared.plant("CreateVpcEndpoint", code="InternalError", status=500)
    assert code_of(ec2.create_vpc_endpoint, **one, DryRun=True) == "Unavailable"
    assert code_of(ec2.create_vpc_endpoint, **one, DryRun=True) == "DryRunOperation"
    assert code_of(ec2.create_vpc_endpoint, **one) == "InternalError"
    noted = [(call["operation"], call["write"]) for call in shared.calls()[-3:]]
    tried = ("CreateVpcEndpoint (dry run)", False)
    assert noted == [tried, tried, ("CreateVpcEndpoint", True)]

"""Small hand-made readings for the tests of private_s3; nothing is asked of any account."""

from typing import Any

from private_s3.network import Network
from private_s3.parameters import Parameters

ACCOUNT, REGION = "123456789012", "ap-northeast-1"
VALUES: dict[str, Any] = {
    "change_id": "rehearsal",
    "region": REGION,
    "expected_account": ACCOUNT,
    "instance_name": "app-1",
    "bucket": "data",
}


def parameters(**changes: Any) -> Parameters:
    return Parameters.of({**VALUES, **changes})


def route_table(id_: str, subnet: str = "", *, main: bool = False) -> Any:
    associations: list[dict[str, Any]] = [{"SubnetId": subnet}] if subnet else []
    return {
        "RouteTableId": id_,
        "Routes": [],
        "Associations": [*associations, *([{"Main": True}] if main else [])],
    }


def endpoint(id_: str, *tables: str, name: str = "", change: str = "", **more: Any) -> Any:
    tags = [{"Key": "Name", "Value": name}, {"Key": "private-s3:change", "Value": change}]
    return {
        "VpcEndpointId": id_,
        "VpcEndpointType": "Gateway",
        "VpcId": "vpc-1",
        "ServiceName": f"com.amazonaws.{REGION}.s3",
        "State": "available",
        "RouteTableIds": list(tables),
        "PolicyDocument": '{"Statement":{"Effect":"Allow","Principal":"*","Action":"*",'
        '"Resource":"*"},"Version":"2008-10-17"}',
        "Tags": tags,
        **more,
    }


def vpc(*endpoints: Any, instances: tuple[str, ...] = ("subnet-a",)) -> Network:
    """Two subnets, a on its own route table rtb-a, b on the main one rtb-m."""
    return Network(
        vpc_id="vpc-1",
        service_name=f"com.amazonaws.{REGION}.s3",
        prefix_list_id="pl-1",
        instances=[
            {"InstanceId": f"i-{n}", "SubnetId": subnet} for n, subnet in enumerate(instances)
        ],
        subnets=[{"SubnetId": "subnet-a"}, {"SubnetId": "subnet-b"}],
        route_tables=[route_table("rtb-a", "subnet-a"), route_table("rtb-m", main=True)],
        endpoints=list(endpoints),
    )

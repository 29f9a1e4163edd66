"""Small hand-made readings for the tests of private_s3; nothing is asked of any account."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import boto3

from private_s3 import aws
from private_s3.access import Situation
from private_s3.callers import OUTSIDE, Caller, Callers
from private_s3.identities import Identities, Identity
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
        prefixes=["52.219.0.0/20"],
        instances=[
            {"InstanceId": f"i-{n}", "SubnetId": subnet} for n, subnet in enumerate(instances)
        ],
        subnets=[{"SubnetId": "subnet-a"}, {"SubnetId": "subnet-b"}],
        route_tables=[route_table("rtb-a", "subnet-a"), route_table("rtb-m", main=True)],
        endpoints=list(endpoints),
    )


# -- an account with a bucket, and who is there ---------------------------------------------------

BUCKET = "data"
PROFILE = f"arn:aws:iam::{ACCOUNT}:instance-profile/app"
VPCE, OTHER = "vpce-0123456789abcdef0", "210987654321"
FENCE = {"StringNotEquals": {"aws:SourceVpce": VPCE}}
TARGET, CI = "0000000000000000a i-0000000000000000a", "role ci-1"


def role(name: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def statement(effect: str, action: str = "s3:*", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": "*", **more}


def policy(*content: dict[str, Any], **more: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(content), **more})


def bucket_policy(*content: dict[str, Any]) -> str:
    return policy(*({"Principal": "*", **one} for one in content))


FENCED = bucket_policy(statement("Deny", Sid="Fence", Condition=FENCE))
EVERYTHING = {"all": policy(statement("Allow"))}
IDENTITIES = (
    Identity(role("team/app"), "AROAAPP", EVERYTHING, profiles=(PROFILE,), tags={"team": "blue"}),
    Identity(role("ops/operator"), "AROAOPS", EVERYTHING),
    Identity(role("break-glass"), "AROAGLASS", EVERYTHING),
    Identity(role("ci-1"), "AROACI1", EVERYTHING),
    Identity(role("ci-2"), "AROACI2", EVERYTHING),
    Identity(role("nobody"), "AROANOBODY", {}),
    Identity(role("aws-service-role/x/linked"), "AROALINKED", EVERYTHING),
    Identity(f"arn:aws:iam::{ACCOUNT}:user/ann", "AIDAANN", EVERYTHING),
)


def instance(id_: str, subnet: str = "subnet-a", profile: str = PROFILE) -> Any:
    return {
        "InstanceId": id_,
        "SubnetId": subnet,
        "PrivateIpAddress": "10.0.0.4",
        "Tags": [{"Key": "Name", "Value": id_.removeprefix("i-")}],
        **({"IamInstanceProfile": {"Arn": profile}} if profile else {}),
    }


@cache
def account(arn: str = "") -> aws.Account:
    session = boto3.Session("key", "secret", region_name=REGION)
    own = f"arn:aws:sts::{ACCOUNT}:assumed-role/operator/night"
    return aws.Account(session, ACCOUNT, arn or own)


def people(
    present: str | None = None,
    *,
    caller: str = "",
    refused: str = "",
    replicas: str = "",
    **more: Any,
) -> Callers:
    bound = account(caller)
    identities = Identities(bound)
    identities.unread = refused
    identities.__dict__["by_arn"] = {} if refused else {one.arn: one for one in IDENTITIES}
    network = replace(
        vpc(instances=()),
        instances=[instance("i-0000000000000000a")],
        subnets=[
            {"SubnetId": name, "CidrBlock": "10.0.0.0/24"} for name in ("subnet-a", "subnet-b")
        ],
    )
    neighbours = [
        instance("i-0000000000000000a"),
        instance("i-0000000000000000b"),
        instance("i-0000000000000000c"),
        instance("i-0000000000000000d", "subnet-b"),
        instance("i-0000000000000000e", profile=""),
    ]
    values = parameters(**{"break_glass_role": role("break-glass"), **more})
    return Callers(bound, values, identities, network, neighbours, replicas, present)


def one(callers: Callers, name: str, place: str = OUTSIDE) -> Caller:
    (found,) = [c for c in callers.all() if c.who == name and c.place == place]
    return found


def situation(present: str | None = None, **changes: Any) -> Situation:
    given: dict[str, Any] = {
        "bucket": BUCKET,
        "account": ACCOUNT,
        "region": REGION,
        "vpc": "vpc-1",
        "policy": present,
        "ways": {"subnet-a": VPCE, "subnet-b": "nowhere"},
        "endpoints": {VPCE: bucket_policy(statement("Allow"))},
        "public_access_block": {},
    }
    return Situation(**{**given, **changes})

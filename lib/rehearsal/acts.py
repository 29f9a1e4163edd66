"""What AWS, or somebody else, does to the account while nobody of the rehearsal asks for it."""

import json
import re
from collections.abc import Callable
from typing import Any

from moto.ec2.models import ec2_backends
from moto.s3.models import s3_backends

from rehearsal.call import Call
from rehearsal.repairs.endpoints import set_address_type
from rehearsal.repairs.network import grow_s3_list
from rehearsal.trail import Trail

_ACCOUNT = re.compile(r"\d{12}")
# What an act is on, when it comes just before a call.
ON: dict[str, Callable[[Call], dict[str, Any]]] = {
    "foreign endpoint": lambda call: {
        "vpc_id": call.parameters["VpcId"],
        "service_name": call.parameters["ServiceName"],
        "route_table_ids": call.items("RouteTableId"),
    },
    "foreign policy": lambda call: {"bucket": call.bucket},
    "grow prefix list": lambda call: {},
    "dual stack": lambda call: {},
    "reorder policy": lambda call: {"bucket": call.bucket},
}


class Acts:
    """The acts of others, by name."""

    def __init__(self, account_id: str, region: str, trail: Trail) -> None:
        self._account_id, self._region, self._trail = account_id, region, trail
        self._acts: dict[str, Callable[..., None]] = {
            "foreign endpoint": self._create_foreign_endpoint,
            "foreign policy": self._add_statement,
            "grow prefix list": self._grow_prefix_list,
            "dual stack": self._make_dual_stack,
            "reorder policy": self._reorder_policy,
            "delay trail": self._delay_trail,
        }

    def act(self, act: str, **on: Any) -> None:
        """Does it; ValueError or LookupError if nobody can."""
        if act not in self._acts:
            raise ValueError(f'"{act}" is none of {", ".join(sorted(self._acts))}')
        self._acts[act](**on)

    @property
    def _ec2(self) -> Any:
        return ec2_backends[self._account_id][self._region]

    def _bucket(self, name: str) -> Any:
        return s3_backends[self._account_id]["aws"].buckets[name]

    def _create_foreign_endpoint(
        self, vpc_id: str, service_name: str, route_table_ids: list[str]
    ) -> None:
        """Somebody else gives the same route tables an S3 gateway endpoint of their own."""
        self._ec2.create_vpc_endpoint(
            vpc_id=vpc_id,
            service_name=service_name,
            endpoint_type="Gateway",
            policy_document=None,
            route_table_ids=route_table_ids,
            tags={"Name": "somebody-else"},
        )

    def _add_statement(self, bucket: str) -> None:
        """Somebody else adds a statement to the policy of the same bucket."""
        stored = self._bucket(bucket)
        policy = json.loads(stored.policy or '{"Version": "2012-10-17", "Statement": []}')
        statement = {
            "Sid": "AddedBySomebodyElse",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:DeleteBucket",
            "Resource": f"arn:aws:s3:::{bucket}",
        }
        policy["Statement"].append(statement)
        stored.policy = json.dumps(policy).encode()

    def _grow_prefix_list(self) -> None:
        """S3 comes to have one more range of addresses in the Region."""
        grow_s3_list(self._ec2)

    def _make_dual_stack(self, endpoint_id: str = "") -> None:
        """A gateway endpoint, or each of them, gets a second route in each of its route tables."""
        endpoints = self._ec2.vpc_end_points
        for endpoint in [endpoints[endpoint_id]] if endpoint_id else endpoints.values():
            set_address_type(self._ec2, endpoint, "dualstack")

    def _delay_trail(self, seconds: float) -> None:
        """CloudTrail takes so long to show what was asked."""
        self._trail.delay = float(seconds)

    def _reorder_policy(self, bucket: str) -> None:
        """S3 stores the same policy in other words."""
        stored = self._bucket(bucket)
        if not stored.policy:
            raise ValueError(f"{bucket} has no policy")
        policy = json.loads(stored.policy)
        if isinstance(policy["Statement"], list):
            policy["Statement"] = [_reworded(one) for one in reversed(policy["Statement"])]
        stored.policy = json.dumps(policy).encode()


def _reworded(statement: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _shortened(value, name in ("Principal", "NotPrincipal"))
        for name, value in statement.items()
    }


def _shortened(value: Any, names_accounts: bool) -> Any:
    """A list of one thing as that thing; the account id of a principal as the ARN of its root."""
    if isinstance(value, dict):
        return {key: _shortened(item, names_accounts) for key, item in value.items()}
    if isinstance(value, list):
        items = [_shortened(item, names_accounts) for item in value]
        return items[0] if len(items) == 1 else items
    if names_accounts and _ACCOUNT.fullmatch(value):
        return f"arn:aws:iam::{value}:root"
    return value

"""Says whether a gateway endpoint's policy lets an instance's requests for the bucket pass."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from iam_verdict import PolicyError, Principal, Verdict, parse
from private_s3 import statements
from private_s3.access import ACTIONS, Situation
from private_s3.callers import Caller
from private_s3.network import Network
from private_s3.path.packets import Step, few, passes, strays, unknown
from private_s3.probes import CHECK_PREFIX

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

NARROW_POLICY = 14  # the number of the cause that is found here
COLUMNS = ("list", "read", "write")
# An object like those that checks make; of others the policy may say something else.
OBJECT = f"{CHECK_PREFIX}/object"


@dataclass(frozen=True)
class Asked:
    """Which bucket is asked for, and by whom: `callers` are the instances' sessions, by instance.

    The role of an instance that is not among them is not known.
    """

    bucket: str
    account_id: str
    region: str
    callers: Mapping[str, Caller] = field(default_factory=dict)


def judge(
    asked: Asked, network: Network, instance: InstanceTypeDef, endpoint_id: str, policy: str
) -> Step:
    """What this policy alone makes of listing, reading and writing."""
    caller = asked.callers.get(instance["InstanceId"])
    is_known = caller is not None and "aws:userid" in caller.keys
    if caller is None or not is_known:
        caller = _somebody(asked, network, instance)
    situation = Situation(
        bucket=asked.bucket,
        account=asked.account_id,
        region=asked.region,
        vpc=network.vpc_id,
        # Whatever else is asked lets everything pass, so that the verdict is this policy's.
        policy=json.dumps(statements.full_access()),
        ways={caller.subnet: endpoint_id},
        endpoints={endpoint_id: policy},
        public_access_block={},
    )
    freely = replace(caller, policies={}, boundary=None)
    whose = f"the policy of {endpoint_id}"
    try:
        if not is_known and _names_principals(policy):
            return unknown(f"{whose} names principals, and the instance's role is not known")
        found = {
            action: situation.verdict(freely, action, OBJECT)
            for column in COLUMNS
            for action in ACTIONS[column]
        }
    except PolicyError as error:
        return unknown(f"{whose} cannot be understood: {error}")
    doubtful = {action: one for action, one in found.items() if one.decision == "depends"}
    refused = {a: v for a, v in found.items() if not v.allowed and a not in doubtful}
    if refused:
        return strays(f"{whose}: {_together(refused)}", NARROW_POLICY)
    if doubtful:
        return unknown(f"{whose}: {_together(doubtful)}")
    return passes(f"{whose} lets {few([*found])} pass")


def _together(found: Mapping[str, Verdict]) -> str:
    """What decides, each time with all the actions that it decides about."""
    causes: dict[str, list[str]] = {}
    for action, verdict in found.items():
        causes.setdefault(_cause(verdict), []).append(action)
    return "; ".join(f"{cause} {few(actions)}" for cause, actions in causes.items())


def _cause(verdict: Verdict) -> str:
    if verdict.depends_on:
        return f"{few(sorted(verdict.depends_on))} decides about"
    if (statement := verdict.statement) is None:
        return "no statement allows"
    return f"statement {statement.sid or statement.index + 1} denies"


def _names_principals(policy: str) -> bool:
    """Whether it is not for everybody alike. AWS itself takes only `*` for a gateway endpoint."""
    named = [statement.principals for statement in parse(policy, names_principals=True).statements]
    return not all(one and one.everyone and not one.negated for one in named)


def _somebody(asked: Asked, network: Network, instance: InstanceTypeDef) -> Caller:
    """A session of an instance's role, of which nothing else is known."""
    account = asked.account_id
    prefix = f"arn:aws:ec2:{asked.region}:{account}:instance"
    return Caller(
        instance["InstanceId"],
        Principal("role-session", f"arn:aws:iam::{account}:role/unknown", account=account),
        {
            "aws:PrincipalAccount": account,
            "aws:PrincipalType": "AssumedRole",
            "aws:PrincipalIsAWSService": "false",
            "ec2:SourceInstanceArn": f"{prefix}/{instance['InstanceId']}",
            "aws:Ec2InstanceSourceVpc": network.vpc_id,
            "aws:Ec2InstanceSourcePrivateIPv4": instance.get("PrivateIpAddress", ""),
        },
        place="",
        subnet=instance.get("SubnetId", ""),
        address=instance.get("PrivateIpAddress", ""),
    )

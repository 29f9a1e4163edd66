"""Says who will come through the endpoint from now on, and what AWS will know of each request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from iam_verdict import Principal
from private_s3.blast_radius.sharing import Share
from private_s3.callers import Caller, instance_arn
from private_s3.identities import SERVICE_LINKED, Identities, Identity
from private_s3.network import Network
from private_s3.plan import NEW_ENDPOINT

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef


def comers(network: Network, shares: Sequence[Share], identities: Identities) -> list[Caller]:
    """The instances whose S3 traffic turns to the endpoint, with the keys of their requests."""
    at_the_endpoint = _at_the_endpoint(network, identities)
    return [
        _comer(share.instance, share.who, network.vpc_id, at_the_endpoint, identities)
        for share in shares
        if share.instance and not share.served
    ]


def others(network: Network, coming: Sequence[Caller], identities: Identities) -> list[Caller]:
    """Everybody else with policies of their own, as if they came through the endpoint too.

    Who of them does is not seen: a function or a container in a subnet is no instance.
    """
    here = {caller.principal.arn for caller in coming}
    at_the_endpoint = _at_the_endpoint(network, identities)
    return [
        _caller("", identity, identities.account.id, at_the_endpoint)
        for arn, identity in sorted(identities.by_arn.items())
        if arn not in here and SERVICE_LINKED not in arn
    ]


def roles(shares: Sequence[Share], identities: Identities) -> list[str]:
    """ARNs of the roles of the instances behind the route tables, as far as they can be read."""
    profiles = {_profile(share.instance) for share in shares if share.instance}
    return sorted(role.arn for one in profiles if (role := identities.role_of(one)))


def _comer(
    instance: InstanceTypeDef,
    who: str,
    vpc_id: str,
    at_the_endpoint: dict[str, str],
    identities: Identities,
) -> Caller:
    account, profile = identities.account, _profile(instance)
    instance_id, address = instance["InstanceId"], instance.get("PrivateIpAddress", "")
    keys = {**at_the_endpoint, "aws:VpcSourceIp": address}
    if not profile:  # it has nothing to sign with
        keys |= {"aws:PrincipalType": "Anonymous", "aws:userid": "anonymous"}
        return Caller(who, Principal("anonymous"), keys)
    keys |= {
        "ec2:SourceInstanceArn": instance_arn(account, instance_id),
        "aws:Ec2InstanceSourceVpc": vpc_id,
        "aws:Ec2InstanceSourcePrivateIPv4": address,
    }
    if role := identities.role_of(profile):
        keys["aws:userid"] = f"{role.unique_id}:{instance_id}"
        return _caller(who, role, account.id, keys, instance_id)
    guessed = f"arn:aws:iam::{account.id}:role/{profile.rsplit('/', 1)[1]}"
    return Caller(who, Principal("role-session", guessed, account=account.id), keys)


def _caller(
    who: str, identity: Identity, account_id: str, keys: dict[str, str], session: str = "a-session"
) -> Caller:
    """A session of a role, or a user, with all that its own policies say."""
    kind = "User"
    principal = Principal("user", identity.arn, account=account_id)
    if identity.is_role:
        kind = "AssumedRole"
        session_arn = f"arn:aws:sts::{account_id}:assumed-role/{identity.name}/{session}"
        principal = Principal("role-session", identity.arn, session_arn, account_id)
    own = {
        "aws:PrincipalArn": identity.arn,
        "aws:PrincipalAccount": account_id,
        "aws:PrincipalType": kind,
        "aws:PrincipalIsAWSService": "false",
        **{f"aws:PrincipalTag/{key}": value for key, value in identity.tags.items()},
    }
    return Caller(who, principal, {**own, **keys}, identity.policies, identity.boundary)


def _at_the_endpoint(network: Network, identities: Identities) -> dict[str, str]:
    """What every request carries that comes through the endpoint.

    If the VPC has several, it is not known here which one it will be.
    """
    account, vpc_id = identities.account, network.vpc_id
    ids = [one["VpcEndpointId"] for one in network.endpoints] or [NEW_ENDPOINT]
    return {
        "aws:SourceVpc": vpc_id,
        "aws:SourceVpcArn": f"arn:aws:ec2:{account.region}:{account.id}:vpc/{vpc_id}",
        "aws:VpceAccount": account.id,
        "aws:SecureTransport": "true",
        "aws:ViaAWSService": "false",
        "aws:RequestedRegion": account.region,
        **({"aws:SourceVpce": ids[0]} if len(ids) == 1 else {}),
    }


def _profile(instance: InstanceTypeDef) -> str:
    return instance.get("IamInstanceProfile", {}).get("Arn", "")

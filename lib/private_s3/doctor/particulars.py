"""Names what lies around an instance, so that a fix can be typed as it stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from private_s3 import network
from private_s3.doctor.examination import Examination
from private_s3.network import Network
from private_s3.path.packets import LISTED, Claim, precedence
from private_s3.path.place import Place
from private_s3.path.surroundings import Surroundings, groups_of

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef


def of_all(seen: Examination) -> dict[str, str]:
    """What is the same for every instance of the change."""
    return {
        "region": seen.account.region,
        "bucket": seen.parameters.bucket,
        "bucket_region": seen.bucket_region or "",
    }


def of(
    seen: Examination, found: Network, surroundings: Surroundings, instance: InstanceTypeDef
) -> dict[str, str]:
    """The things of one instance by what a fix calls them; empty where there is none."""
    place = Place(found, surroundings, instance)
    acls = [
        acl["NetworkAclId"]
        for acl in surroundings.network_acls
        if any(one["SubnetId"] == instance["SubnetId"] for one in acl["Associations"])
    ]
    table_id = place.routing.table["RouteTableId"]
    serving = place.routing.endpoint_id
    if not serving.startswith("vpce-"):
        serving = next((one["VpcEndpointId"] for one in found.endpoints), "")
    return {
        **of_all(seen),
        "instance": instance["InstanceId"],
        "vpc": found.vpc_id,
        "prefix_list": found.prefix_list_id,
        "ranges": ", ".join(found.prefixes),
        "route_table": table_id,
        "endpoint": serving,
        "group": next(iter(groups_of(instance)), ""),
        "acl": next(iter(acls), ""),
        "role": network.role_name(instance),
        "destination": _destinations(place, found),
    }


def _destinations(place: Place, found: Network) -> str:
    """The routes that win over that of S3's list, as options of delete-route."""
    winning = dict.fromkeys(
        claim.destination
        for claim in place.routing.claims
        if claim.destination != found.prefix_list_id and _wins(claim, place)
    )
    options = [
        f"--destination-{'prefix-list-id' if one.startswith('pl-') else 'cidr-block'} {one}"
        for one in winning
    ]
    more = f"; likewise {', '.join([*winning][1:])}" if len(winning) > 1 else ""
    return f"{options[0]}{more}" if options else ""


def _wins(claim: Claim, place: Place) -> bool:
    return any(
        claim.network.subnet_of(listed) and precedence(claim) > (listed.prefixlen, LISTED)
        for listed in place.routing.s3
    )

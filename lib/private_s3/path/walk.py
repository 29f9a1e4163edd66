"""Says whether a packet of an instance would reach S3 privately, hop by hop, from one reading."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, NamedTuple

from private_s3.callers import Caller
from private_s3.network import Network
from private_s3.path import endpoint_policy
from private_s3.path.endpoint_policy import Asked
from private_s3.path.packets import Step, Verdict, drops, few, passes, strays, unknown
from private_s3.path.place import Place
from private_s3.path.surroundings import DNS, Surroundings
from private_s3.record import Check
from private_s3.tables import table

if TYPE_CHECKING:
    import pandas as pd
    from mypy_boto3_ec2.type_defs import InstanceTypeDef, VpcEndpointTypeDef

HOPS = (
    "instance",
    "interface",
    "name resolution",
    "route table",
    "longest prefix",
    "security group",
    "network ACL out",
    "network ACL back",
    "gateway endpoint",
    "endpoint policy",
    "Region",
)
COLUMNS = ("", "instance", "hop", "verdict", "reason")
FIRST = "first blocker"
HTTPS = 443
# Numbers of the causes that are found here.
OTHER_REGION, NO_DNS = 5, 6


class Hop(NamedTuple):
    """One hop of an instance's way to S3, judged by itself.

    `symptom` is the number of the known cause that blocks it, if it is one.
    """

    instance: str
    hop: str
    verdict: Verdict
    reason: str
    symptom: int | None


class Way(NamedTuple):
    """What becomes of an instance's packets to one address and port.

    "open": they get to `target`, the id of what their route leads to. "blocked": `hop` drops them.
    "uncertain": nobody can know what `hop` does.
    """

    verdict: Verdict
    target: str
    hop: str
    reason: str


def way(
    network: Network,
    surroundings: Surroundings,
    instance: InstanceTypeDef,
    address: IPv4Address,
    port: int = HTTPS,
) -> Way:
    """What becomes of the packets to an address outside the VPC.

    It ends where they leave the VPC: what a NAT gateway's own subnet does with them is not asked.
    """
    place = Place(network, surroundings, instance)
    target, steps = place.routing.target(address), place.steps(address, port)
    # One hop that surely drops is enough, whatever nobody knows of others.
    ends: tuple[tuple[bool | None, Verdict], ...] = ((True, "blocked"), (None, "uncertain"))
    for drops_it, verdict in ends:
        for hop, step in steps.items():
            if step.drops is drops_it:
                return Way(verdict, target, hop, step.reason)
    return Way("open", target, "", "")


def hops(
    network: Network,
    surroundings: Surroundings,
    *,
    bucket: str,
    bucket_region: str | None,
    account_id: str,
    callers: Iterable[Caller] = (),
    endpoint_policies: Mapping[str, str] | None = None,
) -> list[Hop]:
    """Every hop of every instance of the change, in the order of HOPS.

    `bucket_region` is None if it could not be read. `callers` are the sessions of the instances'
    roles, as `Callers.targets` gives them. `endpoint_policies`, by id, stand above those that were
    read: of an endpoint that is yet to be made by its symbol, as in plans.
    """
    region = network.service_name.split(".")[2]
    sessions = {one: caller for caller in callers for one in caller.instances}
    asked = Asked(bucket, account_id, region, sessions)
    read = {one["VpcEndpointId"]: one["PolicyDocument"] for one in network.endpoints}
    policies = {**read, **(endpoint_policies or {})}
    found = []
    for instance in network.instances:
        place = Place(network, surroundings, instance)
        steps = {
            **place.to_s3(HTTPS),
            "name resolution": _name_resolution(network, surroundings),
            "endpoint policy": _endpoint_policy(place, asked, policies),
            "Region": _region(asked, bucket_region),
        }
        for hop in HOPS:
            verdict, reason, _, symptom = steps[hop]
            found.append(Hop(instance["InstanceId"], hop, verdict, reason, symptom))
    return found


def first_blocker(hops: Iterable[Hop], instance_id: str) -> Hop | None:
    """The first hop of an instance that is blocked; None if none is."""
    blocked = (h for h in hops if h.instance == instance_id and h.verdict == "blocked")
    return next(blocked, None)


def frame(hops: Sequence[Hop]) -> pd.DataFrame:
    """One row per hop, with a mark at the first of each instance that is blocked."""
    first = [first_blocker(hops, one) for one in _instances(hops)]
    rows = [(FIRST if h in first else "", h.instance, h.hop, h.verdict, h.reason) for h in hops]
    return table(rows, COLUMNS)


def checks(hops: Sequence[Hop]) -> list[Check]:
    """Whether the way of each instance is open."""
    result = []
    for one in _instances(hops):
        name, blocker = f"the way of {one} to S3 is open", first_blocker(hops, one)
        doubtful = [h for h in hops if h.instance == one and h.verdict == "uncertain"]
        if blocker:
            result.append(Check(name, "FAIL", f"{blocker.hop}: {blocker.reason}"))
        elif doubtful:
            detail = "; ".join(f"{h.hop}: {h.reason}" for h in doubtful)
            result.append(Check(name, "UNCERTAIN", detail))
        else:
            result.append(Check(name, "PASS", f"{len(HOPS)} hops"))
    return result


def sentence(hops: Sequence[Hop]) -> str:
    """One line per instance: where its private way to S3 ends, or that it does not."""
    lines = []
    for one in _instances(hops):
        blocker = first_blocker(hops, one)
        doubtful = [h.hop for h in hops if h.instance == one and h.verdict == "uncertain"]
        if blocker:
            lines.append(f"The private way of {one} ends at the {blocker.hop}: {blocker.reason}.")
        elif doubtful:
            lines.append(f"No hop of {one} is known to be blocked; not known: {few(doubtful)}.")
        else:
            lines.append(f"Every hop of {one} is open.")
    return "\n".join(lines)


def _instances(hops: Iterable[Hop]) -> list[str]:
    return [*dict.fromkeys(hop.instance for hop in hops)]


def _name_resolution(network: Network, surroundings: Surroundings) -> Step:
    """Whether the instance gets public addresses of S3 for its names."""
    vpc_id = network.vpc_id
    if surroundings.dns_support is None:
        answer = surroundings.unread.get(DNS, "AWS told nothing of them")
        return unknown(f"could not read the DNS attributes of {vpc_id}: {answer}")
    if not surroundings.dns_support:
        text = f"enableDnsSupport of {vpc_id} is off, so Amazon's resolver gives no addresses"
        return drops(text, NO_DNS)
    for endpoint in filter(_takes_names, surroundings.s3_interface_endpoints):
        text = f"the private DNS of the interface endpoint {endpoint['VpcEndpointId']}"
        return strays(f"{text} leads S3's names to that, past every gateway endpoint")
    # Source: AWS PrivateLink Guide, "Gateway endpoints". Names of the VPC itself need the other.
    off = "" if surroundings.dns_hostnames else "; S3 does without enableDnsHostnames, which is off"
    return passes(f"enableDnsSupport of {vpc_id} is on{off}")


def _takes_names(endpoint: VpcEndpointTypeDef) -> bool:
    """Whether S3's names lead to an interface endpoint from everywhere in its VPC.

    Source: Amazon S3 User Guide, "AWS PrivateLink for Amazon S3", on private DNS.
    """
    only_inbound = endpoint.get("DnsOptions", {}).get("PrivateDnsOnlyForInboundResolverEndpoint")
    at_work = endpoint["State"].lower() in ("available", "pending")
    return at_work and bool(endpoint.get("PrivateDnsEnabled")) and not only_inbound


def _endpoint_policy(place: Place, asked: Asked, policies: Mapping[str, str]) -> Step:
    """By the policy of the endpoint that serves the instance, or else of the only one there is."""
    serving, there = place.routing.endpoint_id, place.network.endpoints
    if not serving.startswith("vpce-"):
        if len(there) != 1:
            return passes("no endpoint serves the instance, so that no policy of one is asked")
        serving = there[0]["VpcEndpointId"]
    if serving not in policies:
        return unknown(f"the policy of {serving} is not known")
    return endpoint_policy.judge(asked, place.network, place.instance, serving, policies[serving])


def _region(asked: Asked, bucket_region: str | None) -> Step:
    """Whether the bucket is where the endpoint is, and what host the AWS CLI asks there."""
    bucket, region = asked.bucket, asked.region
    if bucket_region is None:
        return unknown(f"could not read the Region of {bucket}")
    if bucket_region != region:
        text = f"{bucket} is in {bucket_region}, and a gateway endpoint serves its own Region only"
        return strays(f"{text}, here {region}", OTHER_REGION)
    # A name with a dot fits no certificate of S3's, and so goes behind the host's.
    host = f"s3.{region}.amazonaws.com" if "." in bucket else f"{bucket}.s3.{region}.amazonaws.com"
    other = "s3.amazonaws.com is of this Region too"
    if region != "us-east-1":
        other = "without its Region set it asks s3.amazonaws.com, which is of us-east-1"
    return passes(f"{bucket} is in {region}: the AWS CLI asks {host}; {other}")

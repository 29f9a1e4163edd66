"""Makes findings of the hops that are blocked, in the order of the hops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from private_s3.blast_radius.endpoint_cut import Judge
from private_s3.doctor import told
from private_s3.doctor.diagnosis import Finding
from private_s3.doctor.error_text import Clue
from private_s3.doctor.examination import Examination
from private_s3.network import Network
from private_s3.path.walk import HOPS, Hop

# By hop: what it is that is none of the known symptoms, and what to do about it.
OTHERS = {
    "instance": (
        "the instance is not running",
        "aws ec2 start-instances --region {region} --instance-ids {instance}",
    ),
    "interface": ("the instance has no address", "give {instance} a network interface in {vpc}"),
    "name resolution": (
        "another endpoint has taken S3's names over",
        "let the interface endpoint answer inbound resolvers only: aws ec2 modify-vpc-endpoint "
        "--region {region} --vpc-endpoint-id ENDPOINT --dns-options "
        "PrivateDnsOnlyForInboundResolverEndpoint=true",
    ),
    "gateway endpoint": (
        "the gateway endpoint is not at work",
        "wait while {endpoint} is pending; in any other state delete it, or have AWS Support look "
        "at it, and plan again",
    ),
}
Known = Mapping[str, str]


def of(
    seen: Examination,
    found: Network,
    hops: Sequence[Hop],
    known: Mapping[str, Known],
    clues: Sequence[Clue],
) -> Iterator[Finding]:
    """One finding for each cause of each instance; `known` is what fixes name, by instance."""
    for name in HOPS:
        for hop in hops:
            if hop.hop == name and hop.verdict == "blocked":
                yield from _blocked(hop, hops, known[hop.instance])
        if name == "endpoint policy":
            yield from _aws_buckets(seen, found, known, clues)
        if name == "Region":
            some = {**next(iter(known.values())), "instance": ""}
            region = seen.bucket_region or seen.account.region
            yield from told.other_region(clues, region, **some)


def _blocked(hop: Hop, hops: Iterable[Hop], known: Known) -> Iterator[Finding]:
    """The cause of a hop, once: what one cause does at several hops is one finding."""
    if hop.symptom is None:
        title, fix = OTHERS.get(hop.hop, (f"the {hop.hop} is in the way", "see the evidence"))
        yield Finding(None, title, _evidence([hop]), fix.format_map(known), hop.instance)
        return
    alike = [
        one
        for one in hops
        if (one.instance, one.verdict, one.symptom) == (hop.instance, "blocked", hop.symptom)
    ]
    if alike[0] is hop:
        yield Finding.of(hop.symptom, _evidence(alike), **{**known, "instance": hop.instance})


def _evidence(hops: Iterable[Hop]) -> str:
    return "; ".join(f"{hop.hop}: {hop.reason}" for hop in hops)


def _aws_buckets(
    seen: Examination, found: Network, known: Mapping[str, Known], clues: Sequence[Clue]
) -> Iterator[Finding]:
    """That the endpoint's policy cuts a bucket of AWS which a text is about (symptom 15)."""
    clue = told.first_of(clues, 15)
    if clue is None:
        return
    roles = sorted({one.principal.arn for one in seen.callers if one.part == "target"})
    for endpoint in found.endpoints:
        endpoint_id, policy = endpoint["VpcEndpointId"], endpoint["PolicyDocument"]
        ids = [one for one, values in known.items() if values["endpoint"] == endpoint_id]
        judged = Judge(policy, seen.account.region, seen.account.id, roles).judgements()
        about = [one for one in judged if clue.bucket in one.family.buckets] or judged
        cut = [one for one in about if one.worst == "cut"]
        if ids and cut:
            reason = f"the policy of {endpoint_id} cuts off {cut[0].family.purpose}"
            owned = clue.bucket or cut[0].family.buckets[0]
            text = f"{reason} ({cut[0].reason}): {clue.quote}"
            yield Finding.of(15, text, **{**known[ids[0]], "owned": owned, "instance": ids[0]})

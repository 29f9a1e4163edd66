"""Names the first blocker between the instances and the bucket, and then the next; changes nothing.

The order is that of a request: the path, what S3 decides, the key. Then comes what is about the
change and about others, and last of all whether Systems Manager reaches the instances.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from private_s3 import aws, path
from private_s3.callers import Caller
from private_s3.doctor import error_text, examination, particulars, path_findings, told
from private_s3.doctor.diagnosis import Diagnosis, Finding, merged
from private_s3.doctor.error_text import Clue
from private_s3.doctor.examination import Examination
from private_s3.doctor.s3_findings import Decisions
from private_s3.doctor.symptoms import OTHER_WAYS_IN
from private_s3.network import Network
from private_s3.parameters import Parameters
from private_s3.path.surroundings import Surroundings
from private_s3.path.walk import Hop
from private_s3.preflight import management
from private_s3.record import Check

UNREADABLE = "could not read"
# What fixes name, by instance.
Known = Mapping[str, Mapping[str, str]]


def diagnose(account: aws.Account, parameters: Parameters) -> Diagnosis:
    """What keeps the instances from the bucket, by what the account and the error text tell.

    About twenty calls to AWS, whatever the account holds, none of which changes anything. What is
    refused is told as such. Raises BadInput if there is no such instance or bucket, AwsRefused if
    AWS cannot be reached.
    """
    clues = error_text.read(parameters.error_text)
    by_ssm = parameters.check_by == "ssm" or told.first_of(clues, 16) is not None
    seen = examination.read(account, parameters, ask_ssm=by_ssm)
    found, around = seen.network, seen.surroundings
    if found is None or around is None:
        return Diagnosis(told.alone(clues), unread=[*seen.unread.values()], clues=clues)
    hops = _hops(seen, found, around)
    known = {one["InstanceId"]: particulars.of(seen, found, around, one) for one in found.instances}
    some = {**next(iter(known.values())), "instance": ""}
    decisions = Decisions(seen, found, known, clues)
    findings = [
        *path_findings.of(seen, found, hops, known, clues),
        *told.only_s3(clues, **some),
        *told.of_the_instance(clues),
        *decisions.findings(),
        *decisions.of_key(),
        *told.about_the_change(clues, **some),
        *decisions.others(),
        *_not_managed(seen, known, clues),
    ]
    unread = [*seen.unread.values(), *_uncertain(hops), *decisions.doubts]
    return Diagnosis(merged(findings), hops, _looked(seen, hops), unread, clues)


def by_text(text: str) -> Diagnosis:
    """Every cause that shows as the text does, the most likely first; AWS is not asked."""
    clues = error_text.read(text)
    return Diagnosis(told.alone(clues), clues=clues)


def _hops(seen: Examination, found: Network, around: Surroundings) -> list[Hop]:
    return path.hops(
        found,
        around,
        bucket=seen.parameters.bucket,
        bucket_region=seen.bucket_region,
        account_id=seen.account.id,
        callers=_targets(seen),
    )


def _targets(seen: Examination) -> list[Caller]:
    """The sessions of the instances."""
    return [one for one in seen.callers if one.part == "target"]


def _not_managed(seen: Examination, known: Known, clues: Sequence[Clue]) -> Iterator[Finding]:
    """Whom Systems Manager does not reach, and what keeps it from there (symptom 16)."""
    found, clue = seen.management, told.first_of(clues, 16)
    if found is None or found.information is None:
        if clue:
            yield Finding.of(16, clue.quote, **{**next(iter(known.values())), "instance": ""})
        return
    callers = {one: caller for caller in _targets(seen) for one in caller.instances}
    for instance in found.network.instances:
        one = instance["InstanceId"]
        if causes := management.blockers(found, instance, callers.get(one)):
            evidence = "; ".join([found.status(one), *(cause.cause for cause in causes)])
            finding = Finding.of(16, evidence, **known[one])
            yield replace(finding, fix=f"{causes[0].remedy}; {OTHER_WAYS_IN}")


def _uncertain(hops: Sequence[Hop]) -> list[Check]:
    """The hops that nobody can judge, but for what is told as unread already."""
    doubtful = [hop for hop in hops if hop.verdict == "uncertain"]
    return [
        Check(f"the {hop.hop} of {hop.instance} can be judged", "UNCERTAIN", hop.reason)
        for hop in doubtful
        if not hop.reason.startswith(UNREADABLE)
    ]


def _looked(seen: Examination, hops: Sequence[Hop]) -> list[str]:
    """What was looked at, in words."""
    instances = ", ".join(dict.fromkeys(hop.instance for hop in hops))
    looked = [f"the way of {instances} to S3, {len(path.HOPS)} hops"]
    looked += ["the policies of role and endpoint"]
    looked += ["the bucket policy"] if seen.policy is not None else []
    looked += ["the key of the bucket"] if seen.key and not seen.key.doubt else []
    looked += ["Systems Manager"] if seen.management and not seen.management.unread else []
    return looked

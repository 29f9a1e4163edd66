"""Makes findings of what S3 decides on the instances' requests, and on those of others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from private_s3.access import Situation
from private_s3.callers import Caller
from private_s3.doctor import bystanders, refusals, told
from private_s3.doctor.diagnosis import Finding
from private_s3.doctor.error_text import Clue
from private_s3.doctor.examination import POLICY, ROLES, Examination
from private_s3.doctor.refusals import BUCKET_POLICY, Refusal
from private_s3.matrix import Matrix
from private_s3.network import Network
from private_s3.prediction import object_of_checks
from private_s3.preflight import keys
from private_s3.record import Check

# Identity first, then the bucket policy; what is no known symptom comes with the latter.
ORDER = (18, 19, None, 11, 12, 13)
# What S3 says to whom the bucket policy denies; it says so to the operator too.
BY_BUCKET_POLICY = "explicit deny in a resource-based policy"
LIST = "s3:ListBucket"
Known = Mapping[str, str]


@dataclass
class Decisions:
    """What S3 decides, instance by instance; `doubts` are what it hangs on that is not known."""

    seen: Examination
    network: Network
    known: Mapping[str, Known]
    clues: Sequence[Clue]
    doubts: list[Check] = field(default_factory=list)

    @property
    def _some(self) -> Known:
        """What fixes name that are about no instance in particular."""
        return {**next(iter(self.known.values())), "instance": ""}

    def findings(self) -> Iterator[Finding]:
        """What keeps the instances from the data, in the order of ORDER."""
        found = [*self._without_role(), *self._locked_out()]
        for caller in self._targets():
            found += self._of(caller)
        found += self._by_text(found)
        yield from sorted(found, key=lambda finding: ORDER.index(finding.symptom))

    def of_key(self) -> Iterator[Finding]:
        """That the role may not use the key of the bucket (symptom 20)."""
        key, clue = self.seen.key, told.first_of(self.clues, 20)
        if key is None or key.doubt:
            if clue:
                yield Finding.of(20, clue.quote, **self._some)
            return
        account, name = self.seen.account, object_of_checks(self.seen.parameters)
        for caller in self._targets():
            for check in keys.checks(account, key, [caller], name):
                detail = check.detail.removesuffix(f"; {keys.OTHERS}")
                if check.state == "UNCERTAIN":
                    self.doubts.append(check)
                elif check.state == "FAIL":
                    found = Finding.of(20, detail, caller.instances[0])
                    yield replace(found, fix=check.remedy)

    def others(self) -> Iterator[Finding]:
        """What the bucket policy does to others (symptoms 24 and 25)."""
        situation = self.seen.situation(self.network, self.network.instances[0])
        some = self._some
        if self.seen.parameters.allow_services:
            for one in bystanders.forgotten(situation, self.seen.callers):
                text = (
                    f"{one.statement} of the bucket policy denies {one.action} to {one.service}, "
                    f"which {one.wanted_by} wants it to do"
                )
                yield Finding.of(24, text, **some, statement=one.statement)
        for idle in bystanders.idle(self.seen.policy):
            text = (
                f"{idle.statement} of the bucket policy denies by {idle.operator} {idle.key}, "
                "which does not hold for requests without that key"
            )
            plain = idle.operator.removeprefix("ForAnyValue:")
            yield Finding.of(25, text, **some, statement=idle.statement, operator=plain)

    def _targets(self) -> list[Caller]:
        """The instances that sign what they ask; one without a role cannot."""
        callers = self.seen.callers
        return [c for c in callers if c.part == "target" and c.principal.kind != "anonymous"]

    def _without_role(self) -> Iterator[Finding]:
        for instance in self.network.instances:
            if not instance.get("IamInstanceProfile"):
                one = instance["InstanceId"]
                fix = (
                    f"aws ec2 associate-iam-instance-profile --region {self.seen.account.region} "
                    f"--instance-id {one} --iam-instance-profile Name=PROFILE"
                )
                text = f"{one} has no instance profile, so that its requests are unsigned"
                yield Finding(None, "the instance has no role", text, fix, one)

    def _locked_out(self) -> Iterator[Finding]:
        """That the operator may not even read the policy is evidence of what it says."""
        refused = self.seen.unread.get(POLICY)
        if refused is None:
            return
        clue = told.first_of(self.clues, 12)
        some = self._some
        if BY_BUCKET_POLICY in refused.detail:
            text = f"whom it lets through cannot be read: {refused.detail}"
            found = Finding.of(12, text, **some, statement="the statement that denies s3:*")
            yield replace(found, title="the bucket policy denies even that it is read")
        elif clue and clue.kind == BUCKET_POLICY:
            text = f"the policy could not be read, but: {clue.quote}"
            yield Finding.of(12, text, **some)

    def _of(self, caller: Caller) -> Iterator[Finding]:
        """What keeps one instance from the data: one finding for each cause in each policy."""
        instance = next(
            one for one in self.network.instances if one["InstanceId"] == caller.instances[0]
        )
        situation = self.seen.situation(self.network, instance)
        key = _object(self.seen, situation, caller)
        judgement = refusals.judge(situation, caller, key, self.seen.existing)
        if judgement.doubts and ROLES not in self.seen.unread:
            name = f"what S3 decides for {caller.instances[0]} can be judged"
            detail = f"it depends on {'; '.join(judgement.doubts)}"
            self.doubts.append(Check(name, "UNCERTAIN", detail))
        alike: dict[tuple[int | None, str, str], list[Refusal]] = {}
        for one in judgement.refusals:
            alike.setdefault((one.symptom, one.policy, one.effect), []).append(one)
        for group in alike.values():
            actions = dict.fromkeys(a for one in group for a in judgement.refusals[one])
            yield self._finding(caller, situation, group, [*actions])

    def _finding(
        self, caller: Caller, situation: Situation, group: Sequence[Refusal], actions: list[str]
    ) -> Finding:
        first, instance = group[0], caller.instances[0]
        known = {**self.known[instance], "role": caller.principal.arn.rsplit("/", 1)[-1]}
        names = " and ".join(dict.fromkeys(one.statement for one in group if one.statement))
        known |= {"statement": names, "policy": first.policy, "instance": instance}
        text = _evidence(first, names, actions, known, situation.ways[caller.subnet])
        head = told.first_of(self.clues, 19)
        if head and first == Refusal(18, "", detail=first.detail) and actions == [LIST]:
            return Finding.of(19, f"{text}: {head.quote}", **known)
        if first.symptom is not None:
            return Finding.of(first.symptom, text, **known)
        if not names:
            return Finding(None, f"the {first.policy} does not allow it", text, FIX_LAYER, instance)
        return Finding(None, "a statement denies the instance", text, FIX_STATEMENT, instance)

    def _by_text(self, found: Sequence[Finding]) -> Iterator[Finding]:
        """What shows by a command alone: a HEAD without a reason, a list of all buckets."""
        some = self._some
        head = told.first_of(self.clues, 19)
        if head and not any(one.symptom == 19 for one in found):
            yield Finding.of(19, head.quote, **some)
        every = [clue for clue in self.clues if clue.kind == "all buckets"]
        if every and not any(one.symptom == 18 for one in found):
            yield Finding.of(18, every[0].quote, **some)


FIX_LAYER = (
    "see the evidence: what limits the role (a permissions boundary, Block Public Access) has to "
    "let these actions pass"
)
FIX_STATEMENT = (
    "have the statement spare the instance; if this project made it, for another instance, "
    "private-s3 plan -f PARAMETERS puts this one into it"
)


def _evidence(first: Refusal, names: str, actions: Iterable[str], known: Known, way: str) -> str:
    """What decides, where it stands, and what it goes by."""
    what = ", ".join(actions)
    if not names:
        if first.symptom is None:
            return f"the {first.policy} does not allow {what}"
        instead = f" ({first.detail})" if first.detail else ""
        return f"no policy of the role {known['role']} allows {what}{instead}"
    several = " and " in names
    verb = ("denies", "deny")[several] if first.effect == "Deny" else "would allow"
    told_by = f"{names} of the {first.policy} {verb} {what}"
    if first.symptom == 11:
        return f"{told_by} by aws:SourceIp, which no request through {way} has"
    if first.symptom in (12, 13) and first.awaited:
        gone = "is there no more" if first.symptom == 13 else "is another endpoint"
        ids = ", ".join(first.awaited)
        return f"{told_by} unless it comes through {ids}, which {gone}; it comes through {way}"
    return f"{told_by} on the condition {first.detail}"


def _object(seen: Examination, situation: Situation, caller: Caller) -> str:
    """An object that the caller may do something with, if there is one."""
    everywhere = {subnet: "way" for subnet in situation.ways}
    able = replace(situation, ways=everywhere, endpoints={}, policy=None)
    matrix = Matrix(able, able, [caller], object_of_checks(seen.parameters), [])
    return matrix.by_caller[0][1].key

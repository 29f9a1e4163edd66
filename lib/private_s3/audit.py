"""Reads the account again, and holds it against what the change has left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from private_s3 import access_drift, aws, bucket, network, prediction, snapshot
from private_s3.callers import Callers
from private_s3.drift import BLOCK, Drift, Finding, Verdict
from private_s3.errors import AwsRefused, BadInput
from private_s3.identities import Identities
from private_s3.matrix import Matrix
from private_s3.network import Network
from private_s3.parameters import Parameters
from private_s3.record import Check, Record, State
from private_s3.tables import table

if TYPE_CHECKING:
    import pandas as pd
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

FINDING_COLUMNS = ("finding", "verdict", "was", "is", "remedy")
STATES: dict[Verdict, State] = {
    "as left": "PASS",
    "by AWS itself": "PASS",
    "not ours": "PASS",
    "drift": "FAIL",
    "not known": "UNCERTAIN",
    "not compared": "SKIPPED",
}
WORDS: dict[Verdict, str] = {
    "drift": "drifted",
    "by AWS itself": "changed by AWS itself",
    "not ours": "not of this change",
    "not known": "not known",
    "not compared": "not compared",
    "as left": "as left",
}
NOTHING = "nothing was applied yet"


@dataclass(frozen=True)
class Audit:
    """Everything that was compared."""

    found: Sequence[Finding]

    def findings(self) -> list[Check]:
        """One check per finding; FAIL is drift, with what to do about it."""
        return [
            Check(one.name, STATES[one.verdict], _detail(one), one.remedy) for one in self.found
        ]

    def table(self) -> pd.DataFrame:
        """One row per finding; what was left as it was has nothing to say."""
        rows = [tuple(value or "-" for value in one) for one in self.found]
        return table(rows, FINDING_COLUMNS)

    def sentence(self) -> str:
        """How many findings there are of each verdict."""
        if [one.name for one in self.found] == [NOTHING]:
            return "Nothing was applied yet: there is nothing to compare with."
        verdicts = [one.verdict for one in self.found]
        counts = [(verdicts.count(verdict), words) for verdict, words in WORDS.items()]
        told = [f"{n} {words}" for n, words in counts if n or words == WORDS["drift"]]
        return f"{', '.join(told)}."


def read(account: aws.Account, record: Record) -> Audit:
    """The account of now beside what the change has left: nine calls, whatever else it holds.

    Nothing is asked of AWS if nothing was ever left.
    """
    if (left := record.left()) is None:
        return Audit([Finding(NOTHING, "not compared")])
    parameters, before = record.parameters, left["snapshot"]
    _require_bucket(parameters, before)
    everybody = network.neighbours(account.ec2, left["vpc"])
    ours = [one for one in everybody if f"instance/{one['InstanceId']}" in before]
    ours.sort(key=lambda one: one["InstanceId"])
    found = network.read(account.ec2, left["vpc"], ours, account.region)
    of_bucket = _bucket(account, parameters.bucket)
    now = snapshot.take(replace(found, instances=everybody), parameters.bucket, None)
    del now[f"bucket/{parameters.bucket}"]
    if of_bucket:
        now[f"bucket/{parameters.bucket}"] = of_bucket
    drift = Drift(left["vpc"], before, now, parameters)
    findings = [*drift.findings()]
    if not left["access"]:
        why = "it was not kept with what the change left"
        findings.append(Finding(access_drift.NAME, "not compared", "", why))
    elif not (ours and of_bucket):
        # Callers are known by the instances of the change and by the policy of the bucket.
        why = "no instance of the change, or no bucket, is there to tell"
        findings.append(Finding(access_drift.NAME, "not known", "", why, "see to the drift above"))
    else:
        identities = Identities(account)
        matrix = _matrix(identities, parameters, found, everybody, of_bucket)
        findings += access_drift.between(
            left["access"],
            matrix,
            drift.told,
            follows=any(one.verdict == "drift" for one in findings),
            unread=identities.unread,
        ).findings()
        findings += [Finding(c.name, "not known", "", c.detail, c.remedy) for c in matrix.unread]
    return Audit(findings)


def _require_bucket(parameters: Parameters, before: Mapping[str, Any]) -> None:
    if f"bucket/{parameters.bucket}" not in before:
        buckets = ", ".join(r.removeprefix("bucket/") for r in before if r.startswith("bucket/"))
        raise BadInput(
            f"Could not audit the change {parameters.change_id} for {parameters.bucket}.",
            f"It was made for {buckets}.",
            "correct bucket or change_id",
        )


def _bucket(account: aws.Account, name: str) -> dict[str, Any] | None:
    """What the bucket holds; None if it is no longer there."""
    try:
        return {
            "policy": bucket.read_policy(account, name),
            # What is not known of it is said where it is compared.
            BLOCK: bucket.read_public_access_block(account, name, []),
        }
    except AwsRefused as error:
        if error.code != "NoSuchBucket":
            raise
        return None


def _matrix(
    identities: Identities,
    parameters: Parameters,
    found: Network,
    everybody: list[InstanceTypeDef],
    of_bucket: Mapping[str, Any],
) -> Matrix:
    """Who can do what now; before and after are the same."""
    account, policy = identities.account, of_bucket["policy"]
    endpoints = {one["VpcEndpointId"]: one["PolicyDocument"] for one in found.endpoints}
    common = account, parameters.bucket, found.vpc_id, endpoints, of_bucket[BLOCK]
    now = prediction.situation(*common, policy, network.subnets_frame(found))
    unread: list[Check] = []
    replication = bucket.read_replication_role(account, parameters.bucket, unread)
    callers = Callers(account, parameters, identities, found, everybody, replication, policy).all()
    unread += identities.checks()
    return Matrix(now, now, callers, prediction.object_of_checks(parameters), unread)


def _detail(finding: Finding) -> str:
    """What was and what is, as far as that says anything."""
    if finding.was:
        return f"{finding.verdict}: was {finding.was}, now {finding.now}"
    return f"{finding.verdict}: {finding.now}" if finding.now else finding.verdict

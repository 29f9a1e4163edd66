"""Reads the bucket, plans its policy, and puts it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from private_s3 import aws, endpoint, statements
from private_s3.callers import instance_arn
from private_s3.errors import AwsRefused, BadInput
from private_s3.identities import REMEDY, Identities
from private_s3.network import Network
from private_s3.parameters import Parameters, RestrictTo
from private_s3.plan import Change, State
from private_s3.record import Check, Record
from private_s3.tables import table

if TYPE_CHECKING:
    import pandas as pd

# Long lists of actions stand last: what is hidden in a narrow window is least looked for there.
STATEMENT_COLUMNS = ("sid", "effect", "principal", "condition", "action")
# The resources of a plan that are made here.
PARTS: tuple[str, ...] = ("bucket/",)
TIME_LIMIT = 120  # seconds; S3 shows a new policy within some, and promises nothing


@dataclass(frozen=True)
class Bucket:
    """One reading of the bucket: its name and its policy, the text exactly as S3 gives it."""

    name: str
    policy: str | None


def read(account: aws.Account, parameters: Parameters) -> Bucket:
    """One reading of the bucket; raises BadInput unless it is in the change's Region.

    A gateway endpoint serves the buckets of its own Region only (AWS PrivateLink Guide, "Gateway
    endpoints"). GetBucketLocation answers also to those who may not see the data.
    """
    bucket = parameters.bucket
    try:
        where = region(account, bucket)
    except AwsRefused as error:
        where = region_told(error)
        if where in ("", account.region):
            raise  # whoever may not read where it is may not read the rest either
    if where != account.region:
        raise BadInput(
            f"Could not plan a gateway endpoint in {account.region} for {bucket}.",
            f"The bucket is in {where}; a gateway endpoint serves its own Region only.",
            "correct bucket or region, or use a copy of the bucket in this Region",
        )
    return Bucket(bucket, read_policy(account, bucket))


def region(account: aws.Account, bucket: str) -> str:
    """The Region of a bucket; raises BadInput if there is none of this name.

    IAM action: s3:GetBucketLocation.
    """
    remedy = f"grant s3:GetBucketLocation on {bucket} to the caller"
    try:
        with aws.attempt(f"read the Region of {bucket}", remedy):
            answer = account.s3.get_bucket_location(Bucket=bucket, ExpectedBucketOwner=account.id)
    except AwsRefused as error:
        if error.code == "NoSuchBucket":
            raise BadInput(error.attempted, error.answer, "correct bucket") from error
        raise
    # Amazon S3 API Reference, GetBucketLocation: null is us-east-1, EU is eu-west-1.
    location = answer["LocationConstraint"]
    return {None: "us-east-1", "EU": "eu-west-1"}.get(location, location)


def region_told(refusal: AwsRefused) -> str:
    """The Region of the bucket, which S3 tells to most of those whom it refuses; else empty."""
    answer = refusal.__cause__
    if not isinstance(answer, ClientError):  # S3 has said nothing: the connection was lost
        return ""
    headers = answer.response["ResponseMetadata"].get("HTTPHeaders", {})
    return str(headers.get("x-amz-bucket-region", ""))


def read_policy(account: aws.Account, bucket: str) -> str | None:
    """The bucket policy as S3 gives it, or None if there is none."""
    try:
        with aws.attempt(f"read the policy of {bucket}", "grant s3:GetBucketPolicy on it"):
            answer = account.s3.get_bucket_policy(Bucket=bucket, ExpectedBucketOwner=account.id)
    except AwsRefused as error:
        if error.code == "NoSuchBucketPolicy":
            return None
        raise
    return answer["Policy"]


def state(bucket: Bucket, network: Network, parameters: Parameters) -> State:
    """What the bucket holds of what the plan may change."""
    text = bucket.policy and endpoint.symbolic(bucket.policy, network, parameters)
    return {(f"bucket/{bucket.name}", "policy"): text}


def wanted(
    bucket: Bucket,
    network: Network,
    parameters: Parameters,
    endpoints: State,
    identities: Identities,
) -> State:
    """What it shall hold: the policy with our statements merged in, by level of `restrict_to`.

    `endpoints` is what `endpoint.wanted` says, since the endpoint may yet have to be made.
    """
    key = (f"bucket/{bucket.name}", "policy")
    present = state(bucket, network, parameters)[key]
    level = parameters.restrict_to
    made = fence(network, parameters, endpoints, identities, level).statements(level)
    return {key: statements.merge(present, made)}


def fence(
    network: Network,
    parameters: Parameters,
    endpoints: State,
    identities: Identities,
    level: RestrictTo,
) -> statements.Fence:
    """Who stays inside at a level; raises BadInput or AwsRefused if it cannot be known."""
    ids = {str(v) for (_, field), v in endpoints.items() if field == endpoint.S3_ROUTE}
    return statements.Fence(
        parameters.bucket,
        sorted(ids),
        _roles(network, identities) if level not in ("none", "endpoint") else [],
        sorted(instance_arn(identities.account, i["InstanceId"]) for i in network.instances),
        parameters.break_glass_role,
        parameters.allow_services,
    )


def _roles(network: Network, identities: Identities) -> list[str]:
    """ARNs of the roles of the instances; raises BadInput for an instance that has none."""
    roles = {}
    for instance in network.instances:
        profile = instance.get("IamInstanceProfile", {}).get("Arn", "no instance profile")
        found = identities.role_of(profile)
        if not found:
            attempted = f"Could not find the role of {instance['InstanceId']}; nothing was written."
            if identities.unread:
                raise AwsRefused(attempted, identities.unread, REMEDY)
            remedy = "give the instance a role, or set restrict_to to none or endpoint"
            raise BadInput(attempted, f"It has {profile}, which gives no role.", remedy)
        roles[found.arn] = instance
    return sorted(roles)


def read_public_access_block(
    account: aws.Account, bucket: str, unread: list[Check]
) -> dict[str, bool] | None:
    """The bucket's Block Public Access settings; None, and one more of `unread`, if refused."""
    remedy = f"grant s3:GetBucketPublicAccessBlock on {bucket} to the caller"
    try:
        with aws.attempt(f"read Block Public Access of {bucket}", remedy):
            answer = account.s3.get_public_access_block(
                Bucket=bucket, ExpectedBucketOwner=account.id
            )
    except AwsRefused as error:
        if error.code == "NoSuchPublicAccessBlockConfiguration":
            return {}
        if error.code != "AccessDenied":
            raise
        unread.append(Check.unread("Block Public Access", error.answer, error.remedy))
        return None
    return dict(answer["PublicAccessBlockConfiguration"])  # type: ignore[arg-type]


def read_replication_role(account: aws.Account, bucket: str, unread: list[Check]) -> str:
    """ARN of the role by which S3 replicates the bucket; empty if none, or one more of `unread`."""
    remedy = f"grant s3:GetReplicationConfiguration on {bucket} to the caller"
    try:
        with aws.attempt(f"read the replication of {bucket}", remedy):
            answer = account.s3.get_bucket_replication(
                Bucket=bucket, ExpectedBucketOwner=account.id
            )
    except AwsRefused as error:
        if error.code not in ("ReplicationConfigurationNotFoundError", "AccessDenied"):
            raise
        if error.code == "AccessDenied":
            unread.append(Check.unread("the replication", error.answer, error.remedy))
        return ""
    return answer["ReplicationConfiguration"]["Role"]


def apply(
    account: aws.Account, network: Network, todo: list[Change], endpoint_id: str, record: Record
) -> None:
    """Puts the planned policy, or deletes it, and waits until it is read back."""
    for change in todo:
        text = endpoint.resolved(change.after, endpoint_id) if change.after else None
        _put(account, change, text, record)


def _put(account: aws.Account, change: Change, text: str | None, record: Record) -> None:
    bucket, key = record.parameters.bucket, [(change.resource, change.field)]
    owned, s3 = {"Bucket": bucket, "ExpectedBucketOwner": account.id}, account.s3_once
    remedy = (
        "look at the policy in the plan and at the bucket's Block Public Access; if S3 does not "
        "take the condition keys of restrict_to, set it to role"
    )
    if text is None:
        with record.write("DeleteBucketPolicy", owned, remedy, key) as outcome:
            outcome.answered(s3.delete_bucket_policy(**owned))
    else:
        with record.write("PutBucketPolicy", {**owned, "Policy": text}, remedy, key) as outcome:
            outcome.answered(
                s3.put_bucket_policy(Bucket=bucket, Policy=text, ExpectedBucketOwner=account.id)
            )
    aws.wait(
        f"the policy of {bucket} to be read back as planned",
        lambda: read_policy(account, bucket),
        lambda seen: change.same(seen, text),
        TIME_LIMIT,
    )


def statements_frame(policy: str | None) -> pd.DataFrame:
    """One row per statement of a policy."""
    return table(map(_row, statements.by_content(policy).values()), STATEMENT_COLUMNS)


def difference(before: str | None, after: str | None) -> pd.DataFrame:
    """The statements of two policies: + is new, - is gone, an empty mark is kept."""
    old, new = statements.by_content(before), statements.by_content(after)
    rows = [("" if key in new else "-", *_row(old[key])) for key in old]
    rows += [("+", *_row(new[key])) for key in new if key not in old]
    return table(rows, ("", *STATEMENT_COLUMNS))


def kept(before: str | None, after: str | None) -> Check:
    """Whether every statement of somebody else is still there, in its order."""
    theirs = [k for k, s in statements.by_content(before).items() if not statements.is_ours(s)]
    now = [key for key in statements.by_content(after) if key in theirs]
    return Check.of(
        "no statement of anybody else changed",
        now == theirs,
        f"{len(now)} of {len(theirs)} kept in their order",
    )


def _row(statement: statements.Statement) -> tuple[str, ...]:
    principal = statement.get("Principal", statement.get("NotPrincipal"))
    who = principal if isinstance(principal, str) else _tests(dict(principal or {}))
    actions = statement.get("Action", statement.get("NotAction"))
    condition = "; ".join(
        f"{operator} {_tests(tests)}" for operator, tests in statement.get("Condition", {}).items()
    )
    return (
        statement.get("Sid", "-"),
        statement["Effect"],
        ("not " if "NotPrincipal" in statement else "") + who,
        condition or "-",
        ("not " if "NotAction" in statement else "") + _words(actions),
    )


def _tests(tests: dict[str, Any]) -> str:
    return ", ".join(f"{key} {_words(values)}" for key, values in tests.items())


def _words(values: Any) -> str:
    return ", ".join(map(str, statements.as_list(values)))

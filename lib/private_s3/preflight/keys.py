"""Finds out whether instances may use the key that a bucket encrypts with, as S3 asks for it.

S3 asks KMS on behalf of who asks S3, from its own network: what AWS knows of the way the caller
came does not reach KMS. Sources: AWS KMS Developer Guide, "AWS KMS condition keys"; IAM User Guide,
"AWS global condition context keys"; Amazon S3 User Guide, "Using server-side encryption with AWS
KMS keys (SSE-KMS)".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from iam_verdict import PolicyError, Verdict
from private_s3 import access, aws, statements
from private_s3.callers import Caller
from private_s3.errors import AwsRefused
from private_s3.preflight.own_policies import WORST, Asked
from private_s3.preflight.own_policies import verdict as decided
from private_s3.record import Check

OWN_KEYS, AWS_KEY = "AES256", "alias/aws/s3"
NO_ENCRYPTION = "ServerSideEncryptionConfigurationNotFoundError"
# What S3 asks for to read, and to write.
ACTIONS = ("kms:Decrypt", "kms:GenerateDataKey")
ENABLED = "Enabled"
OTHERS = "objects may have other keys than this default"
_ARN = re.compile(r"arn:[^:]+:kms:([^:]+):(\d{12}):(?:key|alias)/.+")
# What AWS knows of the way to S3, which KMS is not told.
_OF_THE_WAY = ("aws:sourcevpc", "aws:vpcsourceip", "aws:vpce")


@dataclass(frozen=True)
class BucketKey:
    """How a bucket encrypts by default, and with which key of KMS.

    `policy` is that of the key, None where nobody need ask for it, or it could not be read;
    `doubt` then says why. `by_bucket`: one key of the bucket (S3 Bucket Keys) for many objects.
    """

    bucket: str
    algorithm: str
    key: str = ""  # its ARN; empty if KMS has no part in it
    state: str = ENABLED
    policy: str | None = None
    by_bucket: bool = False
    doubt: Check | None = None

    @property
    def is_of_kms(self) -> bool:
        return self.algorithm != OWN_KEYS


def read(account: aws.Account, bucket: str) -> BucketKey:
    """How the bucket encrypts: one call, and two more if it has a key of the account.

    IAM actions: s3:GetEncryptionConfiguration, kms:DescribeKey, kms:GetKeyPolicy.
    """
    remedy = f"grant s3:GetEncryptionConfiguration on {bucket} to the caller"
    try:
        with aws.attempt(f"read the encryption of {bucket}", remedy):
            answer = account.s3.get_bucket_encryption(Bucket=bucket, ExpectedBucketOwner=account.id)
    except AwsRefused as error:
        if error.code == NO_ENCRYPTION:
            return BucketKey(bucket, OWN_KEYS)
        return BucketKey(bucket, "", doubt=_unread("the encryption of the bucket", error))
    rule = answer["ServerSideEncryptionConfiguration"]["Rules"][0]
    default = rule.get("ApplyServerSideEncryptionByDefault", {})
    algorithm, name = default.get("SSEAlgorithm", OWN_KEYS), default.get("KMSMasterKeyID", "")
    found = BucketKey(
        bucket, algorithm, name or AWS_KEY, by_bucket=rule.get("BucketKeyEnabled", False)
    )
    if algorithm == OWN_KEYS:
        return replace(found, key="")
    return found if found.key.endswith(AWS_KEY) else _key(account, found)


def _key(account: aws.Account, found: BucketKey) -> BucketKey:
    """The same with the key's ARN, state and policy; an alias is followed."""
    owner = _ARN.fullmatch(found.key)
    if owner and owner[2] != account.id:
        detail = f"{found.key} is of account {owner[2]}, which alone can say who may use it"
        remedy = (
            f"have account {owner[2]} see that its policy lets the role of the instances use it"
        )
        return replace(found, doubt=Check("the key of the bucket", "UNCERTAIN", detail, remedy))
    try:
        with aws.attempt(f"read the key {found.key}", "grant kms:DescribeKey on it to the caller"):
            about = account.kms.describe_key(KeyId=found.key)["KeyMetadata"]
        found = replace(found, key=about["Arn"], state=about["KeyState"])
        remedy = "grant kms:GetKeyPolicy on it to the caller"
        with aws.attempt(f"read the policy of the key {found.key}", remedy):
            answer = account.kms.get_key_policy(KeyId=about["Arn"], PolicyName="default")
    except AwsRefused as error:
        return replace(found, doubt=_unread("the key of the bucket", error))
    return replace(found, policy=answer["Policy"])


def verdict(key: BucketKey, caller: Caller, action: str, object_key: str) -> Verdict:
    """What KMS would decide when S3 asks for the key on behalf of the caller.

    The caller's own policies count only as far as the key's policy lets its account decide.
    Grants of the key are not looked at. PolicyError if a policy says nothing.
    """
    _, _, _, region, account_id, _ = key.key.split(":", 5)
    arn = f"arn:aws:s3:::{key.bucket}"
    context = arn if key.by_bucket else f"{arn}/{object_key}"
    keys = {
        "aws:ViaAWSService": "true",
        "kms:ViaService": f"s3.{region}.amazonaws.com",
        "kms:CallerAccount": caller.principal.account,
        "kms:EncryptionContext:aws:s3:arn": context,
        "kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        "kms:GrantIsForAWSResource": "false",
    }
    asked = Asked(action, key.key, keys, absent=_OF_THE_WAY)
    together = decided(caller, asked, account_id, region, key.policy, both_must_allow=True)
    by_key = decided(_without_allows(caller), asked, account_id, region, key.policy)
    return max(together, by_key, key=lambda found: WORST.index(found.decision))


def _without_allows(caller: Caller) -> Caller:
    """The same, whose own policies only deny."""
    policies = {}
    for name, text in caller.policies.items():
        document = statements.parse(text)
        denies = [s for s in statements.as_list(document["Statement"]) if s["Effect"] == "Deny"]
        if denies:
            policies[name] = json.dumps({**document, "Statement": denies})
    return replace(caller, policies=policies)


def checks(
    account: aws.Account, key: BucketKey, callers: Iterable[Caller], object_key: str
) -> list[Check]:
    """Whether each instance may use the key to read and to write; objects may have others.

    One call for each role that no policy lets: grants too can. IAM action: kms:ListGrants.
    """
    title = "the instances may use the key of the bucket"
    if key.doubt:
        return [replace(key.doubt, detail=f"{key.doubt.detail}; {OTHERS}")]
    if not key.is_of_kms:
        return [Check(title, "PASS", f"SSE-S3 needs none; {OTHERS}")]
    if key.policy is None:
        return [Check(title, "PASS", f"{AWS_KEY} is for all whom S3 lets in; {OTHERS}")]
    if key.state != ENABLED:
        detail, remedy = f"{key.key} is {key.state}", f"aws kms enable-key --key-id {key.key}"
        return [Check(title, "FAIL", f"{detail}; {OTHERS}", remedy)]
    by_role = {caller.principal.arn: caller for caller in callers if caller.principal.arn}
    return [_check(account, key, caller, object_key) for caller in by_role.values()]


def _check(account: aws.Account, key: BucketKey, caller: Caller, object_key: str) -> Check:
    role = caller.principal.arn
    title = f"{role.rsplit('/', 1)[-1]} may use the key of the bucket"
    try:
        found = [verdict(key, caller, action, object_key) for action in ACTIONS]
    except PolicyError as error:
        return Check(title, "UNCERTAIN", f"a policy that cannot be understood: {error}")
    worst = min(found, key=lambda one: WORST.index(one.decision))
    if worst.decision == "allowed":
        return Check(title, "PASS", f"{', '.join(ACTIONS)} on {key.key}; {OTHERS}")
    detail = f"{worst.action} on {key.key}: {told(caller, worst)}"
    remedy = (
        f"have the policy of the key and {role} allow {' and '.join(ACTIONS)} by kms:ViaService "
        f"s3.{account.region}.amazonaws.com, and no statement about it ask for aws:SourceVpce, "
        "aws:SourceVpc or aws:SourceIp: S3 asks from elsewhere"
    )
    if worst.decision == "depends":
        return Check(title, "UNCERTAIN", f"{detail}; {OTHERS}", remedy)
    if worst.decision == "implicitly denied" and (doubt := _granted(account, key, role)):
        return Check(title, "UNCERTAIN", f"{detail}, {doubt}; {OTHERS}", remedy)
    return Check(title, "FAIL", f"{detail}; {OTHERS}", remedy)


def told(caller: Caller, found: Verdict) -> str:
    """What decides, in words, with the policy of the key for that of the resource."""
    return access.reason(caller, found).replace("bucket policy", "policy of the key")


def _granted(account: aws.Account, key: BucketKey, role: str) -> str:
    """Whether grants of the key may let the role after all; empty if there is none."""
    try:
        with aws.attempt(f"read the grants of {key.key}", "grant kms:ListGrants to the caller"):
            asked = {"KeyId": key.key, "GranteePrincipal": role}
            grants = aws.pages(account.kms, "list_grants", "Grants", **asked)
    except AwsRefused as error:
        return f"unless a grant lets it, and these could not be read: {error.answer}"
    operations = {f"kms:{one}" for grant in grants for one in grant.get("Operations", [])}
    return f"but grants let it {', '.join(sorted(operations))}" if operations else ""


def _unread(what: str, error: AwsRefused) -> Check:
    return Check.unread(what, error.answer, error.remedy)

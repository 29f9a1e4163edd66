"""Objects that are encrypted by a key of KMS: who may read and write them, and who may see keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from rehearsal import Account
from tests.support.accounts import Accounts
from tests.support.asking import client_of, code_of, run

BUCKET, OLD, NEW = "rehearsal-private-data", "reports/2026-01.csv", "reports/new.csv"
WRITE, READ = "kms:GenerateDataKey", "kms:Decrypt"
ROLE = "arn:aws:iam::123456789012:role/ci-deployer"
ACCOUNT: dict[str, Any] = {
    "Sid": "Account",
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
    "Action": "kms:*",
    "Resource": "*",
}
# Who uses the bucket's key in these tests: a pipeline outside the VPC, which may use its reports.
WHO = "ci"


def allow(*actions: str, principal: str = "", **conditions: Any) -> dict[str, Any]:
    named = {"Principal": {"AWS": principal}} if principal else {}
    met = {"Condition": {"StringEquals": conditions}} if conditions else {}
    return {"Effect": "Allow", "Action": [*actions], "Resource": "*", **named, **met}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [*statements]})


class Key:
    """A key of the bucket's, and what has a say in its use."""

    def __init__(self, account: Account) -> None:
        self.account, self.kms, self.s3 = account, account.client("kms"), account.client("s3")
        made = self.kms.create_key()["KeyMetadata"]
        self.id, self.arn = made["KeyId"], made["Arn"]

    def policy(self, *statements: dict[str, Any]) -> None:
        self.kms.put_key_policy(
            KeyId=self.id,
            Policy=document(*statements),
            BypassPolicyLockoutSafetyCheck=True,
        )

    def role(self, *statements: dict[str, Any]) -> None:
        iam, named = (
            self.account.client("iam"),
            {"RoleName": "ci-deployer", "PolicyName": "key"},
        )
        if statements:
            iam.put_role_policy(**named, PolicyDocument=document(*statements))
        else:
            iam.delete_role_policy(**named)

    def encrypt_bucket(self, algorithm: str = "aws:kms", key: str = "") -> None:
        rule: dict[str, Any] = {"SSEAlgorithm": algorithm}
        if algorithm != "AES256":
            rule["KMSMasterKeyID"] = key or self.arn
        rules = [{"ApplyServerSideEncryptionByDefault": rule}]
        self.s3.put_bucket_encryption(
            Bucket=BUCKET, ServerSideEncryptionConfiguration={"Rules": rules}
        )

    def put(self, **more: Any) -> str:
        """How a write of the pipeline is refused; empty if it is not."""
        return refusal(client_of(self.account, "s3", WHO).put_object, Body=b"new", **more)

    def get(self, **more: Any) -> str:
        return refusal(client_of(self.account, "s3", WHO).get_object, **more)


def refusal(call: Any, **request: Any) -> str:
    try:
        call(**{"Bucket": BUCKET, "Key": NEW, **request})
    except ClientError as error:
        return f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
    return ""


def denied(action: str, key: str, reason: str) -> str:
    return (
        "AccessDenied: User: arn:aws:sts::123456789012:assumed-role/ci-deployer/rehearsal is not"
        f" authorized to perform: {action} on resource: {key} {reason}"
    )


def nobody_allows(action: str, layer: str) -> str:
    return f"because no {layer} policy allows the {action} action"


@pytest.fixture
def key(shared: Account) -> Iterator[Key]:
    """A key that the bucket encrypts by, and an object that was written by it."""
    made = Key(shared)
    made.encrypt_bucket()
    made.s3.put_object(Bucket=BUCKET, Key=NEW, Body=b"new")
    made.role(allow("kms:ListKeys"))
    yield made
    made.encrypt_bucket("AES256")
    made.s3.delete_object(Bucket=BUCKET, Key=NEW)
    made.role()


def test_who_has_no_permission_for_the_key_reads_only_what_is_not_encrypted_by_it(key: Key) -> None:
    assert key.get(Key=OLD) == ""
    assert key.get() == denied(READ, key.arn, nobody_allows(READ, "identity-based"))
    assert key.put() == denied(WRITE, key.arn, nobody_allows(WRITE, "identity-based"))
    # What needs no key: listing, the head, and a delete.
    s3 = client_of(key.account, "s3", WHO)
    assert s3.list_objects_v2(Bucket=BUCKET, Prefix=NEW)["KeyCount"] == 1
    head = s3.head_object(Bucket=BUCKET, Key=NEW)
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key.arn)


def test_reading_and_writing_need_an_action_each(key: Key) -> None:
    key.role(allow(READ))
    assert (key.get(), key.put()[:12]) == ("", "AccessDenied")
    key.role(allow(WRITE))
    assert (key.get()[:12], key.put()) == ("AccessDenied", "")


def test_a_key_policy_that_delegates_to_nobody_is_enough_of_a_no(key: Key) -> None:
    key.role(allow("kms:*"))
    key.policy(allow("kms:*", principal="arn:aws:iam::123456789012:role/operator"))
    assert key.get() == denied(READ, key.arn, nobody_allows(READ, "resource-based"))
    # Root is no exception: a key belongs to whom its policy names.
    assert "no resource-based policy allows" in refusal(key.s3.get_object)


def test_a_key_policy_that_names_the_role_needs_no_other(key: Key) -> None:
    key.policy(ACCOUNT, allow(READ, principal=ROLE))
    assert key.get() == ""
    assert key.put() == denied(WRITE, key.arn, nobody_allows(WRITE, "identity-based"))


def test_a_deny_of_either_side_wins(key: Key) -> None:
    key.role(allow(READ), {**allow(READ), "Effect": "Deny"})
    assert key.get() == denied(READ, key.arn, "with an explicit deny in an identity-based policy")
    key.policy(ACCOUNT, allow(READ, principal=ROLE))  # by name: what the role allows is not asked
    assert key.get() == denied(READ, key.arn, "with an explicit deny in an identity-based policy")
    key.role(allow(READ))
    key.policy(ACCOUNT, {**allow(READ, principal="*"), "Effect": "Deny"})
    assert key.get() == denied(READ, key.arn, "with an explicit deny in a resource-based policy")


@pytest.mark.parametrize(
    ("conditions", "fits"),
    [
        ({"kms:ViaService": "s3.ap-northeast-1.amazonaws.com"}, True),
        ({"kms:ViaService": "s3.us-east-1.amazonaws.com"}, False),
        ({"aws:ViaAWSService": "true"}, True),
        ({"kms:CallerAccount": "123456789012"}, True),
        ({"kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{BUCKET}/{NEW}"}, True),
        ({"kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{BUCKET}/{OLD}"}, False),
        ({"kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT"}, True),
        ({"aws:PrincipalArn": ROLE}, True),
        # The pipeline's own address, by which S3 itself knows it.
        ({"aws:SourceIp": "203.0.113.10"}, False),
    ],
)
def test_the_context_is_that_of_a_call_by_s3(
    key: Key, conditions: dict[str, Any], fits: bool
) -> None:
    key.policy(ACCOUNT, allow(READ, WRITE, principal=ROLE, **conditions))
    assert [key.get() == "", key.put() == ""] == [fits, fits]


def test_a_bucket_key_is_for_the_bucket_and_not_for_one_object(key: Key) -> None:
    by_bucket = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key.id, "BucketKeyEnabled": True}
    for name, fits in ((BUCKET, True), (f"{BUCKET}/{NEW}", False)):
        context = {"kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{name}"}
        key.s3.put_object(Bucket=BUCKET, Key=NEW, Body=b"new", **by_bucket)
        key.policy(ACCOUNT, allow(READ, WRITE, principal=ROLE, **context))
        assert [key.get() == "", key.put(**by_bucket) == ""] == [fits, fits]


def test_through_an_endpoint_the_key_does_not_see_it(key: Key) -> None:
    ec2, iam = key.account.client("ec2"), key.account.client("iam")
    endpoint = ec2.create_vpc_endpoint(
        VpcId=key.account.ids["rehearsal"],
        ServiceName="com.amazonaws.ap-northeast-1.s3",
        RouteTableIds=[key.account.ids["private-a"]],
    )["VpcEndpoint"]["VpcEndpointId"]
    named = {"RoleName": "app-instance", "PolicyName": "key"}
    iam.put_role_policy(**named, PolicyDocument=document(allow(READ, WRITE)))
    read = f"aws s3api get-object --bucket {BUCKET} --key {NEW} --region ap-northeast-1 copy"
    assert run(key.account, read)["Status"] == "Success"
    for name in ("aws:SourceVpce", "aws:SourceVpc", "aws:VpcSourceIp"):
        absent = {"Condition": {"Null": {name: "true"}}}
        key.policy(ACCOUNT, {**allow(READ, principal="*"), "Effect": "Deny", **absent})
        assert (
            "with an explicit deny in a resource-based"
            in run(key.account, read)["StandardErrorContent"]
        )
    iam.delete_role_policy(**named)
    ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint])


def test_a_request_says_by_which_key_it_wants_to_be_encrypted(key: Key) -> None:
    other = Key(key.account)
    key.role(allow(WRITE), {**allow(WRITE), "Effect": "Deny", "Resource": other.arn})
    by_other = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": other.id}
    assert denied(WRITE, other.arn, "with an explicit deny") in key.put(**by_other)
    assert key.put(ServerSideEncryption="AES256") == ""
    # Without a key it is S3's own, which everybody may use through S3.
    key.role({**allow("kms:*"), "Effect": "Deny"})
    assert key.put(ServerSideEncryption="aws:kms") == ""
    assert key.get() == ""


def test_a_copy_reads_by_the_one_key_and_writes_by_the_other(key: Key) -> None:
    s3 = client_of(key.account, "s3", WHO)
    copy = {"CopySource": f"{BUCKET}/{NEW}", "Key": "reports/copy.csv"}
    key.role(allow(WRITE))
    assert READ in refusal(s3.copy_object, **copy)
    key.role(allow(READ))
    assert WRITE in refusal(s3.copy_object, **copy)
    key.role(allow(READ, WRITE))
    assert refusal(s3.copy_object, **copy) == ""
    key.s3.delete_object(Bucket=BUCKET, Key="reports/copy.csv")


def test_an_upload_in_parts_needs_both(key: Key) -> None:
    s3 = client_of(key.account, "s3", WHO)
    key.role(allow(READ))
    assert WRITE in refusal(s3.create_multipart_upload)
    key.role(allow(WRITE))
    upload = {"UploadId": s3.create_multipart_upload(Bucket=BUCKET, Key=NEW)["UploadId"]}
    assert READ in refusal(s3.upload_part, PartNumber=1, Body=b"part", **upload)
    key.role(allow(READ, WRITE))
    part = s3.upload_part(Bucket=BUCKET, Key=NEW, PartNumber=1, Body=b"part", **upload)
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    key.role(allow(WRITE))
    assert READ in refusal(s3.complete_multipart_upload, MultipartUpload=parts, **upload)
    key.role(allow(READ, WRITE))
    assert refusal(s3.complete_multipart_upload, MultipartUpload=parts, **upload) == ""
    assert key.s3.head_object(Bucket=BUCKET, Key=NEW)["SSEKMSKeyId"] == key.arn


def test_each_version_of_an_object_has_the_key_it_was_written_by(key: Key) -> None:
    named = {"Bucket": "rehearsal-evidence", "Key": "versions"}
    by_key = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key.id}
    first = key.s3.put_object(Body=b"first", **by_key, **named)["VersionId"]
    last = key.s3.put_object(Body=b"last", **named)["VersionId"]
    key.policy(allow("kms:*", principal="arn:aws:iam::123456789012:role/operator"))
    assert READ in refusal(key.s3.get_object, VersionId=first, **named)
    assert refusal(key.s3.get_object, VersionId=last, **named) == ""
    assert refusal(key.s3.get_object, **named) == ""
    copy = {"CopySource": {**named, "VersionId": first}, "Key": "copy"}
    assert READ in refusal(key.s3.copy_object, **copy)
    for version in (first, last):
        key.s3.delete_object(VersionId=version, **named)


def test_an_alias_is_a_name_of_its_key(key: Key) -> None:
    key.kms.create_alias(AliasName="alias/data", TargetKeyId=key.id)
    key.encrypt_bucket(key="alias/data")
    assert key.put() == denied(WRITE, key.arn, nobody_allows(WRITE, "identity-based"))
    several = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/data"}}
    key.policy(ACCOUNT, {**allow(WRITE, principal=ROLE), "Condition": several})
    assert key.put() == ""
    key.kms.delete_alias(AliasName="alias/data")


def test_a_key_that_nobody_can_use_is_said_to_be_so(key: Key) -> None:
    key.role(allow(READ, WRITE))
    key.kms.disable_key(KeyId=key.arn)
    assert key.get() == f"KMS.DisabledException: {key.arn} is disabled."
    key.kms.schedule_key_deletion(KeyId=key.arn)
    assert key.put() == f"KMS.KMSInvalidStateException: {key.arn} is pending deletion."
    gone = "arn:aws:kms:ap-northeast-1:123456789012:key/00000000-0000-4000-8000-000000000000"
    key.encrypt_bucket(key=gone)
    assert key.put() == f"KMS.NotFoundException: Invalid keyId '{gone}'"


def test_who_does_not_sign_reads_nothing_that_is_encrypted_by_a_key(key: Key) -> None:
    before = key.s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    key.s3.delete_public_access_block(Bucket=BUCKET)
    everybody = {**allow("s3:GetObject", principal="*"), "Resource": f"arn:aws:s3:::{BUCKET}/*"}
    key.s3.put_bucket_policy(Bucket=BUCKET, Policy=document(everybody))
    anybody = boto3.client(
        "s3",
        region_name=key.account.region,
        endpoint_url=key.account.endpoint_url,
        config=Config(signature_version=UNSIGNED),
    )
    assert refusal(anybody.get_object, Key=OLD) == ""
    assert "require AWS Signature Version 4" in refusal(anybody.get_object)
    key.s3.put_bucket_policy(Bucket=BUCKET, Policy=before)
    block = dict.fromkeys(
        ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
    )
    key.s3.put_public_access_block(Bucket=BUCKET, PublicAccessBlockConfiguration=block)


def test_seeing_a_key_is_allowed_key_by_key(key: Key) -> None:
    other = Key(key.account)
    kms = client_of(key.account, "kms", WHO)
    key.role({**allow("kms:DescribeKey", "kms:GetKeyPolicy"), "Resource": key.arn})
    assert kms.describe_key(KeyId=key.id)["KeyMetadata"]["Arn"] == key.arn
    assert kms.describe_key(KeyId=key.arn)["KeyMetadata"]["KeyUsage"] == "ENCRYPT_DECRYPT"
    assert json.loads(kms.get_key_policy(KeyId=key.arn)["Policy"])["Statement"]
    for call in (kms.describe_key, kms.get_key_policy):
        with pytest.raises(ClientError) as refused:
            call(KeyId=other.id)
        error = refused.value.response["Error"]
        assert error["Code"] == "AccessDeniedException"
        assert f"on resource: {other.arn} because no identity-based policy" in error["Message"]
    assert code_of(kms.create_key) == "AccessDeniedException"
    assert code_of(kms.list_keys) == "AccessDeniedException"
    key.role(allow("kms:ListKeys", "kms:DescribeKey", "kms:CreateKey"))
    assert {one["KeyArn"] for one in kms.list_keys()["Keys"]} >= {key.arn, other.arn}
    assert code_of(kms.create_key) == ""
    nowhere = "00000000-0000-4000-8000-000000000000"
    assert code_of(kms.describe_key, KeyId=nowhere) == "NotFoundException"


def test_an_alias_shows_its_key_to_who_may_see_that(key: Key) -> None:
    kms = client_of(key.account, "kms", WHO)
    key.kms.create_alias(AliasName="alias/seen", TargetKeyId=key.id)
    assert code_of(kms.describe_key, KeyId="alias/seen") == "AccessDeniedException"
    key.role({**allow("kms:DescribeKey"), "Resource": key.arn})
    assert kms.describe_key(KeyId="alias/seen")["KeyMetadata"]["KeyId"] == key.id
    # To make an alias takes the permission for it and for the key.
    key.role({**allow("kms:CreateAlias"), "Resource": key.arn})
    wanted = {"AliasName": "alias/more", "TargetKeyId": key.id}
    assert code_of(kms.create_alias, **wanted) == "AccessDeniedException"
    key.role(allow("kms:CreateAlias"))
    assert code_of(kms.create_alias, **wanted) == ""
    for name in ("alias/seen", "alias/more"):
        key.kms.delete_alias(AliasName=name)


def test_what_is_encrypted_says_by_which_key(key: Key) -> None:
    other = Key(key.account)
    kms = client_of(key.account, "kms", WHO)
    secret = key.kms.encrypt(KeyId=key.id, Plaintext=b"secret")["CiphertextBlob"]
    key.role({**allow(READ), "Resource": other.arn})
    assert code_of(kms.decrypt, CiphertextBlob=secret) == "AccessDeniedException"
    again = {"CiphertextBlob": secret, "DestinationKeyId": other.id}
    key.role({**allow("kms:ReEncryptFrom"), "Resource": key.arn})
    assert code_of(kms.re_encrypt, **again) == "AccessDeniedException"
    to = {**allow("kms:ReEncryptTo"), "Resource": other.arn}
    key.role({**allow(READ, "kms:ReEncryptFrom"), "Resource": key.arn}, to)
    assert kms.decrypt(CiphertextBlob=secret)["Plaintext"] == b"secret"
    assert kms.re_encrypt(**again)["KeyId"] == other.arn


def test_a_condition_of_a_direct_call_is_about_the_caller(key: Key) -> None:
    kms = client_of(key.account, "kms", WHO)
    from_s3 = {"kms:ViaService": "s3.ap-northeast-1.amazonaws.com"}
    key.policy(ACCOUNT, allow("kms:DescribeKey", principal=ROLE, **from_s3))
    assert code_of(kms.describe_key, KeyId=key.id) == "AccessDeniedException"
    own = {"kms:CallerAccount": "123456789012", "kms:KeyUsage": "ENCRYPT_DECRYPT"}
    key.policy(ACCOUNT, allow("kms:DescribeKey", principal=ROLE, **own))
    assert code_of(kms.describe_key, KeyId=key.id) == ""
    # A deny that is not about this call.
    deny = {**allow("kms:DescribeKey", principal="*", **from_s3), "Effect": "Deny"}
    key.policy(ACCOUNT, allow("kms:DescribeKey", principal=ROLE, **own), deny)
    assert code_of(kms.describe_key, KeyId=key.id) == ""


def test_a_policy_that_locks_out_who_gives_it_is_refused(key: Key) -> None:
    put = {"KeyId": key.id, "PolicyName": "default"}
    operators = allow("kms:*", principal="arn:aws:iam::123456789012:role/operator")
    for policy in (document(operators), '{"Statement": 1}'):
        code = code_of(key.kms.put_key_policy, Policy=policy, **put)
        assert code == "MalformedPolicyDocumentException"
        assert code_of(key.kms.create_key, Policy=policy) == "MalformedPolicyDocumentException"
    assert code_of(key.kms.put_key_policy, Policy=document(ACCOUNT), **put) == ""


def test_grants_are_refused_as_not_emulated(key: Key) -> None:
    assert key.kms.list_grants(KeyId=key.arn)["Grants"] == []
    give = {"GranteePrincipal": ROLE, "Operations": ["Decrypt"]}
    assert code_of(key.kms.create_grant, KeyId=key.id, **give) == "NotImplemented"


def test_the_trail_tells_who_looked_at_a_key(key: Key) -> None:
    key.kms.get_key_policy(KeyId=key.id)
    wanted = [{"AttributeKey": "EventName", "AttributeValue": "GetKeyPolicy"}]
    trail = key.account.client("cloudtrail")
    (first, *_) = trail.lookup_events(LookupAttributes=wanted)["Events"]
    assert json.loads(first["CloudTrailEvent"])["requestParameters"]["keyId"] == key.id


def test_ids_of_keys_are_the_same_in_every_account(accounts: Accounts) -> None:
    found = []
    with accounts.fresh() as one, accounts.fresh() as other:
        for account in (one, other):
            kms = account.client("kms")
            found.append([kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(2)])
            assert account.errors() == []
    assert found[0] == found[1] and len(set(found[0])) == 2


def test_a_new_bucket_is_guarded_as_aws_guards_it(shared: Account) -> None:
    s3 = shared.client("s3")
    where = {"LocationConstraint": shared.region}
    s3.create_bucket(Bucket="rehearsal-new", CreateBucketConfiguration=where)
    rules = s3.get_bucket_encryption(Bucket="rehearsal-new")["ServerSideEncryptionConfiguration"]
    by_default = {"SSEAlgorithm": "AES256"}
    assert rules["Rules"][0]["ApplyServerSideEncryptionByDefault"] == by_default
    owner = s3.get_bucket_ownership_controls(Bucket="rehearsal-new")["OwnershipControls"]
    assert owner["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    block = s3.get_public_access_block(Bucket="rehearsal-new")["PublicAccessBlockConfiguration"]
    assert len(block) == 4 and all(block.values())
    s3.delete_bucket(Bucket="rehearsal-new")


@pytest.mark.parametrize(
    ("service", "operation", "request_", "action"),
    [
        ("s3", "get_bucket_encryption", {"Bucket": BUCKET}, "s3:GetEncryptionConfiguration"),
        (
            "s3",
            "get_bucket_ownership_controls",
            {"Bucket": BUCKET},
            "s3:GetBucketOwnershipControls",
        ),
        ("ec2", "describe_security_groups", {}, "ec2:DescribeSecurityGroups"),
        ("ec2", "describe_network_acls", {}, "ec2:DescribeNetworkAcls"),
        (
            "ec2",
            "describe_vpc_attribute",
            {"VpcId": "<rehearsal>", "Attribute": "enableDnsSupport"},
            "ec2:DescribeVpcAttribute",
        ),
        (
            "ec2",
            "get_managed_prefix_list_entries",
            {"PrefixListId": "pl-61a54008"},
            "ec2:GetManagedPrefixListEntries",
        ),
    ],
)
def test_what_is_read_before_a_change_is_judged(
    shared: Account, service: str, operation: str, request_: dict[str, str], action: str
) -> None:
    iam, named = shared.client("iam"), {"RoleName": "ci-deployer", "PolicyName": "preflight"}
    request = {
        name: shared.ids[value[1:-1]] if value.startswith("<") else value
        for name, value in request_.items()
    }
    call = getattr(client_of(shared, service, WHO), operation)
    assert code_of(call, **request) in ("AccessDenied", "UnauthorizedOperation")
    iam.put_role_policy(**named, PolicyDocument=document(allow(action)))
    assert code_of(call, **request) == ""
    iam.delete_role_policy(**named)


def test_a_dry_run_tells_permission_from_its_lack_and_changes_nothing(shared: Account) -> None:
    iam, named = shared.client("iam"), {"RoleName": "ci-deployer", "PolicyName": "preflight"}
    ec2, root = client_of(shared, "ec2", WHO), shared.client("ec2")
    endpoint = root.create_vpc_endpoint(
        VpcId=shared.ids["rehearsal"], ServiceName="com.amazonaws.ap-northeast-1.s3"
    )["VpcEndpoint"]["VpcEndpointId"]
    before = root.describe_vpc_endpoints()["VpcEndpoints"]
    make = {"VpcId": shared.ids["rehearsal"], "ServiceName": "com.amazonaws.ap-northeast-1.s3"}
    tables = {"AddRouteTableIds": [shared.ids["private-a"]]}
    calls: list[tuple[Any, dict[str, Any], str]] = [
        (ec2.create_vpc_endpoint, make, "ec2:CreateVpcEndpoint"),
        (
            ec2.modify_vpc_endpoint,
            {"VpcEndpointId": endpoint, **tables},
            "ec2:ModifyVpcEndpoint",
        ),
        (
            ec2.delete_vpc_endpoints,
            {"VpcEndpointIds": [endpoint]},
            "ec2:DeleteVpcEndpoints",
        ),
    ]
    for call, request, action in calls:
        assert code_of(call, DryRun=True, **request) == "UnauthorizedOperation"
        iam.put_role_policy(**named, PolicyDocument=document(allow(action)))
        assert code_of(call, DryRun=True, **request) == "DryRunOperation"
        iam.delete_role_policy(**named)
    assert root.describe_vpc_endpoints()["VpcEndpoints"] == before
    root.delete_vpc_endpoints(VpcEndpointIds=[endpoint])

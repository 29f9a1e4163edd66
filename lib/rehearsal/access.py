"""Decides every request: which IAM action it is, on what, with what AWS knows of the caller."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from xml.parsers.expat import ExpatError

import xmltodict
from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends
from moto.s3.models import s3_backends

from iam_verdict import Policies, Principal, Request, Verdict, decide
from rehearsal.actions import Actions, Keys
from rehearsal.call import Call, Refused
from rehearsal.callers import Caller
from rehearsal.keys import FROM_S3, EncryptionKeys, Use, judge, refuse_lockout
from rehearsal.network import Position

# Where an operation of S3 and its IAM action differ in name.
# Source: Service Authorization Reference, "Actions, resources, and condition keys for Amazon S3".
_S3_ACTIONS = {
    "CompleteMultipartUpload": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "DeleteObjects": "DeleteObject",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "GetBucketReplication": "GetReplicationConfiguration",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListBuckets": "ListAllMyBuckets",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListParts": "ListMultipartUploadParts",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "UploadPart": "PutObject",
}
_SAME_NAME = frozenset(
    {
        "AbortMultipartUpload",
        "CreateBucket",
        "DeleteBucket",
        "DeleteBucketPolicy",
        "DeleteObject",
        "GetBucketAcl",
        "GetBucketLocation",
        "GetBucketLogging",
        "GetBucketOwnershipControls",
        "GetBucketPolicy",
        "GetBucketPolicyStatus",
        "GetBucketTagging",
        "GetBucketVersioning",
        "GetObject",
        "GetObjectAcl",
        "GetObjectRetention",
        "GetObjectTagging",
        "PutBucketLogging",
        "PutBucketOwnershipControls",
        "PutBucketPolicy",
        "PutBucketTagging",
        "PutBucketVersioning",
        "PutObject",
        "PutObjectAcl",
        "PutObjectRetention",
        "PutObjectTagging",
    }
)
# What a header of a request asks for besides.
_BESIDES = {
    "x-amz-acl": "s3:PutObjectAcl",
    "x-amz-bypass-governance-retention": "s3:BypassGovernanceRetention",
    "x-amz-object-lock-mode": "s3:PutObjectRetention",
}
_DENIED = "Access Denied"
_OF_A_VERSION = ("DeleteObject", "GetObject", "HeadObject")
_NO_KEYS: Keys = {}


class Access:
    """The access decisions of one account."""

    def __init__(self, account_id: str, region: str) -> None:
        self._account_id, self._region = account_id, region
        self._iam = iam_backends[account_id]["aws"]
        self._s3 = s3_backends[account_id]["aws"]
        self._actions, self._keys = Actions(account_id), EncryptionKeys(account_id)

    def check(self, call: Call) -> frozenset[str]:
        """Refused unless the caller may do what the call asks.

        Of a request for many objects, the ARNs of those that it may not have.
        """
        if call.service == "s3":
            return self._check_s3(call)
        if call.service == "kms":
            return self._check_kms(call)
        if call.service == "sts" and call.operation == "GetCallerIdentity":
            return frozenset()  # needs no permission
        for asked in self._actions.of(call):
            verdict = self._verdict(call, asked.action, asked.resource, asked.keys)
            # Of what is not there AWS knows nothing: that it is not there is told further on.
            if asked.keys is not None or verdict.decision != "depends":
                self._refuse_unless(verdict, call, asked.resource)
        return frozenset()

    def role_may(self, role_arn: str, action: str) -> bool:
        """Whether a role's own policies allow an action on whatever it names."""
        principal = Principal("role-session", role_arn, account=self._account_id)
        policies = Policies(identity=self._identity(role_arn))
        return decide(Request(principal, action, "*", self._account_id), policies).allowed

    def _check_s3(self, call: Call) -> frozenset[str]:
        action = self._s3_action(call)
        if call.operation == "ListBuckets":
            self._refuse_unless(self._verdict(call, action, "*"), call, "*")
            return frozenset()
        bucket = f"arn:aws:s3:::{call.bucket}"
        if call.operation != "CreateBucket":
            self._check_bucket(call, action, bucket)
        if call.operation == "DeleteObjects":
            objects = [f"{bucket}/{key}" for key in _keys_to_delete(call.body)]
            denied = [arn for arn in objects if not self._verdict(call, action, arn).allowed]
            return frozenset(denied)
        resource = f"{bucket}/{call.key}" if call.key else bucket
        for one in (action, *_besides(call)):
            self._refuse_unless(self._verdict(call, one, resource), call, resource)
        if source := call.headers.get("x-amz-copy-source"):
            resource = f"arn:aws:s3:::{source.lstrip('/').partition('?')[0]}"
            self._refuse_unless(self._verdict(call, "s3:GetObject", resource), call, resource)
        self._hide_absence(call, bucket)
        for use in self._keys.used(call):
            request, policies = self._key_request(replace(call, position=FROM_S3), use)
            self._refuse_unless(judge(request, policies), call, use.resource)
            use.check_state()
        return frozenset()

    def _check_kms(self, call: Call) -> frozenset[str]:
        for use in self._keys.asked(call):
            request, policies = self._key_request(call, use)
            self._refuse_unless(judge(request, policies), call, use.resource)
        if use_to_be := self._keys.policy_to_be(call):
            refuse_lockout(*self._key_request(call, use_to_be))
        return frozenset()

    def _key_request(self, call: Call, use: Use) -> tuple[Request, Policies]:
        """The use of a key, and all that has a say in it: no endpoint leads to KMS here."""
        principal = call.caller.principal
        context = {**self._context(call), **use.keys}
        policies = Policies(
            identity=self._identity(principal.arn) if principal.kind == "role-session" else (),
            resource=use.policy,
            boundary=self._boundary(principal.arn),
        )
        return Request(principal, use.action, use.resource, self._account_id, context), policies

    def _s3_action(self, call: Call) -> str:
        name = _S3_ACTIONS.get(call.operation)
        if name is None and call.operation not in {*_SAME_NAME, "CopyObject"}:
            raise Refused(
                501, "NotImplemented", f"{call.operation or call.method} is not implemented."
            )
        if "versionId" in call.parameters and call.operation in _OF_A_VERSION:
            name = f"{name or call.operation}Version"
        return "s3:" + (name or call.operation.replace("CopyObject", "PutObject"))

    def _check_bucket(self, call: Call, action: str, arn: str) -> None:
        """Refused if the bucket does not exist, is another's, or is in another Region."""
        bucket = self._s3.buckets.get(call.bucket)
        if bucket is None:
            raise Refused(404, "NoSuchBucket", "The specified bucket does not exist")
        region = {"x_amz_bucket_region": bucket.region_name}
        if bucket.region_name != call.region:
            raise Refused(
                301,
                "PermanentRedirect",
                "The bucket you are attempting to access must be addressed using the specified"
                " endpoint. Please send all future requests to this endpoint.",
                **region,
            )
        if call.signature and call.signature.region != call.region:
            raise Refused(
                400,
                "AuthorizationHeaderMalformed",
                f"The authorization header is malformed; the region '{call.signature.region}'"
                f" is wrong; expecting '{call.region}'",
                **region,
            )
        owner = call.headers.get("x-amz-expected-bucket-owner", self._account_id)
        if owner != self._account_id:
            raise Refused(403, "AccessDenied", _DENIED)

    def _hide_absence(self, call: Call, bucket: str) -> None:
        """S3 tells only those who may list a bucket that an object does not exist."""
        if call.operation in ("GetObject", "HeadObject"):
            absent = call.key not in self._s3.buckets[call.bucket].keys
            if absent and not (verdict := self._verdict(call, "s3:ListBucket", bucket)).allowed:
                self._refuse_unless(verdict, call, bucket)

    def _verdict(
        self, call: Call, action: str, resource: str, keys: Keys | None = _NO_KEYS
    ) -> Verdict:
        position, bucket = call.position, self._s3.buckets.get(call.bucket)
        principal = call.caller.principal
        endpoint = resource_policy = None
        if position.endpoint_id:
            endpoint = self._ec2.vpc_end_points[position.endpoint_id].policy_document
        owner = self._account_id
        if bucket and bucket.policy:
            resource_policy = bucket.policy.decode()
        elif call.operation == "AssumeRole":
            # Here, as across accounts, both sides must allow: the caller's and the role's.
            resource_policy, owner = self._trust(resource), "the role"
        block = bucket.public_access_block if bucket else None
        policies = Policies(
            identity=self._identity(principal.arn) if principal.kind == "role-session" else (),
            resource=resource_policy,
            endpoint=endpoint,
            boundary=self._boundary(principal.arn),
            restrict_public_buckets=bool(block and block.restrict_public_buckets),
        )
        context = {**self._context(call), **(keys or {})}
        request = Request(principal, action, resource, owner, context)
        verdict = decide(request, policies)
        while keys is None and not verdict.missing <= request.unknown:
            request = replace(request, unknown=request.unknown | verdict.missing)
            verdict = decide(request, policies)
        return verdict

    @property
    def _ec2(self) -> Any:
        return ec2_backends[self._account_id][self._region]

    def _identity(self, role_arn: str) -> list[str]:
        """The policies of a role, inline and attached; of a deleted role none."""
        if (role := self._role(role_arn)) is None:
            return []
        return [*role.policies.values(), *map(_default_version, role.managed_policies.values())]

    def _boundary(self, role_arn: str) -> str | None:
        """The policy that bounds what a role may do, if one does."""
        role = self._role(role_arn)
        if role is None or not role.permissions_boundary_arn:
            return None
        return _default_version(self._iam.managed_policies[role.permissions_boundary_arn])

    def _trust(self, role_arn: str) -> str | None:
        """Whom a role trusts; such a policy is about its role, and so names no resource."""
        if (role := self._role(role_arn)) is None:
            return None
        policy = json.loads(role.assume_role_policy_document)
        policy["Statement"] = [{**statement, "Resource": "*"} for statement in policy["Statement"]]
        return json.dumps(policy)

    def _role(self, arn: str) -> Any:
        return next((role for role in self._iam.roles.values() if role.arn == arn), None)

    def _refuse_unless(self, verdict: Verdict, call: Call, resource: str) -> None:
        """Refused in the words of the service, unless the verdict is "allowed"."""
        call.actions.append(verdict.action)
        if verdict.allowed:
            return
        message = f"User: {call.caller.arn} is not authorized to perform: {verdict.action}"
        if call.service == "ec2":
            message = f"You are not authorized to perform this operation. {message}"
            raise Refused(403, "UnauthorizedOperation", f"{message} {verdict.reason()}")
        if call.caller.principal.kind == "anonymous":
            message = _DENIED
        else:
            shown = f'"{resource}"' if verdict.action.startswith("s3:") else resource
            message = f"{message} on resource: {shown} {verdict.reason()}"
        bucket = self._s3.buckets.get(call.bucket)
        region = {"x_amz_bucket_region": bucket.region_name} if bucket else {}
        status, code = 403, "AccessDenied"
        if "x-amz-target" in call.headers:
            status, code = 400, "AccessDeniedException"
        elif call.service == "access-analyzer":
            code = "AccessDeniedException"
        raise Refused(status, code, message, **region)

    def _context(self, call: Call) -> dict[str, str]:
        now = datetime.now(UTC)
        keys = {
            # The account's door on the loopback interface stands for AWS's, which is TLS.
            "aws:SecureTransport": "true",
            "aws:RequestedRegion": call.region,
            "aws:CurrentTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "aws:EpochTime": str(int(now.timestamp())),
            "aws:ViaAWSService": "false",
            "aws:ResourceAccount": self._account_id,
            "aws:UserAgent": call.headers.get("user-agent", ""),
            **self._caller_keys(call.caller),
            **self._position_keys(call.position),
        }
        if call.service == "s3":
            asked = {
                f"s3:{name}": call.parameters.get(name)
                for name in ("prefix", "delimiter", "max-keys")
            }
            keys |= {key: value for key, value in asked.items() if value is not None}
        return keys

    def _caller_keys(self, caller: Caller) -> dict[str, str]:
        principal = caller.principal
        if principal.kind == "anonymous":
            return {"aws:PrincipalType": "Anonymous", "aws:userid": "anonymous"}
        keys = {
            "aws:PrincipalArn": principal.arn,
            "aws:PrincipalAccount": principal.account,
            "aws:PrincipalType": "Account" if principal.kind == "root" else "AssumedRole",
            "aws:PrincipalIsAWSService": "false",
            "aws:userid": caller.user_id,
        }
        instance = self._ec2.get_instance(caller.instance_id) if caller.instance_id else None
        if instance:
            # They stay with the keys, wherever those are used.
            own = f"arn:aws:ec2:{self._region}:{self._account_id}:instance/{instance.id}"
            keys |= {
                "ec2:SourceInstanceArn": own,
                "ec2:RoleDelivery": "2.0",
                "aws:Ec2InstanceSourceVpc": instance.vpc_id,
                "aws:Ec2InstanceSourcePrivateIPv4": instance.private_ip,
            }
        return keys

    def _position_keys(self, position: Position) -> dict[str, str]:
        if not (position.endpoint_id and position.vpc_id):
            return {"aws:SourceIp": position.source_ip}
        own = f"arn:aws:ec2:{self._region}:{self._account_id}"
        return {
            "aws:SourceVpce": position.endpoint_id,
            "aws:SourceVpc": position.vpc_id,
            "aws:SourceVpcArn": f"{own}:vpc/{position.vpc_id}",
            "aws:VpceAccount": self._account_id,
            "aws:VpcSourceIp": position.source_ip,
        }


def _besides(call: Call) -> list[str]:
    """The other actions that a request for one object needs."""
    return [action for name, action in _BESIDES.items() if call.key and name in call.headers]


def _default_version(policy: Any) -> str:
    return next(str(version.document) for version in policy.versions if version.is_default)


def _keys_to_delete(body: bytes) -> list[str]:
    """The keys that a DeleteObjects names."""
    try:
        wanted = xmltodict.parse(body, force_list=["Object"])["Delete"]["Object"]
        return [item["Key"] for item in wanted]
    except (ExpatError, LookupError, TypeError) as error:
        message = "The XML you provided was not well-formed"
        raise Refused(400, "MalformedXML", message) from error

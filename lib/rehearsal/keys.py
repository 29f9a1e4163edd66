"""Keys of KMS: which of them a request uses, and whether their policies let it.

Source: AWS KMS Developer Guide, "Key policies in AWS KMS" and "AWS KMS condition keys"; Amazon S3
User Guide, "Using server-side encryption with AWS KMS keys (SSE-KMS)".
"""

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

from moto.kms.models import kms_backends
from moto.s3.models import s3_backends

from iam_verdict import Document, Policies, PolicyError, Request, Verdict, decide
from rehearsal.call import Call, Refused
from rehearsal.network import Position

Keys = dict[str, str | list[str]]

# S3 asks KMS from a network of its own: what it knows of the way the caller came stays with it.
FROM_S3 = Position(source_ip="52.219.200.1")

_BY_KEY = ("aws:kms", "aws:kms:dsse")
_ALGORITHM = "x-amz-server-side-encryption"
# Its policy lets everybody use it through S3 whom S3 lets in.
_OWNED_BY_AWS = "alias/aws/s3"
_WRITES = frozenset({"CopyObject", "CreateMultipartUpload", "PutObject"})
# S3 reads the parts of an object before it puts them together.
_PARTS = frozenset({"CompleteMultipartUpload", "UploadPart", "UploadPartCopy"})
_ABOUT_NO_KEY = frozenset({"CreateKey", "GenerateRandom", "ListAliases", "ListKeys"})
_ANYTHING: Document = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}
_ID_LENGTH = 36  # of a key, with which moto begins what was encrypted by it


@dataclass(frozen=True)
class Use:
    """One action on a key, or on what is none, which then has no policy; `keys` are conditions'."""

    action: str
    resource: str
    policy: str | None = None
    state: str = "Enabled"
    keys: Keys = field(default_factory=dict)

    def check_state(self) -> None:
        """Refused, as S3 passes it on, if the key can be used by nobody."""
        if self.state == "Disabled":
            raise Refused(400, "KMS.DisabledException", f"{self.resource} is disabled.")
        if self.state != "Enabled":
            message = f"{self.resource} is pending deletion."
            raise Refused(400, "KMS.KMSInvalidStateException", message)


@dataclass(frozen=True)
class Encryption:
    """How an object is encrypted, or is to be; `by_bucket`: by a key of its bucket's in between."""

    algorithm: str | None = None
    key: str | None = None
    by_bucket: bool = False


class EncryptionKeys:
    """The keys of one account."""

    def __init__(self, account_id: str) -> None:
        self._account_id = account_id
        self._keys = kms_backends[account_id]
        self._s3 = s3_backends[account_id]["aws"]

    def asked(self, call: Call) -> Iterator[Use]:
        """What a call of KMS does, once for each key and alias."""
        if "Grant" in call.operation and call.operation != "ListGrants":  # there are none to list
            raise NotImplementedError("Grants of keys are not emulated.")
        given, action = call.parameters, f"kms:{call.operation}"
        if call.operation in _ABOUT_NO_KEY:
            yield Use(action, "*", keys=self._direct())
        elif call.operation == "ReEncrypt":
            yield self._use(call, "kms:ReEncryptFrom", _encrypted_by(given), self._direct())
            yield self._use(call, "kms:ReEncryptTo", given["DestinationKeyId"], self._direct())
        else:
            if alias := given.get("AliasName"):
                own = f"arn:aws:kms:{call.region}:{self._account_id}"
                yield Use(action, f"{own}:{alias}", keys=self._direct())
            name = given.get("KeyId") or given.get("TargetKeyId") or alias or _encrypted_by(given)
            yield self._use(call, action, name, self._direct())

    def used(self, call: Call) -> Iterator[Use]:
        """What S3 does with keys, on the caller's behalf, to carry out a request for an object."""
        if not call.key:
            return
        for path, version in _read(call):
            bucket, _, key = path.partition("/")
            if bucket in self._s3.buckets:
                found = self._s3.get_object(bucket, key, version_id=version)
                yield from self._by_s3(call, "kms:Decrypt", _encryption(found), path)
        path = f"{call.bucket}/{call.key}"
        if call.operation in _WRITES:
            yield from self._by_s3(call, "kms:GenerateDataKey", self._wanted(call), path)
        if call.operation in _PARTS:
            yield from self._by_s3(call, "kms:Decrypt", self._uploaded(call), path)

    def policy_to_be(self, call: Call) -> Use | None:
        """The next change of the policy that a call gives a key, by that policy; or none."""
        policy, skip = (
            call.parameters.get(name) for name in ("Policy", "BypassPolicyLockoutSafetyCheck")
        )
        if call.operation not in ("CreateKey", "PutKeyPolicy") or not policy or skip:
            return None
        arn = f"arn:aws:kms:{call.region}:{self._account_id}:key/{call.parameters.get('KeyId', '')}"
        return Use("kms:PutKeyPolicy", arn, policy, keys=self._direct())

    def _wanted(self, call: Call) -> Encryption:
        """How an object is to be encrypted: as the request says, or else as its bucket does."""
        headers = call.headers
        if algorithm := headers.get(_ALGORITHM):
            by_bucket = headers.get(f"{_ALGORITHM}-bucket-key-enabled", "").lower() == "true"
            return Encryption(algorithm, headers.get(f"{_ALGORITHM}-aws-kms-key-id"), by_bucket)
        rule = (self._s3.buckets[call.bucket].encryption or {}).get("Rule", {})
        default = rule.get("ApplyServerSideEncryptionByDefault", {})
        by_bucket = str(rule.get("BucketKeyEnabled")).lower() == "true"
        return Encryption(default.get("SSEAlgorithm"), default.get("KMSMasterKeyID"), by_bucket)

    def _uploaded(self, call: Call) -> Encryption:
        """How the parts of an upload are encrypted."""
        uploads = self._s3.buckets[call.bucket].multiparts
        upload = uploads.get(call.parameters.get("uploadId", ""))
        if upload and upload.sse_encryption:
            return Encryption(upload.sse_encryption, upload.kms_key_id)
        return self._wanted(call)

    def _by_s3(self, call: Call, action: str, how: Encryption, path: str) -> Iterator[Use]:
        """The use of a key by S3, if a key is used that not everybody may use."""
        if how.algorithm not in _BY_KEY or not how.key:
            return
        if call.caller.principal.kind == "anonymous":
            message = (
                "Requests specifying Server Side Encryption with AWS KMS managed keys require AWS"
                " Signature Version 4."
            )
            raise Refused(400, "InvalidArgument", message)
        found = self._find(call.region, how.key)
        if found is None:
            raise Refused(400, "KMS.NotFoundException", f"Invalid keyId '{how.key}'")
        if _OWNED_BY_AWS in found.aliases:
            return
        encrypted = path.partition("/")[0] if how.by_bucket else path
        keys: Keys = {
            **self._direct(),
            "aws:ViaAWSService": "true",
            "kms:ViaService": f"s3.{call.region}.amazonaws.com",
            "kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{encrypted}",
            "kms:EncryptionContextKeys": ["aws:s3:arn"],
            "kms:EncryptionAlgorithm": "SYMMETRIC_DEFAULT",
        }
        yield self._use(call, action, found.id, keys)

    def _use(self, call: Call, action: str, name: str, keys: Keys) -> Use:
        """The use of a key by any of its names. Of one that is not there, by what it would be."""
        found = self._find(call.region, name)
        if found is None:
            own = f"arn:aws:kms:{call.region}:{self._account_id}"
            path = name if name.startswith("alias/") else f"key/{name}"
            return Use(action, name if name.startswith("arn:") else f"{own}:{path}", keys=keys)
        about: Keys = {
            "kms:KeyOrigin": found.origin,
            "kms:KeySpec": found.key_spec,
            "kms:KeyUsage": found.key_usage,
            "kms:MultiRegion": str(found.multi_region).lower(),
            "kms:ResourceAliases": list(found.aliases),
        }
        return Use(action, found.arn, found.policy, found.key_state, {**about, **keys})

    def _find(self, region: str, name: str) -> Any:
        backend = self._keys[region]
        alias = backend.get_alias_name(name)
        key_id = backend.get_key_id_from_alias(alias) if alias.startswith("alias/") else name
        return backend.keys.get(backend.get_key_id(key_id or ""))

    def _direct(self) -> Keys:
        return {"kms:CallerAccount": self._account_id}


def judge(request: Request, policies: Policies) -> Verdict:
    """The verdict on the use of a key, whose policy is the one for resources, if it is a key's.

    Unlike a bucket's, it has to let somebody in: the one who asks, by name; or the account, whose
    own policies then decide. That holds for root too.
    """
    if policies.resource is None:
        return decide(request, policies)
    if request.principal.kind != "root":
        by_name = decide(request, replace(policies, identity=()))
        if by_name.allowed:
            return decide(request, policies)  # their own policies may still deny it
    both = replace(request, resource_account="the key")  # as across accounts, both must allow
    let_in = decide(both, replace(policies, identity=(_ANYTHING,), boundary=None))
    return decide(both, policies) if let_in.allowed else let_in


def refuse_lockout(request: Request, policies: Policies) -> None:
    """Refused if whoever gives a key a policy could not change that policy again."""
    message = "The new key policy will not allow you to update the key policy in the future."
    try:
        if judge(request, policies).allowed:
            return
    except PolicyError as error:
        message = f"The policy is malformed: {error}"
    raise Refused(400, "MalformedPolicyDocumentException", message)


def _read(call: Call) -> Iterator[tuple[str, str | None]]:
    """The objects that a request reads, by bucket and key, each with its version if it has one."""
    if call.operation == "GetObject":
        yield f"{call.bucket}/{call.key}", call.parameters.get("versionId")
    if source := call.headers.get("x-amz-copy-source"):
        path, _, version = unquote(source).lstrip("/").partition("?versionId=")
        yield path, version or None


def _encryption(stored: Any) -> Encryption:
    """How an object is encrypted; of one that is not there, not at all."""
    if not (algorithm := getattr(stored, "encryption", None)):
        return Encryption()
    by_bucket = str(stored.bucket_key_enabled).lower() == "true"
    return Encryption(algorithm, stored.kms_key_id, by_bucket)


def _encrypted_by(given: Mapping[str, Any]) -> str:
    """The id of the key by which the text was encrypted that a call hands in."""
    text = base64.b64decode(given.get("CiphertextBlob", ""))
    return text[:_ID_LENGTH].decode(errors="replace")

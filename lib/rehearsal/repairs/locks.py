"""Object Lock: what S3 takes, tells and refuses of objects that may not be deleted yet."""

import base64
import hashlib
from datetime import UTC, datetime
from typing import Any

import xmltodict
from moto.s3.exceptions import S3ClientError
from moto.s3.models import FakeKey, S3Backend
from moto.s3.responses import S3Response
from werkzeug.datastructures import Headers

from rehearsal.call import Refused
from rehearsal.repairs import repair

_XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"
_CHECKSUM = "x-amz-checksum-"
_FULL_CONTROL = "bucket-owner-full-control"


@repair(S3Response, "_key_response_put")
def answer_put(original: Any, self: S3Response, query: dict[str, Any], key_name: str) -> Any:
    """moto: wants the header of an SDK with a lock, where S3 is content with a checksum."""
    found = (name[15:] for name in map(str.lower, self.headers.keys()) if name[:15] == _CHECKSUM)
    if "x-amz-sdk-checksum-algorithm" not in self.headers and (algorithm := next(found, "")):
        self.headers = Headers(list(self.headers))
        self.headers["x-amz-sdk-checksum-algorithm"] = algorithm.upper()
    return original(self, query, key_name)


@repair(S3Response, "put_object")
def put_object(original: Any, self: S3Response) -> Any:
    """moto: takes a wrong checksum, half a lock, one that has ended, and ACLs where none are."""
    headers = self.headers
    acl = headers.get("x-amz-acl", _FULL_CONTROL)
    bucket = self.backend.get_bucket(self.bucket_name)
    if bucket.ownership_rule == "BucketOwnerEnforced" and acl != _FULL_CONTROL:
        raise S3ClientError("AccessControlListNotSupported", "The bucket does not allow ACLs")
    mode = headers.get("x-amz-object-lock-mode")
    until = headers.get("x-amz-object-lock-retain-until-date")
    if bool(mode) != bool(until):
        raise S3ClientError(
            "InvalidArgument",
            "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied",
        )
    _check_mode_and_date(mode, until)
    given = headers.get("x-amz-checksum-sha256")
    if given and given != base64.b64encode(hashlib.sha256(self.body or b"").digest()).decode():
        raise S3ClientError(
            "BadDigest", "The SHA256 you specified did not match the calculated checksum."
        )
    return original(self)


@repair(S3Response, "_key_response_get")
def answer_get(original: Any, self: S3Response, query: dict[str, Any], key_name: str) -> Any:
    """moto: answers the object itself when asked for its retention."""
    if "retention" not in query:
        return original(self, query, key_name)
    key, _ = self._get_key()
    if not key.lock_mode:
        raise _not_found("NoSuchObjectLockConfiguration")
    told = {"@xmlns": _XMLNS, "Mode": key.lock_mode, "RetainUntilDate": key.lock_until}
    return 200, {"Content-Type": "application/xml"}, xmltodict.unparse({"Retention": told})


@repair(S3Backend, "put_object_retention")
def put_object_retention(
    original: Any,
    self: S3Backend,
    bucket_name: str,
    key_name: str,
    version_id: str | None,
    retention: tuple[str | None, str | None],
) -> None:
    """moto: lets a lock be shortened; S3 lets it only be made longer, or stricter.

    Whoever bypasses governance must use the header for it, which is not emulated here.
    """
    key = self.get_object(bucket_name, key_name, version_id=version_id)
    if not isinstance(key, FakeKey):
        raise _not_found("NoSuchKey")
    mode, until = retention
    _check_mode_and_date(mode, until)
    locked = key.lock_mode and key.is_locked(governance_bypass=False)
    looser = key.lock_mode == "COMPLIANCE" and mode != "COMPLIANCE"
    if locked and (looser or not until or _time(until) < _time(key.lock_until or "")):
        raise Refused(403, "AccessDenied", "Access Denied because object protected by object lock.")
    original(self, bucket_name, key_name, version_id, retention)


def _check_mode_and_date(mode: str | None, until: str | None) -> None:
    if mode and mode not in ("GOVERNANCE", "COMPLIANCE"):
        raise S3ClientError("InvalidArgument", "Unknown wormMode directive.")
    if until and _time(until) <= datetime.now(UTC):
        raise S3ClientError("InvalidArgument", "The retain until date must be in the future!")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _not_found(code: str) -> Refused:
    messages = {
        "NoSuchKey": "The specified key does not exist.",
        "NoSuchObjectLockConfiguration": "The specified object does not have a ObjectLock"
        " configuration",
    }
    return Refused(404, code, messages[code])

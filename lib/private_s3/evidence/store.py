"""Keeps objects in a bucket with Object Lock: locked, read back, never overwritten."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from botocore.exceptions import ClientError

from private_s3 import aws
from private_s3.errors import AwsRefused, CheckFailed

Mode = Literal["GOVERNANCE", "COMPLIANCE"]
REMEDY = "grant {} on the objects of the bucket to who archives, then run this again"
# Version, mode and date of an object, as S3 tells them.
Told = dict[str, Any]


@dataclass(frozen=True)
class Store:
    """A bucket with Object Lock, and how what is put there is to be locked."""

    account: aws.Account
    bucket: str
    owner: str
    mode: Mode
    until: datetime

    def keep(self, key: str, content: bytes) -> bool:
        """Puts an object that is not there yet, and reads it back; whether it was new."""
        version = self._put(key, content)
        told = self._read_back(key, content, version)
        if not version and not self._is_locked(told):
            told = self._lock_longer(key, told)
        if not self._is_locked(told):
            mode, until = told.get("Mode"), told.get("RetainUntilDate")
            raise CheckFailed(
                f"Could not lock {self._url(key)}.",
                f"S3 says {mode} until {until}; asked was {self.mode} until {self.until}.",
                "look at the bucket: what was put there is not to be relied on",
            )
        return bool(version)

    def _put(self, key: str, content: bytes) -> str:
        """Puts an object; gives its version, empty if there is one of that name already."""
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        remedy = REMEDY.format("s3:PutObject and s3:PutObjectRetention")
        try:
            with aws.attempt(f"put {self._url(key)}", remedy):
                answer = self.account.s3.put_object(
                    **self._named(key),
                    Body=content,
                    ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=digest,
                    IfNoneMatch="*",
                    ObjectLockMode=self.mode,
                    ObjectLockRetainUntilDate=self.until,
                )
        except AwsRefused as error:
            if error.code == "PreconditionFailed":
                return ""
            raise
        return answer["VersionId"]

    def _read_back(self, key: str, content: bytes, version: str) -> Told:
        """What S3 tells of an object; raises CheckFailed unless its content is the same."""
        which: Any = {"VersionId": version} if version else {}
        remedy = REMEDY.format("s3:GetObject and s3:GetObjectVersion")
        with aws.attempt(f"read {self._url(key)} back", remedy):
            answer = self.account.s3.get_object(**self._named(key), **which)
            body = answer["Body"].read()
        if body != content:
            raise CheckFailed(
                f"Could not archive {self._url(key)}.",
                "There is another content under this name; it was not touched.",
                "look who put it there; archive into another bucket, or seal the folder again",
            )
        told: Told = {"VersionId": answer["VersionId"]}
        if "ObjectLockMode" not in answer:  # S3 says it only to those who may ask for it
            return self._retention(key, told)
        until = answer["ObjectLockRetainUntilDate"]
        return {**told, "Mode": answer["ObjectLockMode"], "RetainUntilDate": until}

    def _retention(self, key: str, told: Told) -> Told:
        remedy = REMEDY.format("s3:GetObjectRetention")
        with aws.attempt(f"read the retention of {self._url(key)}", remedy):
            try:
                answer = self.account.s3.get_object_retention(
                    **self._named(key), VersionId=told["VersionId"]
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchObjectLockConfiguration":
                    raise
                return {"VersionId": told["VersionId"]}
        return {"VersionId": told["VersionId"], **answer["Retention"]}

    def _is_locked(self, told: Told) -> bool:
        """Whether its lock is as strict and as long as asked, or more."""
        until = told.get("RetainUntilDate")
        return told.get("Mode") in (self.mode, "COMPLIANCE") and bool(until and until >= self.until)

    def _lock_longer(self, key: str, told: Told) -> Told:
        """Makes a lock longer or stricter, never the opposite; what S3 tells then."""
        mode: Mode = "COMPLIANCE" if told.get("Mode") == "COMPLIANCE" else self.mode
        until = max(told.get("RetainUntilDate", self.until), self.until)
        with aws.attempt(f"lock {self._url(key)} longer", REMEDY.format("s3:PutObjectRetention")):
            self.account.s3.put_object_retention(
                **self._named(key),
                VersionId=told["VersionId"],
                Retention={"Mode": mode, "RetainUntilDate": until},
            )
        return self._retention(key, told)

    def _named(self, key: str) -> Any:
        return {"Bucket": self.bucket, "Key": key, "ExpectedBucketOwner": self.owner}

    def _url(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

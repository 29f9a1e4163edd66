"""Reads and checks the signature of a request (AWS Signature Version 4, in the header).

Source: IAM User Guide, "Create a signed AWS API request".
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

_HEADER = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<access_key>[^/]+)/(?P<day>\d{8})/(?P<region>[^/]+)"
    r"/(?P<service>[^/]+)/aws4_request,\s*SignedHeaders=(?P<headers>[^,]+)"
    r",\s*Signature=(?P<signature>[0-9a-f]{64})"
)
_CLOCK_SKEW = timedelta(minutes=15)


class SignatureError(Exception):
    """A signature that does not hold: the `code` of AWS's error, and its `message`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message


@dataclass(frozen=True)
class Signature:
    """What an Authorization header says."""

    access_key: str
    region: str
    service: str
    headers: tuple[str, ...]
    signature: str

    @classmethod
    def read(cls, authorization: str) -> "Signature":
        """The parts of an Authorization header; SignatureError for any other kind."""
        if not (found := _HEADER.fullmatch(authorization)):
            raise SignatureError(
                "IncompleteSignature", "Authorization header requires AWS Signature Version 4."
            )
        parts = found.groupdict()
        return cls(
            parts["access_key"],
            parts["region"],
            parts["service"],
            tuple(parts["headers"].lower().split(";")),
            parts["signature"],
        )

    def check(
        self,
        secret_key: str,
        token: str | None,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> None:
        """SignatureError unless the holder of the secret key signed exactly this, just now.

        `headers` have lower-case names, `url` is as the client wrote it.
        """
        date = headers.get("x-amz-date", "")
        given = headers.get("x-amz-security-token", "")
        if not hmac.compare_digest(given.encode(), (token or "").encode()):
            raise SignatureError(
                "InvalidClientTokenId", "The security token included in the request is invalid."
            )
        self._check_time(date)
        digest = headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
        if re.fullmatch("[0-9a-f]{64}", digest) and digest != sha256(body).hexdigest():
            raise SignatureError(
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            )
        signed = {name: headers.get(name, "") for name in self.headers}
        request = AWSRequest(method, url, signed, body)
        request.context["timestamp"] = date
        signer = (S3SigV4Auth if self.service == "s3" else SigV4Auth)(
            Credentials(self.access_key, secret_key), self.service, self.region
        )
        text = signer.string_to_sign(request, signer.canonical_request(request))
        unsigned = {"host", "x-amz-date"} - set(self.headers)
        if unsigned or not hmac.compare_digest(self.signature, signer.signature(text, request)):
            raise SignatureError(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided."
                " Check your AWS Secret Access Key and signing method.",
            )

    def _check_time(self, date: str) -> None:
        try:
            when = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise SignatureError("IncompleteSignature", "X-Amz-Date is no date.") from None
        if abs(datetime.now(UTC) - when) > _CLOCK_SKEW:
            raise SignatureError(
                "RequestTimeTooSkewed" if self.service == "s3" else "SignatureDoesNotMatch",
                "The difference between the request time and the current time is too large.",
            )

"""Server access logs of S3: what was asked of a bucket, delivered to the bucket they are to lie in.

Source: Amazon S3 User Guide, "Logging requests with server access logging", "Amazon S3 server
access log format".
"""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from moto.s3.models import s3_backends

from iam_verdict import Policies, Principal, Request, decide
from rehearsal.call import Call

_DELIVERY = Principal("service", service="logging.s3.amazonaws.com")


class AccessLogs:
    """The lines that are still to be delivered, for each bucket whose requests are logged."""

    def __init__(self, account_id: str) -> None:
        self._account_id = account_id
        self._s3 = s3_backends[account_id]["aws"]
        self._lines: dict[str, list[str]] = {}

    def note(self, call: Call, status: int, code: str | None, size: int) -> None:
        """Keeps the line of a request, if requests of its bucket are logged."""
        bucket = self._s3.buckets.get(call.bucket)
        if bucket and bucket.logging and status:
            self._lines.setdefault(call.bucket, []).append(
                _line(self._account_id, call, status, code, size)
            )

    def deliver(self, target: str) -> None:
        """Puts what is due into a bucket; what its policy does not let in is tried again later."""
        for name, lines in self._lines.items():
            source = self._s3.buckets.get(name)
            if not lines or not source or source.logging.get("TargetBucket") != target:
                continue
            text = "".join(f"{line}\n" for line in lines)
            when, unique = datetime.now(UTC), sha256(text.encode()).hexdigest()[:16].upper()
            prefix = source.logging.get("TargetPrefix") or ""
            key = f"{prefix}{when:%Y-%m-%d-%H-%M-%S}-{unique}"
            if self._may_put(name, target, key, when):
                self._s3.put_object(target, key, text.encode())
                lines.clear()

    def _may_put(self, source: str, target: str, key: str, when: datetime) -> bool:
        bucket = self._s3.buckets[target]
        context = {
            "aws:CurrentTime": f"{when:%Y-%m-%dT%H:%M:%SZ}",
            "aws:EpochTime": str(int(when.timestamp())),
            "aws:PrincipalIsAWSService": "true",
            "aws:PrincipalServiceName": _DELIVERY.service,
            "aws:RequestedRegion": bucket.region_name,
            "aws:ResourceAccount": self._account_id,
            "aws:SecureTransport": "true",
            "aws:SourceAccount": self._account_id,
            "aws:SourceArn": f"arn:aws:s3:::{source}",
            "aws:ViaAWSService": "false",
        }
        arn = f"arn:aws:s3:::{target}/{key}"
        request = Request(_DELIVERY, "s3:PutObject", arn, self._account_id, context)
        policy = bucket.policy.decode() if bucket.policy else None
        return decide(request, Policies(resource=policy)).allowed


def _line(account_id: str, call: Call, status: int, code: str | None, size: int) -> str:
    """One request, in the form of such a log."""
    kind = "OBJECT" if call.key else "BUCKET"
    fields: list[Any] = [
        sha256(account_id.encode()).hexdigest(),  # the canonical id of the owner
        call.bucket,
        f"[{datetime.now(UTC):%d/%b/%Y:%H:%M:%S +0000}]",
        call.position.source_ip,
        call.caller.arn if call.caller.access_key else "-",
        call.request_id,
        f"REST.{call.method}.{kind}",
        call.key or "-",
        f'"{call.method} {call.target} HTTP/1.1"',
        status,
        code or "-",
        size or "-",
        *("-", "-", "-", '"-"'),
        f'"{call.headers.get("user-agent", "-")}"',
        call.parameters.get("versionId", "-"),
        *("-", "SigV4" if call.signature else "-", "-", "AuthHeader" if call.signature else "-"),
        call.headers.get("host", "-"),
        *("TLSv1.3", "-", "-"),
    ]
    return " ".join(map(str, fields))

"""What CloudTrail has recorded: looked up in the account, or read from the log files of a trail."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from private_s3 import aws
from private_s3.clean import cleaned
from private_s3.errors import BadInput

# For 90 days, less a little: AWS refuses a time range that lies before them.
KEPT = timedelta(days=90) - timedelta(minutes=5)
IN_S3 = re.compile(r"s3://([^/]+)/?(.*?)/?")
REMEDY = (
    "give a folder of downloaded log files, or s3://BUCKET/AWSLogs/ACCOUNT/CloudTrail/REGION of a "
    "trail that has the data events of the bucket"
)


@dataclass(frozen=True)
class Event:
    """One request, as CloudTrail has recorded it; texts from outside, made clean."""

    time: str
    name: str
    source: str
    account: str
    caller: str
    source_ip: str
    endpoint_id: str
    error: str
    event_id: str
    request_id: str
    bucket: str
    key: str

    @classmethod
    def of(cls, record: Any) -> Event:
        """From the JSON that CloudTrail writes; what is missing there is empty."""
        record = _dictionary(record)
        identity = _dictionary(record.get("userIdentity"))
        asked = _dictionary(record.get("requestParameters"))
        texts = {
            "time": record.get("eventTime"),
            "name": record.get("eventName"),
            "source": record.get("eventSource"),
            "account": record.get("recipientAccountId"),
            "caller": identity.get("arn") or identity.get("invokedBy") or identity.get("type"),
            "source_ip": record.get("sourceIPAddress"),
            "endpoint_id": record.get("vpcEndpointId"),
            "error": record.get("errorCode"),
            "event_id": record.get("eventID"),
            "request_id": record.get("requestID"),
            "bucket": asked.get("bucketName"),
            "key": asked.get("key"),
        }
        return cls(**{name: cleaned(str(text or "")) for name, text in texts.items()})

    def facts(self) -> dict[str, str]:
        """What a change folder keeps of it."""
        kept = asdict(self)
        for name in ("request_id", "bucket", "key"):
            del kept[name]
        return kept

    @property
    def moment(self) -> datetime | None:
        """When it was; None if that is not told as it should be."""
        try:
            return datetime.fromisoformat(self.time).astimezone(UTC)
        except ValueError:
            return None


def looked_up(
    account: aws.Account, name: str, begin: datetime, end: datetime, wanted: Collection[str]
) -> list[Event]:
    """The management events of one name; read no further once all `wanted` request ids are there.

    Without `wanted`, all of them. IAM action: cloudtrail:LookupEvents.
    """
    begin = max(begin, datetime.now(UTC) - KEPT)
    if begin >= end:
        return []
    found: list[Event] = []
    with aws.attempt(
        f"look up {name} in CloudTrail", "grant cloudtrail:LookupEvents to who corroborates"
    ):
        for page in account.cloudtrail.get_paginator("lookup_events").paginate(
            LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": name}],
            StartTime=begin,
            EndTime=end,
        ):
            found += [Event.of(_parsed(one.get("CloudTrailEvent", ""))) for one in page["Events"]]
            if wanted and {*wanted} <= {event.request_id for event in found}:
                break
    return found


def logged(account: aws.Account, logs: str, days: Iterable[str]) -> tuple[list[Event], int]:
    """The events of log files and how many files that were; of those in S3, only of some days.

    `days` as in the names of the files: 2026/11/24. IAM actions: s3:ListBucket, s3:GetObject.
    """
    named = IN_S3.fullmatch(logs)
    files = list(_in_s3(account, named[1], named[2], days) if named else _in_folder(Path(logs)))
    return [event for name, content in files for event in _events(name, content)], len(files)


def _in_folder(folder: Path) -> Iterator[tuple[str, bytes]]:
    if not folder.is_dir():
        raise BadInput(
            "Could not read the log files of CloudTrail.", f"There is no folder {folder}.", REMEDY
        )
    for path in sorted(folder.rglob("*")):
        if path.name.endswith((".json", ".json.gz")) and path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def _in_s3(
    account: aws.Account, bucket: str, prefix: str, days: Iterable[str]
) -> Iterator[tuple[str, bytes]]:
    remedy = "grant s3:ListBucket and s3:GetObject on the bucket of the trail to who corroborates"
    if "AWSLogs" not in prefix:  # as CloudTrail puts them, where the trail is of one account
        prefix = f"{prefix.rstrip('/')}/AWSLogs/{account.id}/CloudTrail/{account.region}"
    with aws.attempt(f"read the log files of CloudTrail in s3://{bucket}/{prefix}", remedy):
        for day in days:
            under = f"{prefix}/{day}/".lstrip("/")
            listed = account.s3.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=under
            )
            for key in [one["Key"] for page in listed for one in page.get("Contents", [])]:
                if key.endswith((".json", ".json.gz")):
                    yield key, account.s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def _events(name: str, content: bytes) -> Iterator[Event]:
    try:
        text = gzip.decompress(content) if name.endswith(".gz") else content
        found = json.loads(text)
    except (OSError, EOFError, ValueError) as error:
        raise BadInput(
            "Could not read the log files of CloudTrail.",
            f"{name} is none: {error!r}.",
            "download it again, or take it out of the folder",
        ) from error
    # A digest, which CloudTrail can keep beside, has no records.
    records = _dictionary(found).get("Records")
    yield from map(Event.of, records if isinstance(records, list) else [])


def _dictionary(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None

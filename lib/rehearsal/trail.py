"""CloudTrail: keeps what was asked of the account, and tells it by LookupEvents and log files."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import groupby
from typing import Any

from moto.s3.models import s3_backends

from rehearsal.call import Answer, Call, Refused
from rehearsal.events import Event, event

_KEPT, _LARGEST_PAGE = timedelta(days=90), 50


class Trail:
    """What was asked of the account; `delay` is how many seconds pass until it is to be seen.

    Management events are found by LookupEvents, data events in log files in the `bucket`, which
    come when somebody lists it; the trail leaves out what is asked of that bucket.
    """

    def __init__(self, account_id: str) -> None:
        self._account_id = account_id
        self.bucket, self.delay = "", 0.0
        self._events: list[Event] = []
        self._undelivered: list[Event] = []

    def begin(self, bucket: str) -> None:
        """Forgets what was asked so far, and delivers what comes to a bucket."""
        self.bucket = bucket
        self._events.clear()
        self._undelivered.clear()

    def note(self, call: Call, status: int, code: str | None, message: str, size: int) -> None:
        """Keeps one request that AWS got and knows the caller of, however it was answered."""
        never_came = status >= 300 and code == ""
        if not call.operation or never_came or status == 501:
            return
        found = event(call, self._account_id, status, code, message, size)
        if not found.is_data:
            self._events.append(found)
        elif call.bucket != self.bucket:
            self._undelivered.append(found)

    def deliver(self) -> None:
        """Puts what is due of the data events into the bucket, a file for each Region and day."""
        late = [event for event in self._undelivered if not self._is_due(event)]
        due = [event for event in self._undelivered if self._is_due(event)]
        self._undelivered = late

        def place(event: Event) -> tuple[str, str]:
            return event.record["awsRegion"], event.time.strftime("%Y/%m/%d")

        for (region, day), events in groupby(sorted(due, key=place), place):
            records = [event.record for event in events]
            name = f"{self._account_id}_CloudTrail_{region}_{_compact(datetime.now(UTC))}"
            unique = sha256("".join(r["eventID"] for r in records).encode()).hexdigest()[:16]
            s3_backends[self._account_id]["aws"].put_object(
                self.bucket,
                f"AWSLogs/{self._account_id}/CloudTrail/{region}/{day}/{name}_{unique}.json.gz",
                gzip.compress(json.dumps({"Records": records}).encode()),
            )

    def answer(self, call: Call) -> Answer:
        """The answer to a call of the service, in its own form; raises Refused."""
        if call.operation != "LookupEvents":
            raise NotImplementedError(f"{call.operation} is not implemented.")
        found, asked = self._found(call), call.parameters
        size, begin = _page(asked)
        page: dict[str, Any] = {"Events": [one.shown() for one in found[begin : begin + size]]}
        if len(found) > begin + size:
            page["NextToken"] = str(begin + size)
        return 200, [("Content-Type", "application/x-amz-json-1.1")], json.dumps(page).encode()

    def _found(self, call: Call) -> list[Event]:
        """The management events that a LookupEvents is about, the last one first."""
        asked: dict[str, Any] = {**call.parameters}
        attributes, now = asked.get("LookupAttributes", []), datetime.now(UTC)
        begin = max(_time(asked.get("StartTime"), now - _KEPT), now - _KEPT)
        end = _time(asked.get("EndTime"), now)
        if end < max(begin, _time(asked.get("StartTime"), end)):
            message = "The start is after the end, or all of it too long ago."
            raise Refused(400, "InvalidTimeRangeException", message)
        if len(attributes) > 1:
            message = "Only one lookup attribute can be given."
            raise Refused(400, "InvalidLookupAttributesException", message)
        found = [
            event
            for event in self._events
            if self._is_due(event)
            and event.record["awsRegion"] == call.region
            and begin.replace(microsecond=0) <= event.time <= end
            and all(one["AttributeValue"] in _values(event, one) for one in attributes)
        ]
        return sorted(reversed(found), key=lambda event: event.time, reverse=True)

    def _is_due(self, event: Event) -> bool:
        return event.time + timedelta(seconds=self.delay) <= datetime.now(UTC)


def _values(event: Event, attribute: dict[str, str]) -> set[str]:
    if attribute["AttributeKey"] not in event.attributes:
        message = f"{attribute['AttributeKey']} is no lookup attribute."
        raise Refused(400, "InvalidLookupAttributesException", message)
    return event.attributes[attribute["AttributeKey"]]


def _page(asked: Any) -> tuple[int, int]:
    """How many events are asked for, and after how many."""
    size, token = asked.get("MaxResults", _LARGEST_PAGE), asked.get("NextToken", "0")
    if not 1 <= size <= _LARGEST_PAGE:
        message = f"MaxResults is from 1 to {_LARGEST_PAGE}."
        raise Refused(400, "InvalidMaxResultsException", message)
    if not token.isdecimal():
        raise Refused(400, "InvalidNextTokenException", "The token is none that was given out.")
    return size, int(token)


def _time(seconds: float | None, default: datetime) -> datetime:
    return default if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _compact(time: datetime) -> str:
    return time.strftime("%Y%m%dT%H%MZ")

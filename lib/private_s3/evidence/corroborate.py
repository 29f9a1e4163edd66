"""Holds the journal against what the account itself has recorded: CloudTrail."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

from private_s3 import aws
from private_s3.clean import cleaned
from private_s3.errors import CheckFailed
from private_s3.evidence.corroboration import (
    NOT_FOUND,
    NOT_LOOKED,
    NOT_YET,
    Corroboration,
    Entry,
)
from private_s3.evidence.story import Story
from private_s3.evidence.trail import Event, logged, looked_up
from private_s3.folder import now, write_json
from private_s3.journal import ANSWERS, NO_CALLS, Journal, Line
from private_s3.preflight.dry_run import PERMITTED
from private_s3.probes import CHECK_PREFIX
from private_s3.record import LEFT

CORROBORATION = "corroboration.json"
# Requests to objects; CloudTrail has them in log files only, and only if a trail asks for them.
DATA_EVENTS = frozenset({"PutObject", "DeleteObject"})
AROUND, NEAR = timedelta(minutes=15), timedelta(minutes=5)
LATE = timedelta(hours=1)  # after which an event is not to be waited for
SEATED = re.compile(r"arn:aws[a-z-]*:(?:iam|sts)::(\d+):(?:role|assumed-role)/(.+)")


def corroborate(folder: Path, account: aws.Account, logs: str = "") -> Corroboration:
    """What CloudTrail has recorded of the change, kept as `corroboration.json`.

    `logs` are the log files of a trail: a folder, or s3://BUCKET/PREFIX; empty: none, and then
    nothing is known of requests to objects. What an earlier run found is never lost.
    IAM action: cloudtrail:LookupEvents.
    """
    story = Story(folder)
    before, writes = _earlier(folder), _writes(Journal(folder).lines())
    events, files = logged(account, logs, _days(writes)) if logs else ([], None)
    events += _management_events(account, writes)
    matches = _matches(writes, {event.event_id: event for event in events}.values())
    kept = {(one["line"], one["request_id"]): one for one in before["writes"] if one["found"]}
    entries = []
    for write in writes:
        entry = _entry(write, matches.get(write.line), account.id, asked=bool(logs))
        if not entry["found"]:
            entry = kept.get((write.line, write.request_id), entry)
        entries.append(entry)
    claimed = {event.event_id for event, _ in matches.values()}
    probes = {one["event_id"]: one for one in before["probes"]}
    probes |= _probes(story, (event for event in events if event.event_id not in claimed))
    ordered = sorted(probes.values(), key=lambda one: (one["time"], one["event_id"]))
    done = Corroboration(now(), entries, ordered, files)
    told = {"looked": done.looked, "writes": done.writes, "probes": done.probes}
    write_json(folder / CORROBORATION, cleaned(told))
    return done


@dataclass(frozen=True)
class _Write:
    """One write of the journal: the line that began it, and the one that tells how it ended."""

    begun: Line
    ended: Line

    @property
    def line(self) -> int:
        return int(self.begun["number"])

    @property
    def operation(self) -> str:
        return str(self.begun["operation"])

    @property
    def request_id(self) -> str:
        return str(self.ended.get("request_id") or "")

    @cached_property
    def time(self) -> datetime:
        return datetime.fromisoformat(self.begun["time"])

    @property
    def is_data(self) -> bool:
        return self.operation in DATA_EVENTS


def _writes(lines: Iterable[Line]) -> list[_Write]:
    begun: dict[int, Line] = {}
    ended: dict[int, Line] = {}
    for line in lines:
        if line.get("operation") in NO_CALLS:
            continue
        if line["event"] == "intent":
            begun[line["number"]] = line
        # What AWS has answered stands, whoever has looked before.
        elif "intent" in line and ended.get(line["intent"], {}).get("event") not in ANSWERS:
            ended[line["intent"]] = line
    return [_Write(line, ended.get(number, {})) for number, line in begun.items()]


def _management_events(account: aws.Account, writes: list[_Write]) -> list[Event]:
    """One lookup for each kind of write, whatever the number of writes."""
    events: list[Event] = []
    for name in dict.fromkeys(write.operation for write in writes if not write.is_data):
        ones = [write for write in writes if write.operation == name]
        times, ids = [one.time for one in ones], [one.request_id for one in ones]
        wanted = ids if all(ids) else ()
        events += looked_up(account, name, min(times) - AROUND, max(times) + AROUND, wanted)
    return events


def _days(writes: list[_Write]) -> list[str]:
    """Under which a trail files the events of the writes; the last of a day may come the next."""
    moments = [write.time + after for write in writes for after in (-AROUND, timedelta(0), LATE)]
    return sorted({moment.strftime("%Y/%m/%d") for moment in moments})


def _matches(writes: list[_Write], events: Iterable[Event]) -> dict[int, tuple[Event, str]]:
    """By line, the event and how it was found; by time only where AWS gave no request id."""
    left = {event.event_id: event for event in events}
    by_id = {event.request_id: event for event in left.values() if event.request_id}
    found: dict[int, tuple[Event, str]] = {}
    for write in writes:
        if write.request_id in by_id:
            event = by_id[write.request_id]
            found[write.line] = event, "request id"
            left.pop(event.event_id, None)
    for write in writes:
        if not write.request_id and (near := _nearest(write, left.values())):
            found[write.line] = left.pop(near.event_id), "time"
    return found


def _nearest(write: _Write, events: Iterable[Event]) -> Event | None:
    """The event of the same call by the same caller that is nearest in time, within minutes."""
    distances = [
        (abs(event.moment - write.time), event.event_id, event)
        for event in events
        if event.name == write.operation
        and not event.error.endswith(PERMITTED)  # a dry run is no write
        and event.moment
        and _same_caller(write.begun.get("caller", ""), event.caller)
    ]
    distance, _, nearest = min(distances, default=(NEAR, "", None))
    return nearest if distance <= NEAR else None


def _entry(
    write: _Write, match: tuple[Event, str] | None, account_id: str, *, asked: bool
) -> Entry:
    entry: Entry = {
        "line": write.line,
        "time": write.begun["time"],
        "operation": write.operation,
        "request_id": write.request_id,
        "found": match is not None,
    }
    if not match:
        if write.is_data and not asked:
            return {**entry, "answer": NOT_LOOKED}
        young = datetime.fromisoformat(now()) - write.time < LATE
        return {**entry, "answer": NOT_YET if young else NOT_FOUND}
    event, how = match
    entry |= {"matched by": how, "event": event.facts()}
    if contradicted := "; ".join(_contradictions(write, event, account_id)):
        entry["contradiction"] = contradicted
    return entry


def _contradictions(write: _Write, event: Event, account_id: str) -> Iterator[str]:
    caller, ended = write.begun.get("caller", ""), write.ended.get("event")
    if event.name != write.operation:
        yield f"the account has recorded {event.name} under this request id"
    if event.account != account_id:
        yield f"it is recorded in account {event.account or '(none)'}, not in {account_id}"
    if caller and not _same_caller(caller, event.caller):
        yield f"the journal says {caller}, the account {event.caller or 'nobody'}"
    if ended == "outcome" and event.error:
        yield f"the journal says that it was done, the account that it was refused: {event.error}"
    # The refusal of DeleteVpcEndpoints stands within an answer that is none.
    if ended == "refused" and not event.error and write.operation != "DeleteVpcEndpoints":
        yield "the journal says that it was refused, the account that it was done"


def _same_caller(told: str, recorded: str) -> bool:
    """Whether both are the same; of a role that was assumed, the journal may have only the role."""
    if told == recorded:
        return True
    role, session = SEATED.fullmatch(told), SEATED.fullmatch(recorded)
    if not (role and session and ":role/" in told and ":assumed-role/" in recorded):
        return False
    return (role[1], role[2].rpartition("/")[2]) == (session[1], session[2].partition("/")[0])


def _probes(story: Story, events: Iterable[Event]) -> dict[str, Entry]:
    """The requests to objects of this change's checks, by event id."""
    ours, bucket = _endpoints(story), str(story.parameters.get("bucket", ""))
    prefix = f"{CHECK_PREFIX}/{story.change_id}/"
    return {
        event.event_id: {
            "operation": event.name,
            "key": event.key,
            "time": event.time,
            "caller": event.caller,
            "source_ip": event.source_ip,
            "endpoint_id": event.endpoint_id,
            "endpoint_is_ours": event.endpoint_id in ours,
            "error": event.error,
            "event_id": event.event_id,
        }
        for event in events
        if event.bucket == bucket and event.key.startswith(prefix)
    }


def _endpoints(story: Story) -> set[str]:
    """The endpoints that the change has made, and those that S3 was reached by when it was done."""
    found = {line.get("values", {}).get("endpoint_id") for line in story.lines}
    for path in (story.folder / LEFT).glob("*.json"):
        with suppress(OSError, ValueError, LookupError, AttributeError, TypeError):
            snapshot = json.loads(path.read_bytes())["snapshot"]
            tables = [snapshot[name] for name in snapshot if name.startswith("route-table/")]
            targets = [str(target).split()[0] for routes in tables for target in routes.values()]
            found |= {target for target in targets if target.startswith("vpce-")}
    return {str(endpoint) for endpoint in found if endpoint}


def _earlier(folder: Path) -> dict[str, list[Entry]]:
    """What an earlier run has found."""
    path = folder / CORROBORATION
    if not path.exists():
        return {"writes": [], "probes": []}
    try:
        found = json.loads(path.read_bytes())
        for one in found["writes"]:
            one["line"], one["time"], one["operation"], one["request_id"]
            _ = (one["event"]["error"], one["matched by"]) if one["found"] else one["answer"]
        for one in found["probes"]:
            one["event_id"], one["time"], one["endpoint_is_ours"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CheckFailed(
            f"Could not add to what CloudTrail has told of {folder.name}.",
            f"{CORROBORATION} is not what an earlier run has written: {error!r}.",
            "put it back from a copy, or move it away: then all is looked up anew",
        ) from error
    return {"writes": found["writes"], "probes": found["probes"]}

"""What CloudTrail has told of a change, as rows and sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Entry = dict[str, Any]
NOT_YET, NOT_FOUND = "not (yet) found", "not found"
NOT_LOOKED = "not looked for, without log files"
MEANINGS = {
    NOT_YET: "CloudTrail shows an event after some 15 minutes; run this again later.",
    NOT_FOUND: "CloudTrail looks up events of 90 days and one Region, and a trail has data events "
    "only of the buckets that it was told; if neither is the reason, the call did not reach this "
    "account as the journal tells it.",
    NOT_LOOKED: "Requests to objects are data events: give --logs, if a trail has them.",
}


@dataclass(frozen=True)
class Corroboration:
    """Each write of the journal with what CloudTrail has recorded of it, and the checks' requests.

    `files` is how many log files were read, None if none were given.
    """

    looked: str
    writes: list[Entry]
    probes: list[Entry]
    files: int | None = None

    COLUMNS = ("line", "time", "operation", "request id", "recorded")

    def rows(self) -> list[tuple[str, ...]]:
        """One per write: its line in the journal, and what the account has recorded of it."""
        return [
            (
                str(one["line"]),
                one["time"],
                one["operation"],
                one["request_id"] or "-",
                _recorded(one),
            )
            for one in self.writes
        ]

    @property
    def contradictions(self) -> list[str]:
        """What the account has recorded otherwise than the journal tells it."""
        return [
            f"Line {one['line']} of the journal, {one['operation']}: {one['contradiction']}"
            for one in self.writes
            if "contradiction" in one
        ]

    def sentences(self) -> list[str]:
        """What was found, and what it means that something was not."""
        return [*self.contradictions, *self._sentences()]

    def _sentences(self) -> Iterator[str]:
        found = sum(one["found"] for one in self.writes)
        yield f"CloudTrail has recorded {found} of {len(self.writes)} writes of the journal."
        for answer, meaning in MEANINGS.items():
            lines = [str(one["line"]) for one in self.writes if one.get("answer") == answer]
            if lines:
                several = f"Lines {', '.join(lines)} are" if lines[1:] else f"Line {lines[0]} is"
                yield f"{several} {answer}. {meaning}"
        if self.files is not None:
            yield f"Log files read: {self.files}."
        if self.probes:
            ours = sum(one["endpoint_is_ours"] for one in self.probes)
            yield (
                f"Of {len(self.probes)} requests to the objects of the checks {ours} came through "
                "the endpoint of this change."
            )


def _recorded(entry: Entry) -> str:
    if not entry["found"]:
        return str(entry["answer"])
    event = entry["event"]
    how = "" if entry["matched by"] == "request id" else " (found by its time)"
    error = f", {event['error']}" if event["error"] else ""
    told = f"{event['name']} by {event['caller']} from {event['source_ip']}{error}{how}"
    contradicted = entry.get("contradiction")
    return f"{told}; contradiction: {contradicted}" if contradicted else told

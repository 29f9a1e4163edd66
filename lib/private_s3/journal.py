"""The journal of a change: who approved what, and every write to AWS, before it and after it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal

from private_s3.clean import cleaned
from private_s3.errors import CheckFailed
from private_s3.folder import make_folder

Line = dict[str, Any]
# What is known of a write: "unknown" until its answer, or a reading of the account, tells.
Fate = Literal["done", "not done", "unknown"]
Key = tuple[str, str]  # resource and field, as in a plan
ANSWERS = ("outcome", "refused")
# What is bracketed like a write to AWS and is no call to it: there is no request id of it, and
# CloudTrail has not heard of it.
NO_CALLS = frozenset({"ssh"})


@dataclass
class Outcome:
    """What came of a write: the request id that AWS gave, and values worth keeping."""

    request_id: str = ""
    values: dict[str, Any] = field(default_factory=dict)

    def answered(self, answer: Mapping[str, Any], **values: Any) -> None:
        """Takes the request id from a boto3 answer."""
        self.request_id = answer["ResponseMetadata"].get("RequestId", "")
        self.values = values


@dataclass(frozen=True)
class Write:
    """One write to AWS, put together from the lines about it; `changes` is what it was for."""

    number: int
    time: str
    step: str
    plan: str
    operation: str
    request: Mapping[str, Any]
    changes: tuple[Key, ...]
    fate: Fate
    values: Mapping[str, Any]


class Journal:
    """`journal.jsonl` of a change folder: one JSON object to a line, added to and never changed.

    Each line carries the hash of the one before; `journal.head` has the number of lines and the
    hash of the last, so that a line that was cut off, changed or moved is found. Who can write
    both files anew can hide that too: keep a copy elsewhere.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path, self._head = folder / "journal.jsonl", folder / "journal.head"

    def lines(self) -> list[Line]:
        """Every line, verified; raises CheckFailed that names what is wrong with the journal."""
        begun = self._head.exists()
        if not self._path.exists():
            return self._verified(b"")[0] if begun else []
        with self._path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH)  # between a line and its head, the two do not fit
            return self._verified(file.read())[0]

    def writes(self) -> list[Write]:
        """Every write that was begun, in order, and what is known of it."""
        lines = self.lines()
        about: dict[int, Line] = {}
        for line in lines:
            # What AWS has answered stands, whoever has looked before and notes it only now.
            if "intent" in line and about.get(line["intent"], {}).get("event") not in ANSWERS:
                about[line["intent"]] = line
        return [_write(line, about.get(line["number"])) for line in lines if _begins(line)]

    def append(self, event: str, **details: Any) -> int:
        """Adds a line, clean, that is on the disk when this returns; gives its number."""
        make_folder(self._folder)
        with self._path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            text = file.read()
            if not text and not self._head.exists():
                self._save_head(0, _hash(b""))
            lines, torn = self._verified(text)
            if torn:
                # A line that a crash cut short is no line; the next one keeps what there is of it.
                file.truncate(len(text) - len(torn))
                details["torn"] = torn.decode(errors="replace")
            whole = text.split(b"\n")[:-1]
            number = len(lines) + 1
            line = {
                "number": number,
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "event": event,
                **cleaned(details),
                "previous": _hash(whole[-1] if whole else b""),
            }
            written = json.dumps(line, sort_keys=True).encode()
            file.write(written + b"\n")
            _to_disk(file)
            self._save_head(number, _hash(written))
        return number

    def _verified(self, text: bytes) -> tuple[list[Line], bytes]:
        """The lines, and the beginning of one that was never finished."""
        *whole, torn = text.split(b"\n")
        faults = [*_chain_faults(whole), *self._head_faults(whole)]
        if faults:
            raise CheckFailed(
                f"Could not trust the journal of {self._folder.name}; nothing was written.",
                "; ".join(faults),
                "put the whole change folder back from a copy; without one, look at the account "
                "by hand and begin a change with a new change_id",
            )
        return [json.loads(line) for line in whole], torn

    def _head_faults(self, whole: Sequence[bytes]) -> Iterator[str]:
        if not whole and not self._head.exists():
            return  # not yet begun
        try:
            head = json.loads(self._head.read_bytes())
            count, last = int(head["lines"]), str(head["hash"])
            if count < 0:
                raise ValueError(count)
        except (OSError, ValueError, KeyError, TypeError):
            yield f"{self._head.name} is missing or unreadable"
            return
        if len(whole) < count:
            yield f"{count - len(whole)} of {count} lines are missing at the end"
        # A crash between a line and its head leaves the head one line behind, never more.
        elif len(whole) > count + 1:
            yield f"{len(whole) - count} lines follow the last that {self._head.name} knows"
        elif _hash(whole[count - 1] if count else b"") != last:
            yield f"line {count} is not the one that was written"

    def _save_head(self, lines: int, last: str) -> None:
        draft = self._head.with_name(f".{self._head.name}.{os.getpid()}")
        with draft.open("wb") as file:
            file.write(json.dumps({"lines": lines, "hash": last}).encode() + b"\n")
            _to_disk(file)
        draft.replace(self._head)


@contextmanager
def lock(folder: Path, name: str, doing: str) -> Iterator[None]:
    """Holds one of the locks of a change folder; raises CheckFailed if another process does.

    The operating system takes it from a process that ends, however it ends.
    """
    make_folder(folder)
    with (folder / name).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise CheckFailed(
                f"Could not {doing} of {folder.name}: another run of this change is at work.",
                f"It is {file.read().strip() or 'a process that just began'}.",
                "wait until it has ended, then run this again; what it did will not be done twice",
            ) from error
        file.truncate(0)
        file.write(
            f"process {os.getpid()}, since {datetime.now(UTC).isoformat(timespec='seconds')}"
        )
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def _begins(line: Line) -> bool:
    return bool(line["event"] == "intent")


def _write(line: Line, about: Line | None) -> Write:
    fates: dict[str, Fate] = {"outcome": "done", "refused": "not done", "unanswered": "unknown"}
    fate: Fate = "unknown"
    if about:
        fate = about["found"] if about["event"] == "settled" else fates[about["event"]]
    return Write(
        line["number"],
        line["time"],
        line["step"],
        line["plan"],
        line["operation"],
        line["request"],
        tuple((resource, name) for resource, name in line["changes"]),
        fate,
        (about or {}).get("values", {}),
    )


def _chain_faults(whole: Sequence[bytes]) -> Iterator[str]:
    previous = b""
    for number, text in enumerate(whole, 1):
        try:
            line = json.loads(text)
            holds = line["number"] == number and line["previous"] == _hash(previous)
        except (ValueError, KeyError, TypeError):
            holds = False
        if not holds:
            yield f"line {number} does not follow line {number - 1}: one of them was changed"
            return
        previous = text


def _hash(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _to_disk(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())

"""Tells what drifted between an access matrix that was kept, and one of now."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from private_s3.access import COLUMNS, DATA, Cell
from private_s3.callers import OUTSIDE, SERVICE, Caller
from private_s3.drift import Finding, Verdict
from private_s3.matrix import Matrix, in_words

NAME = "who can do what"
IN_THE_VPC = "in the VPC"
ABOVE = "see to the drift above; who can do what follows from it"
REMEDY = (
    "look who changed what decides it now; notebook 40 shows the whole matrix, and if this is to "
    "stay, plan and apply again"
)
NOT_KNOWN = "notebook 40 shows on what it depends: what the operator may not read, or AWS not tell"
SHOWN = 3  # of the reasons for one kind of difference
CLOSED = {"denied", "no way"}
# How a cell names what it depends on when nobody's policies could be read; see callers.
UNREAD = "the policies of "
Key = tuple[str, str]  # who, by what never changes, and where


class Known(NamedTuple):
    """What is known of one caller: the name for people, the object spoken of, the cells."""

    name: str
    object: str
    cells: Mapping[str, Cell]

    def columns(self, state: str, among: Iterable[str] = COLUMNS) -> list[str]:
        """The columns that have a state."""
        return [column for column in among if self.cells[column].state == state]


@dataclass(frozen=True)
class AccessDrift:
    """Callers as they were left, and as they are.

    `follows`: other drift was found already. `unread`: why the account's roles cannot be read.
    """

    before: Mapping[Key, Known]
    now: Mapping[Key, Known]
    follows: bool
    unread: str

    def findings(self) -> list[Finding]:
        """One for each cause of a difference, however many callers it is about."""
        same = Finding(NAME, "as left", "", f"{len(self.before)} callers, cell by cell")
        return [*self._changed(), *self._new(), *self._gone()] or [same]

    def _changed(self) -> Iterator[Finding]:
        whose: dict[tuple[Verdict, str, str], dict[str, list[str]]] = defaultdict(dict)
        why: dict[tuple[Verdict, str, str], dict[str, None]] = defaultdict(dict)
        for key in (key for key in self.before if key in self.now):
            for column in COLUMNS:
                was, now = (one[key].cells[column] for one in (self.before, self.now))
                if was.state == now.state or {was.state, now.state} == CLOSED:
                    continue
                unknown = "depends" in (was.state, now.state)
                what: tuple[Verdict, str, str]
                what = "not known" if unknown else "drift", was.state, now.state
                whose[what].setdefault(self.now[key].name, []).append(column)
                why[what][now.reason] = None
        for verdict, before, after in sorted(whose):
            what = verdict, before, after
            reasons = [*why[what]]
            more = f" and {len(reasons) - SHOWN} more" if len(reasons) > SHOWN else ""
            text = f"{after}: {'; '.join(reasons[:SHOWN])}{more}"
            yield self._finding(NAME, whose[what], verdict, before, text)

    def _new(self) -> Iterator[Finding]:
        verdicts: dict[Verdict, dict[str, list[str]]] = defaultdict(dict)
        for key in (key for key in self.now if key not in self.before):
            known = self.now[key]
            open_, unknown = known.columns("allowed"), known.columns("depends", DATA)
            if known.columns("allowed", DATA):
                verdicts["not known" if self._blind_then else "drift"][known.name] = open_
            elif unknown:
                verdicts["not known"][known.name] = unknown
            elif open_:
                verdicts["not ours"][known.name] = open_
        for verdict, whose in verdicts.items():
            yield self._finding("new callers", whose, verdict, "-", "there")

    def _gone(self) -> Iterator[Finding]:
        gone = [key for key in self.before if key not in self.now]
        able = {self.before[key].name: self.before[key].columns("allowed") for key in gone}
        if whose := {name: columns for name, columns in able.items() if columns}:
            verdict: Verdict = "not known" if self.unread else "not ours"
            yield self._finding("callers", whose, verdict, "there", self.unread or "gone")

    @property
    def _blind_then(self) -> bool:
        """Whether the account's roles could not be read when the matrix was kept."""
        cells = (cell for known in self.before.values() for cell in known.cells.values())
        return any(UNREAD in cell.reason for cell in cells)

    def _finding(
        self, what: str, whose: Mapping[str, list[str]], verdict: Verdict, was: str, now: str
    ) -> Finding:
        remedies = {"drift": ABOVE if self.follows else REMEDY, "not known": NOT_KNOWN}
        name = f"{what}: {in_words(whose)}"
        return Finding(name, verdict, was, now, remedies.get(verdict, ""))


def between(
    rows: Iterable[Mapping[str, Any]],
    matrix: Matrix,
    told: Iterable[str],
    *,
    follows: bool,
    unread: str,
) -> AccessDrift:
    """The rows that were kept beside the present state of a matrix.

    `told` are ids of instances of which something was said that explains what became of them.
    """
    before: dict[Key, Known] = {}
    for kept in rows:
        place = kept["where"] if kept["where"] in (OUTSIDE, SERVICE) else IN_THE_VPC
        cells = {column: Cell(**cell) for column, cell in kept["after"].items()}
        for who in kept["who"].split(", "):
            before.setdefault(_key(who, place), Known(f"{who} {place}", kept["key"], cells))

    now: dict[Key, Known] = {}
    for caller in matrix.callers:
        # The same object as then: another one, of which policies speak now, tells nothing of it.
        for who, key in _keys(caller):
            if key in before:
                object_ = before[key].object
                cells = {c: matrix.before.cell(caller, c, object_) for c in COLUMNS}
                now.setdefault(key, Known(f"{who} {key[1]}", object_, cells))
    for caller, row in matrix.by_caller:
        for who, key in _keys(caller):
            # Copied keys are of some instance of the change; they are nobody new.
            if key not in before and caller.part != "copied":
                now.setdefault(key, Known(f"{who} {key[1]}", row.key, row.before))

    # The keys that are copied stand for their role; it has a row of its own only if a policy
    # names it, and whether one does is not for the matrix to say.
    copied = (c.principal.arn.rsplit("/", 1)[-1] for c in matrix.callers if c.part == "copied")
    doubled = {(f"role {name}", OUTSIDE) for name in copied} & (before.keys() ^ now.keys())

    def untold(known: Mapping[Key, Known]) -> dict[Key, Known]:
        return {
            key: one
            for key, one in known.items()
            if key not in doubled and not any(id_ in key[0] for id_ in told)
        }

    return AccessDrift(untold(before), untold(now), follows, unread)


def _keys(caller: Caller) -> Iterator[tuple[str, Key]]:
    """Everybody for whom the caller stands: instances that are alike go together in a matrix."""
    place = caller.place or IN_THE_VPC
    return ((who, _key(who, place)) for who in caller.who.split(", "))


def _key(who: str, place: str) -> Key:
    """The same for the same caller, whoever runs this, and whatever an instance is named now."""
    who = re.sub(r"^you \((user )?(.+)\)$", _by_name, who.removesuffix(" (does not exist)"))
    return re.sub(r"^(keys copied from )?(?:.* )?(i-[0-9a-f]+)$", r"\1\2", who), place


def _by_name(operator: re.Match[str]) -> str:
    """The name under which the matrix has an operator when somebody else runs this."""
    return f"{operator[1] or 'role '}{operator[2]}"

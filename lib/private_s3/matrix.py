"""Makes the access matrix: who can do what with the bucket from where, before and after."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from private_s3.access import COLUMNS, DATA, Row, Situation
from private_s3.callers import Caller
from private_s3.tables import table

if TYPE_CHECKING:
    import pandas as pd

    from private_s3.record import Check

SHOWN_NAMES = 3  # of those who fare alike
CAUSE_COLUMNS = ("decided_by", "before", "after", "whose_requests")


@dataclass(frozen=True)
class Matrix:
    """Every caller's requests, before and after."""

    before: Situation
    after: Situation
    callers: Sequence[Caller]
    key: str  # of the object that is spoken of, where the policies single out no other
    unread: Sequence[Check] = ()  # what could not be read

    @cached_property
    def by_caller(self) -> list[tuple[Caller, Row]]:
        """A row for each caller who matters."""
        rows = [(caller, self._row(caller)) for caller in self.callers]
        return [(caller, row) for caller, row in rows if _matters(caller, row)]

    @property
    def rows(self) -> list[Row]:
        """The rows to be shown: others of the account who fare alike are one."""
        alike: dict[tuple[str, ...], list[Row]] = {}
        for caller, row in self.by_caller:
            if caller.part == "incidental":
                key = (row.where, *(_shown(row, column) for column in COLUMNS))
                alike.setdefault(key, []).append(row)
        rows = [row for caller, row in self.by_caller if caller.part != "incidental"]
        return rows + [replace(group[0], who=_names(group)) for group in alike.values()]

    def table(self) -> pd.DataFrame:
        """One row per caller; what changes is marked by an arrow."""
        rows = [
            (row.who, row.where, *(_shown(row, column) for column in COLUMNS)) for row in self.rows
        ]
        return table(rows, ("who", "where", *COLUMNS))

    def causes(self) -> pd.DataFrame:
        """What decides each cell that is denied, depends or changes: one row per cause."""
        causes: dict[tuple[str, ...], list[str]] = {}
        for row in self.rows:
            for cause, columns in _causes(row).items():
                causes.setdefault(cause, []).append(f"{row.name} ({', '.join(columns)})")
        return table([(*cause, "; ".join(whose)) for cause, whose in causes.items()], CAUSE_COLUMNS)

    @property
    def losers(self) -> dict[str, list[str]]:
        """Who loses which requests by the change, as far as anybody knows."""
        return {row.name: row.loses for row in self.rows if row.loses}

    @property
    def others(self) -> dict[str, list[str]]:
        """Who but the instances of the change gets at the data in the end, by which requests."""
        ours = {row.name for caller, row in self.by_caller if caller.part == "target"}
        return {row.name: row.keeps for row in self.rows if row.keeps and row.name not in ours}

    def consequences(self) -> pd.DataFrame:
        """Who loses what, who besides the instances gets at the data, who can repair the policy."""
        able = [row.name for row in self.rows if row.after["administer"].state == "allowed"]
        rows = (
            ("loses by the change", in_words(self.losers)),
            ("gets at the data besides the instances", in_words(self.others)),
            ("can repair the policy", "; ".join(able) or "nobody"),
        )
        return table(rows, ("after the change", "who"))

    def facts(self) -> list[dict[str, Any]]:
        """The row of every caller who matters, for the record; those who fare alike one by one."""
        return [asdict(row) for _, row in self.by_caller]

    def _row(self, caller: Caller) -> Row:
        key = self._object(caller)
        before, after = (
            {column: situation.cell(caller, column, key) for column in COLUMNS}
            for situation in (self.before, self.after)
        )
        came = self.before.where(caller)
        return Row(caller.who, self.after.where(caller), before, after, key, came)

    def _object(self, caller: Caller) -> str:
        """An object that the caller may do something with, if there is one."""
        for key in dict.fromkeys((self.key, *_objects(caller, self.before.policy))):
            cells = (self.before.cell(caller, column, key) for column in DATA[1:])
            if any(cell.state != "denied" for cell in cells):
                return key
        return self.key


def in_words(requests: Mapping[str, Sequence[str]]) -> str:
    """Callers with their requests, as a text."""
    return "; ".join(f"{who} ({', '.join(which)})" for who, which in requests.items()) or "nobody"


def _objects(caller: Caller, policy: str | None) -> Iterator[str]:
    """Names of objects that the policies about a caller speak of."""
    texts = " ".join(filter(None, (*caller.policies.values(), policy)))
    keys = {key.lower(): value for key, value in caller.keys.items()}

    def value(variable: re.Match[str]) -> str:
        return keys.get(variable[1].lower(), "x")

    for name in re.findall(r"arn:aws[a-z-]*:s3:::[^\"/]*/([^\"\\]+)", texts):
        yield re.sub(r"[*?]+", "x", re.sub(r"\$\{([^},]*).*?\}", value, name))


def _matters(caller: Caller, row: Row) -> bool:
    """Whether to show a row: somebody else of the account does not matter who may do nothing."""
    states = {cell.state for cell in (*row.before.values(), *row.after.values())}
    return caller.part != "incidental" or states != {"denied"}


def _shown(row: Row, column: str) -> str:
    before, after = row.before[column].state, row.after[column].state
    return f"{before} → {after}" if row.changed(column) else after


def _names(rows: Sequence[Row]) -> str:
    shown = ", ".join(row.who for row in rows[:SHOWN_NAMES])
    more = len(rows) - SHOWN_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def _causes(row: Row) -> dict[tuple[str, ...], list[str]]:
    """The columns of a row by what decides them, and by what they were and will be."""
    causes: dict[tuple[str, ...], list[str]] = {}
    for column in COLUMNS:
        before, after = row.before[column].state, row.after[column]
        if before != after.state or after.state in ("denied", "depends"):
            causes.setdefault((after.reason, before, after.state), []).append(column)
    return causes

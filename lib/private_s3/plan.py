"""A plan: the changes to be made, their digest, and whether the account still fits them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from private_s3 import statements
from private_s3.errors import PlanChanged
from private_s3.tables import table

if TYPE_CHECKING:
    import pandas as pd

# Stands for the id of the endpoint that the change itself creates, so that the whole change -
# endpoint and bucket policy - has one digest before anything is touched.
NEW_ENDPOINT = "vpce-(known after apply)"
COLUMNS = ("resource", "field", "before", "after")

# What an account holds: a text for each (resource, field), None for what is not there.
State = Mapping[tuple[str, str], str | None]


@dataclass(frozen=True, order=True)
class Change:
    """One field of one resource, before and after; None where there is nothing."""

    resource: str
    field: str
    before: str | None
    after: str | None

    def same(self, one: str | None, other: str | None) -> bool:
        """Whether two values mean the same; policies are compared by content, not by text."""
        if self.field == "policy" and one and other:
            return statements.same(one, other)
        return one == other

    @property
    def is_one(self) -> bool:
        """Whether it changes anything."""
        return not self.same(self.before, self.after)

    def versions(self, one: str | None, other: str | None) -> tuple[str, str]:
        """Two values as they differ, for people: of policies the statements not in the other."""
        if self.field == "policy":
            return statements.only(one, other), statements.only(other, one)
        return one or "nothing", other or "nothing"

    def brief(self, value: str | None) -> str:
        """The value for a table: a policy by its size, anything else whole."""
        if self.field == "policy" and value:
            count = len(statements.as_list(statements.parse(value)["Statement"]))
            return f"{count} statement{'s'[: count != 1]}"
        return value or "-"


@dataclass(frozen=True)
class Plan:
    """The changes of one change folder in one account and Region, sorted; or their undoing."""

    change_id: str
    account: str
    region: str
    changes: tuple[Change, ...]
    undo: bool = False

    @property
    def digest(self) -> str:
        """What is approved: twelve hexadecimal digits over everything the plan says."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Plan:
        changes = tuple(Change(**change) for change in value["changes"])
        return cls(**{**value, "changes": changes})

    @property
    def doing(self) -> str:
        """What carrying it out is called."""
        return "undo" if self.undo else "apply"

    def table(self) -> pd.DataFrame:
        """One row per change."""

        rows = [(c.resource, c.field, c.brief(c.before), c.brief(c.after)) for c in self.changes]
        return table(rows, COLUMNS)

    def sentence(self) -> str:
        """What the plan amounts to, and the digest to approve."""
        if not self.changes and self.undo:
            return "Nothing to undo: this change has made nothing that is still there."
        if not self.changes:
            return "Nothing to change: the account is already as the parameters ask."
        resources = len({change.resource for change in self.changes})
        return (
            f"{len(self.changes)} changes to {resources} resources. To approve them, pass "
            f"approved_plan={self.digest}"
        )


def between(now: State, wanted: State) -> tuple[Change, ...]:
    """The changes that lead from one state to the other, sorted; equal policies are no change."""
    changes = (Change(*key, now.get(key), wanted[key]) for key in sorted(wanted))
    return tuple(change for change in changes if change.is_one)


def of(changes: Iterable[Change], parts: tuple[str, ...]) -> list[Change]:
    """The changes to resources that begin with one of `parts`."""
    return [change for change in changes if change.resource.startswith(parts)]


def done(plan: Plan, live: State) -> frozenset[Change]:
    """The changes that the account already has; raises PlanChanged if it fits neither side.

    This is the compare of compare-and-set, over the whole plan: before a single write, each field
    must be either as it was planned from or as it is planned to be.
    """
    finished = set()
    for change in plan.changes:
        value = live.get((change.resource, change.field))
        if change.same(value, change.after):
            finished.add(change)
        elif not change.same(value, change.before):
            raise PlanChanged(
                f"Could not {plan.doing} plan {plan.digest}: {change.field} of {change.resource} "
                "is not as it was planned from. Nothing was written now.",
                "Planned from {}; found {}.".format(*change.versions(change.before, value)),
                "look at what was changed, make a new plan and have it approved; "
                "`private-s3 status` says how far this one got",
            )
    return frozenset(finished)


def outcomes(
    plan: Plan, finished: frozenset[Change], parts: tuple[str, ...], *, applied: bool
) -> pd.DataFrame:
    """One row per change of the resources that begin with one of `parts`: what became of it."""

    def outcome(change: Change) -> str:
        if change in finished:
            return "already done"
        return "applied" if applied else "planned"

    rows = [(c.resource, c.field, outcome(c)) for c in of(plan.changes, parts)]
    return table(rows, ["resource", "field", "outcome"])

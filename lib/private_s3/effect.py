"""What a change has made of the account so far, by its journal."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, cached_property
from pathlib import Path

from private_s3 import approval
from private_s3.journal import Fate, Key, Write
from private_s3.plan import Change, Plan, State


class Effect:
    """The writes of a change folder, and the plans that they carried out."""

    def __init__(self, folder: Path, writes: Iterable[Write]) -> None:
        # What was sent for no change, such as a check's object, made nothing to speak of here.
        self.writes = [write for write in writes if write.changes]
        self._plan = cache(lambda digest: approval.kept(folder, digest)[0])

    def fate(self, write: Write, live: State) -> Fate:
        """What became of a write whose answer never came, as the account shows it.

        A write is done whole or not at all: one field that has its new value tells.
        """
        changes = self._changes(write)
        values = [(change, live.get((change.resource, change.field))) for change in changes]
        if any(change.same(value, change.after) for change, value in values):
            return "done"
        before = all(change.same(value, change.before) for change, value in values)
        return "not done" if before else "unknown"

    @property
    def net(self) -> dict[Key, Change]:
        """By field: what it was before this change, and what this change has left.

        What was undone is gone from it. So that nothing is left behind, a write of unknown fate
        counts as done, and an undoing of unknown fate does not.
        """
        return {key: change for key, (change, _) in self._net.items()}

    @property
    def origin(self) -> str:
        """Digest of the plan that made the first of what is not undone; empty if there is none."""
        return next((digest for _, digest in self._net.values()), "")

    @cached_property
    def _net(self) -> dict[Key, tuple[Change, str]]:
        net: dict[Key, tuple[Change, str]] = {}
        for write in self.writes:
            undoes = self._plan(write.plan).undo
            counts = write.fate == "done" if undoes else write.fate != "not done"
            for change in self._changes(write) if counts else ():
                key = change.resource, change.field
                first, digest = net.get(key, (change, write.plan))
                if undoes:
                    net.pop(key, None)
                else:
                    net[key] = Change(*key, first.before, change.after), digest
        return {key: (change, d) for key, (change, d) in net.items() if change.is_one}

    @property
    def endpoint_ids(self) -> list[str]:
        """Ids of the endpoints that this change has made, also of those that are gone."""
        return [str(w.values["endpoint_id"]) for w in self.writes if "endpoint_id" in w.values]

    def _changes(self, write: Write) -> list[Change]:
        plan: Plan = self._plan(write.plan)
        return [c for c in plan.changes if (c.resource, c.field) in write.changes]

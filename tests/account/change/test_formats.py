"""A change folder of an earlier version is continued in its account, and undone there.

Without step 50, which asks the instances and leaves nothing that another step reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from private_s3 import access_figure, approval, aws, figures
from private_s3.evidence.story import Story
from tests.support.accounts import Accounts, as_operator
from tests.support.formats import Kept, kept
from tests.support.notebook_runs import ENDPOINT, POLICY, ROUTES, UNDO, Eye, Operator, unlike
from tests.support.world import World, enter

AUDIT = "80_audit_drift"
WRITES = ("CreateVpcEndpoint", "PutBucketPolicy", "DeleteVpcEndpoints")
CREATE, PUT, DELETE = WRITES
# By state: what the rest of the change writes, and what its undo writes.
BEFORE_ANY_WRITE, IN_PLACE = ([CREATE, PUT], []), ([], [PUT, DELETE])
DUE: dict[str, tuple[list[str], list[str]]] = {
    "planned": BEFORE_ANY_WRITE,
    "approved": BEFORE_ANY_WRITE,
    "half-applied": ([PUT], [DELETE]),
    "applied-and-sealed": IN_PLACE,
    "signed": IN_PLACE,
    "undone": BEFORE_ANY_WRITE,
    "by-hand": IN_PLACE,
}


class Change:
    """A change that continues where an earlier version left it."""

    def __init__(self, folder: Kept, world: World, eye: Eye) -> None:
        self.kept, self.world, self.eye = folder, world, eye
        self.start = eye.snapshot()
        folder.restore(world.account)
        folder.unpack(world.folder)
        # With `manual`, an undo asks no instance.
        values = {**folder.then["parameters"], "settle_seconds": 0, "check_by": "manual"}
        self.operator = Operator(world.folder, values, probing=True)

    @property
    def state(self) -> str:
        return Story(self.operator.change_folder).state

    def run(self, *steps: str) -> None:
        """Runs steps with the plan that was shown last."""
        for step in steps:
            self.operator.run(step, self.operator.shown().digest)

    def written(self) -> Counter[str]:
        """The writes that came since the change was unpacked."""
        replayed = Counter(call["operation"] for call in self.kept.then["calls"])
        return Counter(name for name in self.world.writes() if name in WRITES) - replayed


@pytest.fixture(params=kept(), ids=str)
def change(
    request: pytest.FixtureRequest,
    accounts: Accounts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Change]:
    folder: Kept = request.param
    for module in (figures, access_figure):
        monkeypatch.setattr(module, "show", lambda *_, **__: None)
    with accounts.fresh(folder.scenario) as account:
        bound = as_operator(account)  # clients take longer to make than to use
        monkeypatch.setattr(aws, "connect", lambda _: bound)
        change = Change(folder, enter(account, tmp_path, monkeypatch), Eye(account))
        _stop_the_clock(monkeypatch, change.operator.lines()[-1]["time"])
        yield change
        assert account.errors() == []


def _stop_the_clock(monkeypatch: pytest.MonkeyPatch, time: str) -> None:
    """Makes approvals as old as they were when the folder was written."""

    class Then(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.fromisoformat(time)

    monkeypatch.setattr(approval, "datetime", Then)


def test_it_is_continued_to_its_end_with_each_write_once(change: Change) -> None:
    if change.state == "undone":  # then a new plan is needed
        change.operator.run(ENDPOINT)
    change.run(ENDPOINT, ROUTES, POLICY)
    assert change.written() == Counter(DUE[change.kept.state][0])
    assert change.state == "applied"
    assert {*change.eye.sides(change.operator.shown()).values()} == {"after"}
    assert change.eye.dangling() == []
    change.operator.run(AUDIT)  # fails where the account is not as the change left it


def test_it_is_undone_and_the_account_is_as_at_its_start(change: Change) -> None:
    change.operator.run(UNDO)
    plan = change.operator.shown()
    approval.approve(change.operator.parameters(), plan.digest, "approver@example.com")
    change.run(UNDO)
    change.kept.require_start(change.world.account)  # the bucket policy byte for byte
    assert unlike(change.start, change.eye.snapshot()) == []
    assert change.written() == Counter(DUE[change.kept.state][1])

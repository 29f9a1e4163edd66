"""A rehearsal account at the turn of any step of a change, without running the steps before it.

Each step is run once. After that the account is reset, what the steps before have created in it is
created again, with the same ids, and the change folder is copied.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from botocore.retries.standard import ExponentialBackoff

import rehearsal
from private_s3 import aws, bucket, endpoint, undo
from private_s3.snapshot import Snapshot
from tests import PROJECT
from tests.support.notebook_runs import BACK, CHANGE, NEEDED, Eye, Operator, forked, unlike

# What the instances print, by step and pass, with their ids as {name}.
PRINTED = PROJECT / "tests/exhaustive/printed.json"
APPLIED = BACK[0]  # when it is the turn of this step, the change is applied in full
# A clock on which nobody sleeps for long.
QUICK = SimpleNamespace(
    sleep=lambda seconds: time.sleep(min(seconds, 0.05)), monotonic=time.monotonic
)


class Stage(NamedTuple):
    """What there is when it is the turn of a step."""

    folder: Path
    endpoints: list[Any]
    policy: str | None
    snapshot: Snapshot


class Stages:
    """One account, and what there is in it when it is the turn of each step."""

    def __init__(self, account: rehearsal.Account, folder: Path, **values: Any) -> None:
        self.account, self._folder, self._values = account, folder, values
        self._printed = printed(account)
        self.eye = Eye(account)
        without_waiting()
        self._stages: dict[str, Stage] = {}
        self._holds: tuple[Snapshot, int] | None = None  # the account now, if nobody writes to it
        operator = self.operator()
        operator.folder.mkdir()
        for step in (*CHANGE, *BACK):
            kept = Path(shutil.copytree(operator.folder, operator.folder.with_name(step)))
            seen = self.eye.endpoints(), self.eye.policy(), self.eye.snapshot()
            self._stages[step] = Stage(kept, *seen)
            if step in NEEDED:
                forked(partial(operator.do, step))

    def operator(self) -> Operator:
        """An operator without a change folder."""
        folder = Path(tempfile.mkdtemp(dir=self._folder)) / "changes"
        return Operator(folder, dict(self._values), dict(self._printed))

    def snapshot(self, step: str) -> Snapshot:
        """The account when it is the turn of a step."""
        return self._stages[step].snapshot

    def at(self, step: str) -> Operator:
        """Puts the account to the turn of a step, and returns an operator who has come so far."""
        stage, operator = self._stages[step], self.operator()
        shutil.copytree(stage.folder, operator.folder)
        holds = stage.snapshot, self._writes()
        if self._holds != holds:
            self.account.reset()
            self.eye.restore(stage.endpoints, stage.policy)
            ids, now = _ids(stage.endpoints), _ids(self.eye.endpoints())
            assert ids == now, f"the endpoints are {now}, not {ids}"
            assert not (found := unlike(stage.snapshot, self.eye.snapshot())), found
            self._holds = stage.snapshot, self._writes()
        return operator

    def _writes(self) -> int:
        """The number of writes since the reset, also of those that are forgotten but by AWS."""
        return sum(call["write"] for call in self.account.calls())


def _ids(endpoints: list[Any]) -> list[str]:
    return [endpoint["VpcEndpointId"] for endpoint in endpoints]


def printed(account: rehearsal.Account) -> dict[str, str]:
    """What the instances of an account print, by step and pass."""
    text = PRINTED.read_text("utf-8")
    for name, value in account.ids.items():
        text = text.replace(f"{{{name}}}", value)
    return dict(json.loads(text))


def nameless(printed: dict[str, str], account: rehearsal.Account) -> dict[str, str]:
    """The same as in every account: ids as {name}, in order, and every time taken as 3."""
    text = re.sub(r'(\\"seconds\\":|after )\d+', r"\g<1>3", json.dumps(printed))
    for name, value in account.ids.items():
        text = text.replace(value, f"{{{name}}}")
    return {step: "\n".join(sorted(said.splitlines())) for step, said in json.loads(text).items()}


def without_waiting() -> None:
    """Neither botocore nor the library waits for long in this process."""
    ExponentialBackoff.delay_amount = lambda *_: 0
    aws.time = QUICK
    # What this account has done, it shows at once.
    undo.LATE, endpoint.TIME_LIMIT, bucket.TIME_LIMIT = timedelta(0), 5, 5

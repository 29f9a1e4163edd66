"""Takes back what a change has made: policy first, endpoint second, and no more than that."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from private_s3 import (
    approval,
    aws,
    bucket,
    change,
    endpoint,
    guard,
    network,
    observe,
    plan,
    snapshot,
    statements,
)
from private_s3.change import Planned, Reading
from private_s3.errors import BadInput, PlanChanged
from private_s3.identities import Identities
from private_s3.plan import NEW_ENDPOINT, Change, Plan, State
from private_s3.record import Check, Record
from private_s3.snapshot import Difference
from private_s3.tables import table

if TYPE_CHECKING:
    import pandas as pd

CHANGED_COLUMNS = ("resource", "field", "left by this change", "now")
# EC2 shows what it has made within seconds; a write whose answer was lost may show that late.
LATE = timedelta(seconds=15)


class Undo(Planned):
    """The plan of an undo: what this change has made, and what was there before it."""

    @cached_property
    def guard(self) -> list[Check]:
        """Whether the undo may be carried out: somebody can repair the policy afterwards."""
        return [*guard.repair_checks(self.matrix), *self.matrix.unread]

    def state(self, reading: Reading) -> State:
        """As plans say it; also an endpoint of this change that somebody deleted has its symbol."""
        return _state(self.record, reading)

    def endpoint_id(self, reading: Reading) -> str:
        """Id of the endpoint that this change has made, also if somebody deleted it."""
        gone = ["", *self.record.effect.endpoint_ids]
        return super().endpoint_id(reading) or gone[-1]

    def fit(self, state: State) -> frozenset[Change]:
        """What is undone already; raises PlanChanged if more hangs on the endpoint than planned."""
        hanging = _hanging(state, self.plan.changes)
        if self.record.parameters.force:  # but of tables only those go that the plan names
            hanging = [one for one in hanging if one.field == endpoint.S3_ROUTE]
        if hanging:
            raise _changed(self.record, hanging)
        return super().fit(state)

    def sweep(self) -> list[Check]:
        """Deletes the object that a check of this change has left, should one have been killed."""
        if not self.record.parameters.applying:
            return [Check("no object of the checks is left", "SKIPPED", "nothing was undone")]
        return [observe.sweep(self.account, self.record)]

    def _read(self) -> Reading:
        return read(self.account, self.record)

    def restored(self, reading: Reading) -> list[Difference]:
        """Every field that is not as it was before the change, whoever has changed it."""
        return snapshot.differences(self.seen["origin"], reading.snapshot())

    def restored_checks(self, reading: Reading) -> list[Check]:
        """Whether the account is as it was before the change, field by field."""
        names = "nothing of this change is left", "the account is as it was before"
        if not self.record.parameters.applying:
            return [Check(name, "SKIPPED", "nothing was undone") for name in names]
        left = set(self.plan.changes) - self.fit(self.state(reading))
        others = self.restored(reading)
        return [
            Check.of(
                names[0],
                not left,
                ", ".join(f"{c.field} of {c.resource}" for c in sorted(left)) or "as planned",
                "look at who changed it meanwhile, and undo again",
            ),
            Check(
                names[1],
                "UNCERTAIN" if others else "PASS",
                "; ".join(f"{d.field} of {d.resource} is not" for d in others)
                or f"{sum(map(len, self.seen['origin'].values()))} fields",
            ),
        ]


def read(account: aws.Account, record: Record) -> Reading:
    """One reading of the account, also if instances of the change are gone meanwhile."""
    parameters, writes = record.parameters, record.effect.writes
    if not writes:
        return change.read(account, parameters)
    seen = approval.kept(record.folder, writes[-1].plan)[1]
    of_bucket = bucket.read(account, parameters)
    there = network.neighbours(account.ec2, seen["vpc"])
    ours = [one for one in there if f"instance/{one['InstanceId']}" in seen["snapshot"]]
    found = network.read(account.ec2, seen["vpc"], ours, account.region)
    return Reading(found, of_bucket)


def planned(account: aws.Account, record: Record, reading: Reading) -> Undo:
    """The approved undo, else one planned now; raises PlanChanged where others have been at work.

    With `force` it takes back also what they have changed of what this change has made. Their own
    statements in the bucket policy stay in any case.
    """
    parameters = record.parameters
    _require_the_same(record, reading)
    reading = _once_it_shows(account, record, reading)
    if not (parameters.applying or parameters.force) and (found := changed(record, reading)):
        raise _changed(record, found)
    state, made = (
        _state(record, reading),
        endpoint.created_id(reading.network, parameters.change_id),
    )
    record.settle(state, made)
    origin, changes = record.effect.origin, _back(record, state)
    if parameters.force:
        lost = {(d.resource, d.field): None for d in _hanging(state, changes)}
        tables = {key: None for key in lost if key[1] == endpoint.S3_ROUTE}
        changes = tuple(sorted({*changes, *plan.between(state, tables)}))
    seen = change.seen_in(reading)
    before = approval.kept(record.folder, origin)[1]["snapshot"] if origin else seen["snapshot"]
    fresh = Plan(parameters.change_id, account.id, account.region, changes, undo=True)
    identities = Identities(account)
    return change.go_by(
        Undo, account, record, reading, fresh, {**seen, "origin": before}, identities
    )


def changed(record: Record, reading: Reading) -> list[Difference]:
    """What this change has left, and somebody has changed since; sorted."""
    state = _state(record, reading)
    found = [
        Difference(*key, *c.versions(c.after, state.get(key)))
        for key, c in record.effect.net.items()
        if not (c.same(state.get(key), c.after) or c.same(state.get(key), c.before))
    ]
    return sorted({*found, *_hanging(state, _back(record, state))}, key=lambda d: d[:2])


def changed_frame(record: Record, reading: Reading) -> pd.DataFrame:
    """One row for each thing that somebody has changed since, with both versions."""
    rows = [tuple(_named(record, value) for value in one) for one in changed(record, reading)]
    return table(rows, CHANGED_COLUMNS)


def policy_difference(record: Record, reading: Reading) -> pd.DataFrame:
    """What others have changed in the bucket policy since: + is theirs, - is gone."""
    key = next(iter(bucket.state(reading.bucket, reading.network, record.parameters)))
    left = record.effect.net.get(key)
    now = _state(record, reading)[key]
    return bucket.difference(left.after if left else now, now)


def _back(record: Record, state: State) -> tuple[Change, ...]:
    """The changes that lead back to what was before this change."""
    net = record.effect.net
    return plan.between(
        state, {key: _target(change, state.get(key)) for key, change in net.items()}
    )


def _target(change: Change, now: str | None) -> str | None:
    """What a field shall hold after the undo."""
    if change.resource.startswith(bucket.PARTS):
        return _without_ours(now, change.before)
    if change.field == endpoint.S3_ROUTE and now != change.after:
        return now  # the route that is there now is not of this change
    return change.before


def _without_ours(policy: str | None, before: str | None) -> str | None:
    """The policy with our statements as they were before, and everybody else's as they are now.

    If nobody else has changed anything, that is the earlier policy, byte for byte.
    """
    document = statements.parse(before) if before else {"Statement": []}
    ours = [s for s in statements.as_list(document["Statement"]) if statements.is_ours(s)]
    merged = statements.merge(policy, ours)
    return before if Change("bucket", "policy", None, None).same(merged, before) else merged


def _hanging(state: State, changes: Iterable[Change]) -> list[Difference]:
    """What besides this change hangs on its endpoint, if that is to go: tables, statements."""
    after = {(c.resource, c.field): c.after for c in changes}
    if not any(field == "service" and value is None for (_, field), value in after.items()):
        return []
    found = []
    for key, now in state.items():
        if key[1] == endpoint.S3_ROUTE and now == NEW_ENDPOINT and key not in after:
            found.append(Difference(*key, "nothing", now))
        elif key[0].startswith(bucket.PARTS) and NEW_ENDPOINT in (after.get(key, now) or ""):
            naming = "; ".join(
                json.dumps(one)
                for content, one in statements.by_content(after.get(key, now)).items()
                if NEW_ENDPOINT in content
            )
            found.append(Difference(*key, "nothing that names the endpoint", naming))
    return found


def _state(record: Record, reading: Reading) -> State:
    """What the account holds; the last endpoint of this change by its symbol, also if it is gone.

    One before it keeps its id: only statements of others can still name it, and they stay.
    """
    state = reading.state(record.parameters)
    made = record.effect.endpoint_ids
    if not made or endpoint.created(reading.network, record.parameters.change_id):
        return state
    return {key: v and v.replace(made[-1], NEW_ENDPOINT) for key, v in state.items()}


def _once_it_shows(account: aws.Account, record: Record, reading: Reading) -> Reading:
    """A reading that shows what an unanswered write of moments ago has made, if it has."""

    def shows(seen: Reading) -> bool:
        effect, state = record.effect, _state(record, seen)
        young = (
            write
            for write in effect.writes
            if write.fate == "unknown"
            and datetime.now(UTC) - datetime.fromisoformat(write.time) < LATE
        )
        return all(effect.fate(write, state) != "not done" for write in young)

    if shows(reading):
        return reading
    return aws.wait(
        "a write without an answer to show",
        lambda: read(account, record),
        shows,
    )


def _require_the_same(record: Record, reading: Reading) -> None:
    """Raises BadInput where the parameters are not of what was changed, and so would not show it.

    A route table may be gone; bucket and endpoint are asked for by their names.
    """
    state, found = _state(record, reading), reading.network
    here = f"{found.service_name} in {found.vpc_id}"
    strange = {
        change.resource if key not in state else f"{change.resource} ({change.after})"
        for key, change in record.effect.net.items()
        if not key[0].startswith("route-table/")
        and (key not in state or (change.field == "service" and change.after != here))
    }
    if strange:
        raise BadInput(
            f"Could not undo {record.folder.name}. Nothing was written now.",
            f"It has changed {', '.join(sorted(strange))}, which the parameters do not name.",
            "give the parameters with which it was applied: bucket, endpoint_name, and instances "
            "of the same VPC",
        )


def _changed(record: Record, found: Iterable[Difference]) -> PlanChanged:
    told = "; ".join(f"{d.field} of {d.resource}: left {d.before}, now {d.now}" for d in found)
    return PlanChanged(
        f"Could not undo {record.folder.name}: somebody has changed what it made. "
        "Nothing was written now.",
        _named(record, told),
        "have it changed back, or undo with force=true: it keeps the statements of others in the "
        "bucket policy, and takes back the rest of what is named here",
    )


def _named(record: Record, text: str) -> str:
    """The text with the id of this change's endpoint in place of its symbol."""
    return endpoint.resolved(text, "".join(record.effect.endpoint_ids[-1:]))

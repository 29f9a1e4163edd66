"""The sections of a report on what is changed: plans, policies, routes, and pictures of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from private_s3 import statements
from private_s3.errors import BadInput
from private_s3.evidence.report.blocks import Cell, Figure, Mark, Policy, Table, Words
from private_s3.evidence.report.notebook_html import pictures
from private_s3.evidence.story import PASSES, Story
from private_s3.plan import NEW_ENDPOINT, Change, Plan

ROUTES = "30_inspect_route_diff"
ROLL_BACK = "90_roll_back"
_ORDER = (  # as people read a statement
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
)
_WHEN = {
    "plan": "As predicted when planning, {}.",
    "apply": "As found when applying, {}.",
}


def shown(story: Story, *, undo: bool) -> Plan | None:
    """The plan to report on: the one carried out last, else the one shown last; or of the undo."""
    digests = [line.get("plan", "") for line in story.lines if _touches(line)][::-1]
    digests += [line["plan"] for line in story.lines if line["event"] == "planned"][::-1]
    plans = (story.plans[one][0] for one in (*digests, *story.plans) if one in story.plans)
    return next((plan for plan in plans if plan.undo == undo), None)


def plan(story: Story) -> Iterator[Any]:
    """What the change changes."""
    found = shown(story, undo=False)
    if not found:
        yield Words("Nothing was planned yet.", "quiet")
        return
    yield from _of(story, found)
    others = [digest for digest, (one, _) in story.plans.items() if not one.undo]
    others.remove(found.digest)
    if others:
        yield Words(f"Plans that were shown besides, and are not these: {', '.join(others)}.")


def undo(story: Story) -> Iterator[Any]:
    """What the undo takes back; nothing if none was planned."""
    found = shown(story, undo=True)
    if found:
        done = any(one for one in story.lines if _touches(one) and one.get("plan") == found.digest)
        yield Words("The undo was carried out." if done else "The undo was planned, not begun.")
        yield from _of(story, found)
        yield from figures(story, ROLL_BACK)
        yield from routes(story, undo=True)


def routes(story: Story, *, undo: bool = False) -> Iterator[Any]:
    """Every route of the VPC, before and after."""
    found = shown(story, undo=undo)
    if not found:
        return
    before = _routes(story.plans[found.digest][1].get("snapshot", {}))
    after = _left(story, found)
    if after is None:
        yield Words("The routes afterwards: not yet, the plan is not in place.", "quiet")
        return
    now, rows = _routes(after), []
    for table_id, destination in sorted({*before, *now}):
        one, other = (side.get((table_id, destination), "-") for side in (before, now))
        rows.append((Mark(_turned(one, other)), table_id, destination, one, other))
    yield Table(("", "route table", "destination", "before", "after"), rows, "Routes")


def figures(story: Story, step: str, passes: Sequence[str] = PASSES) -> Iterator[Figure]:
    """The pictures of a step, with when they were made."""
    for pass_name in passes:
        notebooks = story.notebooks(pass_name, step)
        run = story.run(pass_name, step)
        when = f"{run.started[:19].replace('T', ' ')} UTC" if run else "at a time not kept"
        for picture in pictures(notebooks[-1] if notebooks else None):
            yield Figure(picture, _WHEN[pass_name].format(when))


def _of(story: Story, found: Plan) -> Iterator[Any]:
    if not found.changes:
        yield Words(found.sentence())
        return
    resources = len({change.resource for change in found.changes})
    yield Words(
        f"Plan {found.digest} to {found.doing}: {len(found.changes)} changes to {resources} "
        f"resources in account {found.account}, {found.region}."
    )
    rows: list[tuple[Cell, ...]] = [
        (
            Mark(_turned(c.before, c.after)),
            c.resource,
            c.field,
            _brief(c, c.before),
            _brief(c, c.after),
        )
        for c in found.changes
    ]
    yield Table(("", "resource", "field", "before", "after"), rows)
    made = [line.get("values", {}).get("endpoint_id") for line in story.lines]
    if ids := [str(one) for one in dict.fromkeys(made) if one]:
        yield Words(f"{NEW_ENDPOINT} is {', '.join(ids)}.")
    for change in found.changes:
        if change.field == "policy":
            yield _policy(change)


def _policy(change: Change) -> Policy | Words:
    try:
        before, after = (statements.by_content(one) for one in (change.before, change.after))
    except (BadInput, AttributeError):
        return Words(f"The policy of {change.resource} cannot be read.", "doubt")
    parts = [
        ("removed", [one for content, one in before.items() if content not in after]),
        ("added", [one for content, one in after.items() if content not in before]),
        ("unchanged", [one for content, one in after.items() if content in before]),
    ]
    return Policy(
        f"Statements of the policy of {change.resource}",
        [
            (Mark(word), str(one.get("Sid") or "(no Sid)"), _statement(one))
            for word, found in parts
            for one in found
        ],
    )


def _statement(statement: Mapping[str, Any]) -> list[tuple[str, str]]:
    keys = [key for key in _ORDER if key in statement]
    keys += [key for key in statement if key not in (*_ORDER, "Sid")]
    return [
        (key, "\n".join(_tests(statement[key])) if key == "Condition" else _value(statement[key]))
        for key in keys
    ]


def _tests(condition: Any) -> Iterator[str]:
    for operator, tests in condition.items():
        for key, value in tests.items():
            yield f"{operator}: {key} = {_value(value)}"


def _value(value: Any) -> str:
    """Lists and principals as people write them, and anything else as JSON."""
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {_value(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return value if isinstance(value, str) else json.dumps(value)


def _brief(change: Change, value: str | None) -> str:
    try:
        return change.brief(value)
    except (BadInput, AttributeError):
        return str(value)


def _turned(before: str | None, after: str | None) -> str:
    if before == after:
        return "unchanged"
    if before in (None, "-"):
        return "added"
    return "removed" if after in (None, "-") else "changed"


def _routes(snapshot: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    return {
        (resource.removeprefix("route-table/"), field.removeprefix("route ")): str(value)
        for resource, fields in snapshot.items()
        if resource.startswith("route-table/")
        for field, value in fields.items()
        if field.startswith("route ")
    }


def _left(story: Story, found: Plan) -> Mapping[str, Any] | None:
    """What the account looked like when the plan was found in place, None before that."""
    lines = [one for one in story.lines if one["event"] == "complete"]
    digests = [str(one.get("left")) for one in lines if one.get("plan") == found.digest]
    path: Path = story.folder / "left" / f"{Path(digests[-1]).name if digests else ''}.json"
    try:
        left: Mapping[str, Any] = json.loads(path.read_bytes())["snapshot"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return left


def _touches(line: Mapping[str, Any]) -> bool:
    return line["event"] == "complete" or bool(line.get("changes"))

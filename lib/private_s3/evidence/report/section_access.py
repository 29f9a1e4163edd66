"""The sections of a report on who reaches the bucket: predicted, observed, and probed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from private_s3.access import COLUMNS
from private_s3.evidence.report.blocks import Cell, Mark, Table, Turn, Words
from private_s3.evidence.report.section_plan import ROLL_BACK, figures
from private_s3.evidence.story import PASSES, Run, Story

ENDPOINT, POLICY, CHECK = (
    "20_create_gateway_endpoint",
    "40_apply_bucket_policy",
    "50_check_from_instance",
)


def matrix(story: Story) -> Iterator[Any]:
    """Who can do what with the bucket from where, before and after, and what decides it."""
    run = _last(story, "access", (POLICY, ENDPOINT))
    if not run:
        return
    yield Words(
        "Computed from the policies, routes and roles of the account. Each cell says what became "
        "of a request before the change, and what becomes of it after, where that differs."
    )
    access = run.facts["access"]
    rows: list[list[Cell]] = [
        [_name(row), _moved(row["where_before"], row["where"]), *_cells(row)] for row in access
    ]
    yield Table(("who", "from where", *COLUMNS), rows)
    if run.facts.get("loses"):
        yield Words(f"Loses by the change: {run.facts['loses']}.")
    yield from list(figures(story, POLICY, ("apply",))) or figures(story, POLICY, ("plan",))
    causes = [(why, _turn(was, now), "; ".join(who)) for (why, was, now), who in _causes(access)]
    yield Table(("decided by", "outcome", "whose requests"), causes, "What decides")


def compared(story: Story) -> Iterator[Any]:
    """What was predicted, beside what was observed."""
    run = _last(story, "compared", (CHECK,))
    if run:
        yield from _compared(run)


def after_undo(story: Story) -> Iterator[Any]:
    """The same, once the change was undone."""
    run = story.run("apply", ROLL_BACK)
    if run and run.facts.get("compared"):
        yield from _compared(run)


def probes(story: Story) -> Iterator[Any]:
    """What commands on the instances saw, before and after."""
    sides = []
    for pass_name in PASSES:
        run = story.run(pass_name, CHECK)
        seen = run.facts.get("observations", ()) if run else ()
        sides.append({(one["instance_id"], one["probe"]): one for one in seen})
    before, after = sides
    names = _names(story)
    instances = dict.fromkeys(instance for instance, _ in (*after, *before))
    keys = dict.fromkeys((*after, *before))
    groups = [
        (
            [names.get(instance, instance)],
            [
                [key[1], _seen(before.get(key)), _seen(after.get(key))]
                for key in keys
                if key[0] == instance
            ],
        )
        for instance in instances
    ]
    if groups:
        yield Words("Each probe is a command that ran on the instance itself.")
        yield Table(("probe", "before the change", "after the change"), [], groups=groups)


def _compared(run: Run) -> Iterator[Any]:
    rows: list[list[Cell]] = []
    agreeing = 0
    for one in run.facts["compared"]:
        predicted, observed = one["predicted"]["state"], one["observed"]["state"]
        word = "agrees" if predicted == observed else "differs"
        word = "depends" if predicted == "depends" else word
        agreeing += word == "agrees"
        told = str(one["observed"].get("answer", ""))
        rows.append(
            [
                Mark(word),
                one["who"],
                one["where"],
                one["request"],
                Mark(predicted),
                Mark(observed),
                told,
            ]
        )
    when = "Once it was done" if run.pass_name == "apply" else "Before the change"
    yield Words(f"{when}, {agreeing} of {len(rows)} requests were answered as predicted.")
    columns = ("", "who", "from where", "request", "predicted", "observed", "answer")
    yield Table(columns, rows)


def _last(story: Story, fact: str, steps: tuple[str, ...]) -> Run | None:
    """The run that has kept a fact: rather of applying than of planning."""
    runs = (story.run(pass_name, step) for pass_name in PASSES[::-1] for step in steps)
    return next((run for run in runs if run and run.facts.get(fact)), None)


def _cells(row: Mapping[str, Any]) -> Iterator[Cell]:
    for column in COLUMNS:
        yield _turn(row["before"][column]["state"], row["after"][column]["state"])


def _turn(before: str, after: str) -> Mark | Turn:
    return Mark(after) if before == after else Turn(Mark(before), Mark(after))


def _causes(access: Any) -> Any:
    """Who is concerned by each cause of a cell that is closed, depends or changes."""
    causes: dict[tuple[str, str, str], list[str]] = {}
    for row in access:
        mine: dict[tuple[str, str, str], list[str]] = {}
        for column in COLUMNS:
            was, now = row["before"][column]["state"], row["after"][column]
            if was != now["state"] or now["state"] in ("denied", "depends"):
                mine.setdefault((now["reason"], was, now["state"]), []).append(column)
        for cause, columns in mine.items():
            causes.setdefault(cause, []).append(f"{_name(row)} ({', '.join(columns)})")
    return causes.items()


def _name(row: Mapping[str, Any]) -> str:
    return str(row["who"])


def _moved(before: str, after: str) -> str:
    return f"{before} → {after}" if before and before != after else after


def _seen(one: Mapping[str, Any] | None) -> str:
    if not one:
        return "not asked"
    told = ": ".join(filter(None, (str(one["outcome"]), str(one.get("detail", "")))))
    return f"{told} ({one['seconds']} s)" if one.get("seconds") else told


def _names(story: Story) -> dict[str, str]:
    """Instances as the access matrix calls them, by id."""
    run = _last(story, "access", (POLICY, ENDPOINT, CHECK))
    named = [str(row["who"]) for row in run.facts["access"]] if run else []
    return {name.split()[-1]: name for name in reversed(named) if " i-" in name}

"""The head of a report: what the change is, how far it got, what went wrong, who was it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from private_s3.evidence.report.blocks import Box, Cell, Failure, Link, Mark
from private_s3.evidence.report.notebook_html import errors
from private_s3.evidence.report.section_plan import shown
from private_s3.evidence.story import PASSES, Run, Story, named
from private_s3.record import State

_SENTENCES = {
    "nothing planned": "Nothing was planned yet, and nothing was changed.",
    "planned": "It was planned; nothing was changed.",
    "approved": "It was planned and approved; nothing was changed yet.",
    "begun": "It was begun, and is not in place in full; the timeline says what was done.",
    "applied": "It was applied, and read back as planned.",
    "undo begun": "Its undo was begun, and is not done in full; the timeline says what was done.",
    "undone": "It was applied, and undone later: the account was given back what it had before.",
}


def state(story: Story) -> str:
    """How far the change got, in a word."""
    told = any(line["event"] == "planned" or line.get("changes") for line in story.lines)
    return story.state if told else "nothing planned"


def title(story: Story) -> str:
    """What the change is."""
    bucket = story.parameters.get("bucket")
    if not bucket:
        return f"Change {story.change_id}"
    return f"Private path from {_instances(story)} to the bucket {bucket}"


def sentence(story: Story) -> str:
    """How far the change got, in a sentence."""
    ends = [line["time"] for line in story.lines if line["event"] == "complete"]
    when = f" ({moment(ends[-1])})" if ends and state(story) in ("applied", "undone") else ""
    return f"{_SENTENCES[state(story)]}{when}"


def failures(story: Story) -> list[Failure]:
    """What went wrong and was not done again since, the last first."""
    found = [_failure(story, run) for run in story.failures]
    kept = {(run.pass_name, run.step) for run in story.runs}
    for pass_name in PASSES:
        for step, path in _last_notebooks(story, pass_name).items():
            if (pass_name, step) not in kept and (told := errors(path)):
                found.append(Failure(f"{step} ({pass_name})", told[-1], [], link(story, path)))
    return found


def summary(story: Story) -> Box:
    """What to have at hand."""
    parameters, times = story.parameters, _times(story)
    counts = Counter(check["state"] for run in story.runs for check in run.facts.get("checks", ()))
    checks = [one for s in get_args(State) if counts[s] for one in (str(counts[s]), Mark(s))]
    approvals = [
        f"{one.get('by')}, {moment(one['time'])}, plan {one.get('plan')}"
        for one in story.lines
        if one["event"] == "approved"
    ]
    failed = [Mark("failed")] if failures(story) else []
    plans = [plan.digest for undo in (False, True) if (plan := shown(story, undo=undo))]
    callers = [run.about.get("caller") for run in story.runs]
    callers += [line.get("caller") for line in story.lines]
    facts: list[tuple[str, Sequence[Cell]]] = [
        ("state", [Mark(state(story)), *failed]),
        ("change", [story.change_id]),
        *((name, [str(parameters.get(name) or "-")]) for name in ("ticket", "note")),
        ("account", [str(parameters.get("expected_account") or "-")]),
        ("Region", [str(parameters.get("region") or "-")]),
        ("bucket", [str(parameters.get("bucket") or "-")]),
        ("instances", [_instances(story) or "-"]),
        ("run by", [str(one) for one in dict.fromkeys(callers) if one] or ["-"]),
        ("approved by", approvals or ["not yet"]),
        ("plan", [plans[0] if plans else "not yet"]),
        *([("plan of the undo", plans[1:])] if plans[1:] else []),
        ("started", [moment(min(times)) if times else "-"]),
        ("ended", [moment(max(times)) if times else "-"]),
        ("checks", checks or ["none"]),
    ]
    return Box(facts)


def moment(time: str) -> str:
    """A time of the change folder for people."""
    return f"{time[:19].replace('T', ' ')} UTC" if time else "-"


def _failure(story: Story, run: Run) -> Failure:
    told = run.facts.get("error") or {}
    lines = [str(line) for line in told.get("lines", ())]
    if not lines and (seen := errors(run.notebook)):
        lines = seen[-1][1:]
    checks = [
        (check["name"], str(check.get("detail", "")), str(check.get("remedy", "")))
        for check in run.facts.get("checks", ())
        if check["state"] == "FAIL"
    ]
    return Failure(f"{run.step} ({run.pass_name})", lines, checks, link(story, run.notebook))


def _last_notebooks(story: Story, pass_name: str) -> dict[str, Path]:
    return {named(path)[0]: path for path in story.notebooks(pass_name)}


def link(story: Story, path: Path | None) -> Link | None:
    """A link to the HTML of a notebook."""
    if not path:
        return None
    name = path.relative_to(story.folder).as_posix()
    return Link(name.removesuffix(".ipynb"), f"{name.removesuffix('.ipynb')}.html")


def _instances(story: Story) -> str:
    for plan in (shown(story, undo=undo) for undo in (False, True)):
        snapshot = story.plans[plan.digest][1].get("snapshot", {}) if plan else {}
        names = [
            " ".join(filter(None, (fields.get("name"), resource.removeprefix("instance/"))))
            for resource, fields in snapshot.items()
            if resource.startswith("instance/")
        ]
        if names:
            return ", ".join(names)
    parameters = story.parameters
    return ", ".join(parameters.get("instance_ids") or [parameters.get("instance_name", "")])


def _times(story: Story) -> list[str]:
    abouts = [run.about for run in story.runs]
    times = [str(about[name]) for about in abouts for name in ("started", "ended") if name in about]
    return times + [str(line["time"]) for line in story.lines if "time" in line]

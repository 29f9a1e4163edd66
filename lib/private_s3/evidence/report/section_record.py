"""The sections of a report on what happened: who, when, which calls, and what went wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from private_s3 import status
from private_s3.evidence.corroboration import Corroboration
from private_s3.evidence.report.blocks import Cell, Lines, Link, Mark, Table, Words
from private_s3.evidence.report.section_summary import link, moment, state
from private_s3.evidence.story import PASSES, Story
from private_s3.parameters import Parameters
from private_s3.status import Status

AUDIT = "80_audit_drift"
# Not what the change is, but how it was run.
_HOW = ("approved_plan", "change_id", "changes_dir", "profile", "settle_seconds")
_PARTS = (
    ("plan/, apply/", "the executed notebooks of the two passes, each also as HTML"),
    ("plans/", "the plans that were shown, and what they were made from"),
    ("facts/", "what each step found, and its checks"),
    ("journal.jsonl, journal.head", "approvals and every write, each line tied to the one before"),
    (
        "by_hand/",
        "the script that persons ran on instances, if they did, and what it printed there",
    ),
    ("left/", "what the account looked like once a plan was in place"),
    ("corroboration.json", "what CloudTrail has recorded of the writes, if it was asked"),
    ("report.html, report.pdf", "this report, made from all that"),
    ("manifest.json, manifest.json.sig", "the seal: the hash of every file, and who signed it"),
    ("seals/", "the seals before this one"),
)


def asked(story: Story) -> Iterator[Any]:
    """The parameters that say what the change is."""
    rows: list[tuple[Cell, ...]] = []
    for name, value in story.parameters.items():
        field = Parameters.model_fields.get(name)
        if name not in _HOW and (value or name == "allow_services"):
            meaning = (field.description or "") if field else ""
            rows.append((name, _value(value), meaning))
    if rows:
        yield Table(("parameter", "value", "what it says"), rows)


def approvals(story: Story) -> Iterator[Any]:
    """Who has approved which plan."""
    rows = [
        (moment(one["time"]), *(str(one.get(name) or "-") for name in ("plan", "by", "ticket")))
        for one in story.lines
        if one["event"] == "approved"
    ]
    yield Table(("time", "plan", "by", "ticket"), rows) if rows else Words("Not yet.", "quiet")


def steps(story: Story) -> Iterator[Any]:
    """Every run, and the checks of each."""
    rows: list[tuple[Cell, ...]] = []
    groups: list[tuple[Sequence[Cell], Sequence[Sequence[Cell]]]] = []
    for run in story.runs:
        end, checks = str(run.about.get("ended", "")), run.facts.get("checks", ())
        how = Mark("failed" if run.failed else "ended well")
        notebook = link(story, run.notebook) or "run by hand"
        rows.append((run.step, run.pass_name, moment(run.started), moment(end), how, notebook))
        lines = [[Mark(c["state"]), c["name"], str(c.get("detail", ""))] for c in checks]
        groups += [([f"{run.step}, {run.pass_name}"], lines)] if lines else []
    if rows:
        yield Table(("step", "pass", "started", "ended", "outcome", "notebook"), rows)
    if earlier := [[one] for one in _earlier(story)]:
        yield Table(("other notebooks, such as of earlier runs",), earlier)
    if groups:
        yield Table(("state", "check", "detail"), [], "Checks", groups)


def audit(story: Story) -> Iterator[Any]:
    """What an audit found, if there was one."""
    for pass_name in PASSES:
        run = story.run(pass_name, AUDIT)
        if run:
            checks = run.facts.get("checks", ())
            other = [check for check in checks if check["state"] != "PASS"]
            fine = len(checks) - len(other)
            yield Words(f"{fine} of {len(checks)} things were as left, {moment(run.started)}.")
            if other:
                lines = [[Mark(c["state"]), c["name"], str(c.get("detail", ""))] for c in other]
                yield Table(("state", "check", "detail"), lines)


def timeline(story: Story) -> Iterator[Any]:
    """Every line of the journal."""
    if story.lines:
        yield Table(status.COLUMNS, [row for line in story.lines for row in _told(line)])


def calls(story: Story) -> Iterator[Any]:
    """How often each step has asked AWS for what, and every write."""
    rows: list[tuple[Cell, ...]] = []
    for run in story.runs:
        made: Mapping[str, int] = run.facts.get("aws_calls", {})
        which = ", ".join(f"{name} {count}" for name, count in made.items())
        if made:
            rows.append((run.step, run.pass_name, str(sum(made.values())), which))
    writes = [_write(story, line) for line in story.lines if line["event"] == "intent"]
    if writes:
        columns = ("line", "time", "call", "for", "by", "outcome", "request id")
        yield Table(columns, writes, "Writes")
    if rows:
        yield Table(("step", "pass", "calls", "which"), rows, "All calls")


def corroboration(story: Story) -> Iterator[Any]:
    """What CloudTrail has recorded of the change, if it was asked."""
    try:
        found = json.loads((story.folder / "corroboration.json").read_bytes())
    except (OSError, ValueError):
        return
    told = Corroboration(found["looked"], found["writes"], found["probes"])
    yield Words(f"CloudTrail was asked {moment(told.looked)}.")
    for sentence in told.sentences():
        yield Words(sentence)
    words = [Mark("found" if one["found"] else "not found") for one in told.writes]
    rows = [
        (line, call, word, recorded, request)
        for word, (line, _, call, request, recorded) in zip(words, told.rows(), strict=True)
    ]
    yield Table(("line", "call", "", "what it has recorded", "request id"), rows, "Writes")
    if told.probes:
        probes = [
            (
                moment(one["time"]),
                one["operation"],
                one["key"],
                _short(one["caller"]),
                one["endpoint_id"] or "no endpoint",
                "yes" if one["endpoint_is_ours"] else "no",
            )
            for one in told.probes
        ]
        columns = ("time", "request", "object", "by", "came through", "of this change")
        yield Table(columns, probes, "Requests of the checks, as S3 has logged them")


def versions(story: Story) -> Iterator[Any]:
    """In which versions everything ran."""
    found: dict[str, dict[str, None]] = {}
    for run in story.runs:
        for name, version in run.about.get("versions", {}).items():
            found.setdefault(name, {})[str(version)] = None
    if found:
        yield Table(("what", "version"), [(name, ", ".join(ones)) for name, ones in found.items()])


def handling(story: Story) -> Iterator[Any]:
    """How to undo the change, how to verify the folder, and what is in it."""
    touched = any(line.get("changes") for line in story.lines)
    if state(story) == "undone":
        yield Words("To undo: nothing is left to be undone.")
    elif touched:
        yield Words("To undo it, with the parameters it was made with:")
        yield Lines("private-s3 undo -f PARAMETERS")
    else:
        yield Words("To undo: nothing was changed.")
    yield Words("To verify this folder, offline:")
    yield Lines(f"private-s3 verify {story.change_id} --allowed-signers FILE")
    yield Table(("part of the folder", "what it is"), _PARTS)


def _earlier(story: Story) -> Iterator[Link]:
    told = {run.notebook for run in story.runs}
    for pass_name in PASSES:
        for path in story.notebooks(pass_name):
            if path not in told and (found := link(story, path)):
                yield found


def _told(line: Any) -> list[tuple[str, ...]]:
    try:
        return Status([], [], [line]).rows()
    except (KeyError, TypeError):  # a line that this runbook does not write
        named = [str(line.get(name, "-")) for name in status.COLUMNS[:-1]]
        return [(*named, json.dumps(line, sort_keys=True))]


def _write(story: Story, line: Mapping[str, Any]) -> tuple[Cell, ...]:
    answers = [one for one in story.lines if one.get("intent") == line.get("number")]
    fate = {"outcome": "done", "refused": "refused", "unanswered": "no answer"}
    word = "no answer"
    for one in answers:
        word = str(one.get("found")) if one["event"] == "settled" else fate.get(one["event"], word)
    ids = [str(one["request_id"]) for one in answers if one.get("request_id")]
    purpose = ", ".join(f"{field} of {resource}" for resource, field in line.get("changes", ()))
    return (
        str(line.get("number")),
        moment(str(line.get("time", ""))),
        str(line.get("operation")),
        purpose or "a check",
        _short(line.get("caller", "-")),
        Mark(word),
        ", ".join(ids) or "-",
    )


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _short(caller: Any) -> str:
    """Role and session, or the last of any other ARN; the summary has it whole."""
    return str(caller).rpartition(":")[2].removeprefix("assumed-role/")

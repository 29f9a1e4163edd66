"""Says from the change folder alone how far a change has got, and what to do next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from private_s3 import approval
from private_s3.effect import Effect
from private_s3.folder import change_folder
from private_s3.journal import Fate, Journal, Key, Line
from private_s3.parameters import Parameters
from private_s3.plan import Change, Plan

COLUMNS = ("line", "time", "step", "event", "what")
FILE = "-f PARAMETERS"


@dataclass(frozen=True)
class Status:
    """Where a change stands: sentences about it, the commands that lead on, and its journal."""

    sentences: list[str]
    next: list[str]
    lines: list[Line]

    def rows(self) -> list[tuple[str, ...]]:
        """One row per line of the journal, by COLUMNS."""
        return [
            (
                str(line["number"]),
                line["time"][:19].replace("T", " "),
                line.get("step", "-"),
                line["event"],
                _what(line),
            )
            for line in self.lines
        ]


def of(parameters: Parameters) -> Status:
    """Where the change stands; raises CheckFailed if its journal was altered. AWS is not asked."""
    folder = change_folder(parameters)
    journal = Journal(folder)
    lines = journal.lines()
    told = [line for line in lines if line["event"] == "planned" or _touches(line)]
    if not told:
        return Status(["Nothing was planned yet."], [f"private-s3 plan {FILE}"], lines)
    carried = next((line for line in reversed(lines) if _touches(line)), None)
    shown = told[-1]
    sentences: list[str] = []
    commands: list[str] = []
    if carried:
        plan, _ = approval.kept(folder, carried["plan"])
        sentences, commands = _carried(plan, carried, Effect(folder, journal.writes()))
    if shown is not carried and (not carried or shown["plan"] != carried["plan"]):
        plan, _ = approval.kept(folder, shown["plan"])
        sentence, more = _shown(plan, shown, lines)
        if plan.undo and not plan.changes:
            commands = [command for command in commands if "private-s3 undo" not in command]
        sentences, commands = [*sentences, sentence], [*more, *commands]
    return Status([*sentences, *_failed(folder)], commands, lines)


def _touches(line: Line) -> bool:
    """Whether a line tells of a plan that is carried out."""
    return line["event"] == "complete" or bool(line.get("changes"))


def _shown(plan: Plan, line: Line, lines: list[Line]) -> tuple[str, list[str]]:
    """What to say of a plan that was shown and not begun."""
    digest = plan.digest
    if not plan.changes:
        return f"Plan {digest} of {_minute(line)} is empty. {plan.sentence()}", []
    approvals = [one for one in lines if approval.is_approval(one, digest)]
    command = f"private-s3 {plan.doing} {digest} {FILE}"
    what = f"Plan {digest} to {plan.doing} {len(plan.changes)} changes was shown at {_minute(line)}"
    if approvals:
        return f"{what}; {approvals[-1]['by']} approved it at {_minute(approvals[-1])}.", [command]
    approve = f"private-s3 approve {digest} --by NAME {FILE}"
    return f"{what}, and nobody is recorded to have approved it.", [approve, command]


def _carried(plan: Plan, line: Line, effect: Effect) -> tuple[list[str], list[str]]:
    """What to say of the plan that was carried out last, in whole or in part."""
    back = [f"private-s3 undo {FILE}"]
    if line["event"] == "complete":
        if plan.undo:
            return [f"The change was undone at {_minute(line)}."], [f"private-s3 plan {FILE}"]
        sentence = f"Plan {plan.digest} was applied, and found in place at {_minute(line)}."
        return [sentence], [f"private-s3 audit {FILE}", *back]
    fates = _fates(plan, effect)
    past = "undone" if plan.undo else "applied"
    sentences = [f"Plan {plan.digest} was begun, and is not {past} in full."]
    if {*fates.values()} == {"done"} and len(fates) == len(plan.changes):
        sentences = [f"All of plan {plan.digest} is done, but was not read back yet."]
    for fate, words in (
        ("done", "Done"),
        ("unknown", "Perhaps done, the answer never came (the next run reads the account)"),
        ("not done", "Not done"),
        (None, "Not begun"),
    ):
        found = [c for c in plan.changes if fates.get((c.resource, c.field)) == fate]
        sentences += [f"{words}: {_named(found)}."] if found else []
    again = f"private-s3 {plan.doing} {plan.digest} {FILE}"
    return sentences, [again, *([] if plan.undo else back)]


def _fates(plan: Plan, effect: Effect) -> dict[Key, Fate]:
    """What became of each field of a plan, as far as no other plan has changed it since."""
    fates: dict[Key, Fate] = {}
    for write in effect.writes:
        for key in write.changes:
            if write.plan == plan.digest:
                fates[key] = write.fate
            elif write.fate != "not done":
                fates.pop(key, None)
    return fates


def _named(changes: list[Change]) -> str:
    return ", ".join(f"{change.field} of {change.resource}" for change in changes)


def _failed(folder: Path) -> Iterator[str]:
    """What the last run of each step found wrong."""
    for path in sorted(folder.glob("facts/apply/*.json")):
        checks = json.loads(path.read_text(encoding="utf-8"))["checks"]
        failed = [f"{one['name']} ({one['detail']})" for one in checks if one["state"] == "FAIL"]
        if failed:
            yield f"Step {path.stem} failed when last applied: {'; '.join(failed)}."


def _what(line: Line) -> str:
    """The rest of a line, in words."""
    operation, plan = line.get("operation", ""), line.get("plan", "")
    told = {
        "planned": f"plan {plan}, {line.get('count')} changes",
        "approved": f"plan {plan} by {line.get('by')}, ticket {line.get('ticket') or '-'}",
        "intent": operation,
        "outcome": f"{operation}, request {line.get('request_id') or '-'}",
        "refused": f"{operation}: {line.get('answer')}",
        "unanswered": f"{operation}: {line.get('answer')}",
        "settled": f"{operation}: {line.get('found')}, as the account shows",
        "complete": f"plan {plan} is in place",
    }
    return str(told[line["event"]])


def _minute(line: Line) -> str:
    return f"{line['time'][:16].replace('T', ' ')} UTC"

"""Whether what a change folder tells contradicts itself, whoever sealed it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from private_s3 import approval
from private_s3.clean import clean
from private_s3.errors import PlanChanged
from private_s3.evidence import by_hand, shown
from private_s3.evidence.finding import Finding, fail, note
from private_s3.evidence.story import Story
from private_s3.journal import ANSWERS, NO_CALLS, Line
from private_s3.plan import NEW_ENDPOINT, Change
from private_s3.probes import CHECK_PREFIX
from private_s3.record import LEFT, digest_of
from private_s3.ways_in.manual import BY_HAND
from private_s3.ways_in.ssh import INSTANCE

# What a hostile file can make of a reading that takes it for one of ours.
MALFORMED = (AttributeError, KeyError, TypeError, ValueError, RecursionError, OSError, IndexError)
Rule = Callable[[Story], Iterator[Finding]]

EVENTS = ("planned", "approved", "intent", *ANSWERS, "unanswered", "settled", "complete")
CHANGING = (
    *("CreateVpcEndpoint", "ModifyVpcEndpoint", "DeleteVpcEndpoints"),
    *("PutBucketPolicy", "DeleteBucketPolicy"),
)
# AWS refuses whoever's clock is off by over 15 minutes: two of ours are never an hour apart.
CLOCKS = timedelta(hours=1)


def contradictions(story: Story) -> Iterator[Finding]:
    """Every contradiction, and what a reader of the folder should know of it."""
    for where, rule in RULES:
        try:
            yield from rule(story)
        except MALFORMED as error:
            yield fail(where, f"is not as this runbook writes it: {type(error).__name__}: {error}")


def _plans(story: Story) -> Iterator[Finding]:
    """Each plan has the digest of its name, and was shown."""
    told = {line["plan"] for line in story.lines if line["event"] == "planned"}
    for path in sorted((story.folder / approval.PLANS).glob("*")):
        where = f"{approval.PLANS}/{path.name}"
        try:
            approval.kept(story.folder, path.stem)
        except PlanChanged as error:
            yield fail(where, error.answer)
        if path.stem not in told:
            yield note(where, "no line of the journal says that it was shown")


def _identity(story: Story) -> Iterator[Finding]:
    """All plans and facts are of one change, account and Region."""
    plans = [plan for plan, _ in story.plans.values()]
    ids = {plan.change_id for plan in plans}
    accounts = {(plan.account, plan.region) for plan in plans}
    if len(ids) > 1 or len(accounts) > 1:
        yield fail("plans", "are of more than one change, account or Region")
    for run in story.runs:
        where = f"facts/{run.pass_name}/{run.step}.json"
        parameters, about = run.about.get("parameters", {}), run.about
        if ids and parameters and parameters["change_id"] not in ids:
            yield fail(where, f"is of {parameters['change_id']}; the plans are of {_words(ids)}")
        bound = about.get("account"), about.get("region")
        if accounts and bound != (None, None) and bound not in accounts:
            yield fail(where, "is of another account or Region than the plans")
        digest, approved = run.facts.get("plan"), parameters.get("approved_plan", "")
        if parameters and bool(approved) != (run.pass_name == "apply"):
            yield fail(where, f"was run with approved_plan={approved or 'empty'}")
        if digest is not None and digest not in story.plans:
            yield fail(where, f"goes by plan {digest}, which is not there")
        if digest is not None and approved not in ("", digest):
            yield fail(where, f"goes by plan {digest}, though {approved} was approved")


def change_id(story: Story) -> str:
    """Id of the change by its plans, else by its facts, else by the name of its folder."""
    plans = sorted(plan.change_id for plan, _ in story.plans.values())
    return plans[0] if plans else str(story.parameters.get("change_id", story.change_id))


def _journal(story: Story) -> Iterator[Finding]:
    """Each line is of a known kind, names a plan that was shown, and follows the one before."""
    told: dict[str, int] = {}
    before = None
    for line in story.lines:
        where, event = _where(line), line["event"]
        if event not in EVENTS:
            yield fail(where, f"tells of {event!r}, which this runbook never does")
        if event == "planned":
            told[line["plan"]] = line["count"]
        if event in ("planned", "approved", "complete"):
            plan = story.plans.get(line["plan"])
            if plan is None or line["plan"] not in told:
                yield fail(where, f"names plan {line['plan']}, which is not there or was not shown")
            elif told[line["plan"]] != len(plan[0].changes):
                yield fail(where, f"plan {line['plan']} has {len(plan[0].changes)} changes")
        moment = datetime.fromisoformat(line["time"])
        if before and moment < before:
            finding = note if before - moment <= CLOCKS else fail
            yield finding(where, f"is {before - moment} earlier than the line before")
        before = moment


def _writes(story: Story) -> Iterator[Finding]:
    """Each write is what a plan that was shown has, or what the checks need."""
    told: set[str] = set()
    for line in story.lines:
        if line["event"] == "planned":
            told.add(line["plan"])
        elif line["event"] == "intent":
            wrong = _of_plan(story, line, told) if line["changes"] else _of_checks(story, line)
            if wrong:
                yield fail(_where(line), f"{line['operation']}: {wrong}")


def _of_plan(story: Story, line: Line, told: set[str]) -> str:
    digest = line["plan"]
    if digest not in story.plans or digest not in told:
        return f"its plan {digest or '(none)'} is not there or was not shown before"
    if line["operation"] not in CHANGING:
        return "is nothing that a plan is carried out by"
    changes = story.plans[digest][0].changes
    fields = {(change.resource, change.field) for change in changes}
    if odd := [one for one in line["changes"] if tuple(one) not in fields]:
        return f"plan {digest} has no {odd[0][1]} of {odd[0][0]}"
    own = [change for change in changes if [change.resource, change.field] in line["changes"]]
    if not _asks_for(line, own, _endpoints(story)):
        return f"asks for something else than plan {digest}"
    return ""


def _asks_for(line: Line, changes: list[Change], endpoints: list[str]) -> bool:
    """Whether a request is for the changes: the bucket, the policy and the route tables."""
    request, resources = line["request"], {change.resource for change in changes}
    tables = [t for name in request if name.endswith("RouteTableIds") for t in request[name]]
    if any(f"route-table/{table}" not in resources for table in tables):
        return False
    if line["operation"].endswith("BucketPolicy") and {f"bucket/{request['Bucket']}"} != resources:
        return False
    policy = request.get("Policy", request.get("PolicyDocument"))
    planned = [change for change in changes if change.field == "policy"]
    if policy is None or not planned:
        return policy is None and (not planned or line["operation"].startswith("Delete"))
    after = planned[0].after or ""
    texts = [after, *(after.replace(NEW_ENDPOINT, one) for one in endpoints)]
    return any(planned[0].same(clean(text), policy) for text in texts)


def _endpoints(story: Story) -> list[str]:
    """Ids of the endpoints that the change has made."""
    values = (line.get("values", {}) for line in story.lines)
    return [one["endpoint_id"] for one in values if "endpoint_id" in one]


def _of_checks(story: Story, line: Line) -> str:
    request, bucket = line["request"], story.parameters.get("bucket")
    if line["plan"] and line["plan"] not in story.plans:
        return f"its plan {line['plan']} is not there"
    if line["operation"] == "SendCommand":
        known = request["DocumentName"] == "AWS-RunShellScript"
        return "" if known else f"runs the document {request['DocumentName']}"
    if line["operation"] in NO_CALLS:
        odd = [one for one in request["InstanceIds"] if not INSTANCE.fullmatch(one)]
        return f"is for {odd[0]}, which is no instance" if odd else ""
    if line["operation"] not in ("PutObject", "DeleteObject"):
        return "is for no change of a plan, and nothing that checks do"
    if not line["plan"]:
        return "wrote, though no plan was approved"
    if not request["Key"].startswith(f"{CHECK_PREFIX}/{change_id(story)}/"):
        return f"the object {request['Key']} is none of the checks"
    return "" if bucket in (None, request["Bucket"]) else f"{request['Bucket']} is another bucket"


def _answers(story: Story) -> Iterator[Finding]:
    """Each answer is to a write that was begun before, and there is but one."""
    begun: dict[int, Line] = {}
    answered, known = set(), set()
    for line in story.lines:
        if line["event"] == "intent":
            begun[line["number"]] = line
        elif line["event"] in (*ANSWERS, "unanswered", "settled"):
            intent = begun.get(line["intent"])
            if intent is None or intent["operation"] != line["operation"]:
                yield fail(_where(line), f"answers {line['operation']}, which was not begun")
            # Another run may settle what became of a write before its answer is noted.
            elif line["event"] != "settled" and line["intent"] in answered:
                yield fail(_where(line), f"is a second answer to line {line['intent']}")
            if line["event"] != "settled":
                answered.add(line["intent"])
            if line["event"] != "unanswered":
                known.add(line["intent"])
    for number in sorted(begun.keys() - known):
        yield note(_where(begun[number]), "what became of this write is not known")


def _approvals(story: Story) -> Iterator[Finding]:
    """Each plan was approved before it was carried out, and not too long before."""
    approved: dict[str, Line] = {}
    done = set()
    for line in story.lines:
        if line["event"] == "approved":
            approved[line["plan"]] = line
        if line["event"] != "intent" or not line["changes"] or line["plan"] in done:
            continue
        done.add(line["plan"])
        digest, where = line["plan"], _where(line)
        hours, begun = _limit(story, line)
        if digest not in approved:
            words = f"plan {digest} is carried out; nobody is recorded to have approved it"
            if hours:
                yield fail(where, f"{words}, and approval_valid_hours is {hours}")
            else:
                yield note(where, f"{words}: approval_valid_hours was 0, its digest was enough")
        elif hours:
            age = begun - datetime.fromisoformat(approved[digest]["time"])
            if age > timedelta(hours=hours):
                yield fail(where, f"plan {digest} was approved {age} before: over {hours} hours")


def _limit(story: Story, line: Line) -> tuple[int, datetime]:
    """How long approvals held for the run that wrote, and when it began, which is what counts."""
    written = datetime.fromisoformat(line["time"])
    runs = [
        run
        for run in story.runs
        if run.about.get("parameters", {}).get("approved_plan") == line["plan"]
    ]
    own = next((run for run in runs if run.step == line["step"]), None)
    hours = [run.about["parameters"]["approval_valid_hours"] for run in ([own] if own else runs)]
    begun = datetime.fromisoformat(own.started) if own else written
    # Of a step that was run again, the first run is not kept: none takes an hour to get so far.
    return max(hours, default=0), begun if begun < written else written - CLOCKS


def _left(story: Story) -> Iterator[Finding]:
    """What each completed change has left is kept, as it was."""
    named = set()
    for line in story.lines:
        if line["event"] != "complete":
            continue
        path = story.folder / LEFT / f"{line['left']}.json"
        named.add(path.name)
        if not path.is_file():
            yield fail(f"{LEFT}/{path.name}", f"missing; {_where(line)} names it")
    for path in sorted((story.folder / LEFT).glob("*")):
        if digest_of(json.loads(path.read_bytes())) != path.stem:
            yield fail(f"{LEFT}/{path.name}", "its content has another digest than its name")
        elif path.name not in named:
            yield note(f"{LEFT}/{path.name}", "no line of the journal names it")


def _where(line: Line) -> str:
    return f"journal.jsonl line {line['number']}"


def _words(texts: Any) -> str:
    return ", ".join(sorted(texts))


RULES: tuple[tuple[str, Rule], ...] = (
    ("plans", _plans),
    ("facts", _identity),
    *(("journal.jsonl", rule) for rule in (_journal, _writes, _answers, _approvals)),
    ("left", _left),
    ("facts", shown.contradictions),
    (BY_HAND, by_hand.contradictions),
)

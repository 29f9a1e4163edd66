"""Says where in its runbook a step is: what comes before it, what is done, and what follows."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from private_s3 import approval
from private_s3.errors import BadInput, PlanChanged
from private_s3.folder import change_folder, pass_name, project_directory
from private_s3.journal import Journal
from private_s3.parameters import Parameters
from private_s3.runbook import facts

# What may differ between two runs of a step that do the same.
REMARKS = frozenset({"note", "ticket", "changes_dir"})


class Text:
    """A sentence with links, which a notebook shows."""

    def __init__(self, markdown: str) -> None:
        self.markdown = markdown

    def _repr_markdown_(self) -> str:
        return self.markdown

    def __repr__(self) -> str:
        return re.sub(r"\[(.+?)\]\(.+?\)|[`*]", r"\1", self.markdown)


def require_place(parameters: Parameters, step: str) -> None:
    """Raises if this kernel runs a copy in a change folder that is not to be run like this.

    BadInput for one that is sealed; PlanChanged for one of the apply pass without a digest, and
    one of the plan pass with one.
    """
    copy = copy_of(parameters)
    if copy is None:
        return
    from private_s3.session import copies

    attempted = f"Could not run {copy.parent.name}/{copy.name}; AWS was not asked for anything."
    folder = change_folder(parameters)
    if copy.relative_to(folder).as_posix() in copies.sealed(folder):
        fresh = copies.to_run(folder, copy.parent.name, step)
        raise BadInput(
            attempted,
            "It is sealed: it is evidence of what was run, and cannot be saved.",
            f"to run the step again, open {copy.parent.name}/{fresh.name}",
        )
    if copy.parent.name == "apply" and not parameters.applying:
        raise PlanChanged(
            attempted,
            "This is the apply pass, and `approved_plan` in the parameters cell is empty.",
            f"type there the digest of the approved plan, which plan/{order(step)[-1]}.ipynb shows "
            "at its end, and run all cells again",
        )
    if copy.parent.name == "plan" and parameters.applying:
        raise PlanChanged(
            attempted,
            "This is the plan pass, and `approved_plan` in the parameters cell is not empty.",
            f"empty it; a plan is applied in apply/{order(step)[0]}.ipynb",
        )


def position(parameters: Parameters, step: str) -> Text:
    """Which step of which pass this is, whether it was done before, and which are missing."""
    steps = order(step)
    sentences = [f"Step {steps.index(step) + 1} of {len(steps)}, {pass_name(parameters)} pass."]
    if ended := done(parameters, step):
        minute = ended[:16].replace("T", " ")
        sentences.append(
            f"**It was done at {minute} UTC.** Run again, it reads the account anew and writes "
            "only what is missing."
        )
    missing = [name for name in steps[: steps.index(step)] if not done(parameters, name)]
    if missing:
        links = ", ".join(_link(parameters, name) for name in missing)
        sentences.append(f"**Not done yet in this pass: {links}.** Run that first.")
    return Text(" ".join(sentences))


def onward(parameters: Parameters, step: str, digest: str) -> Text:
    """What follows a step: the next one, the pass that applies the plan of `digest`, or nothing."""
    steps = order(step)
    rest = steps[steps.index(step) + 1 :]
    if rest:
        return Text(f"Next: {_link(parameters, rest[0])}")
    if parameters.applying:
        end = "This was the last step; the change folder holds its evidence."
        back = _undone_by(step) if copy_of(parameters) else ""
        return Text(f"{end} To take it back: {_link(parameters, back, 'plan')}" if back else end)
    if not digest:
        return Text("Nothing follows.")
    plan, _ = approval.kept(change_folder(parameters), digest)
    if not plan.changes:
        return Text(f"Nothing follows: plan {digest} is empty.")
    if copy_of(parameters):
        link = _link(parameters, steps[0], "apply")
        return Text(
            f"Next, once plan **{digest}** is approved: {link} of the apply pass. Type this digest "
            "into `approved_plan` of its parameters cell."
        )
    return Text(
        f"Next, once plan **{digest}** is approved: `private-s3 {plan.doing} {digest} "
        "-f PARAMETERS`"
    )


def order(step: str) -> list[str]:
    """The steps of the runbook that a step belongs to, in their order."""
    names: list[str] = _runbook(step)["notebooks"]
    return names


def _undone_by(step: str) -> str:
    """The first step of what takes back what a step belongs to; empty if nothing does."""
    undo = _runbooks(project_directory() / "runbooks").get(_runbook(step).get("undo", ""), {})
    return str(undo["notebooks"][0]) if undo else ""


def _runbook(step: str) -> dict[str, Any]:
    found = _runbooks(project_directory() / "runbooks").values()
    return next((one for one in found if step in one["notebooks"]), {"notebooks": [step]})


@cache
def _runbooks(folder: Path) -> dict[str, dict[str, Any]]:
    """The content of each runbook by the name of its file."""
    paths = sorted(folder.glob("*.yaml"))
    return {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in paths}


def done(parameters: Parameters, step: str, since: str = "") -> str:
    """When a step was done in this pass with these parameters, and after `since`; else empty."""
    found = facts(parameters, step)
    run, checks = found.get("run", {}), found.get("checks", [])
    failed = "error" in found or any(check["state"] == "FAIL" for check in checks)
    same = _essential(run.get("parameters", {})) == _essential(parameters.model_dump())
    whole = "aws_calls" in found and same and not failed and run["started"] > since
    return str(run["ended"]) if whole else ""


def to_do(parameters: Parameters, steps: Sequence[str]) -> tuple[str, str] | None:
    """The pass and the step with which to go on; None if both passes are done.

    A step counts only if its copy shows it whole, since the copy is the evidence.
    """
    from private_s3.session.copies import is_whole

    folder = change_folder(parameters)
    since = _turned(folder, steps)
    plan_pass = parameters.model_copy(update={"approved_plan": ""})
    for step in steps:
        if not (done(plan_pass, step, since) and is_whole(folder, "plan", step)):
            return "plan", step
    digest = facts(plan_pass, steps[-1]).get("plan", "")
    if not digest or not approval.kept(folder, digest)[0].changes:
        return None
    apply_pass = parameters.model_copy(update={"approved_plan": digest})
    for step in steps:
        if not (done(apply_pass, step, since) and is_whole(folder, "apply", step)):
            return "apply", step
    return None


def carried(parameters: Parameters, step: str) -> str:
    """The digest that was typed in the apply pass, as the step before this one has kept it."""
    before = order(step)[: order(step).index(step)]
    some_plan = parameters.model_copy(update={"approved_plan": "any"})
    found = facts(some_plan, before[-1]) if before else {}
    return str(found.get("run", {}).get("parameters", {}).get("approved_plan", ""))


def _turned(folder: Path, steps: Sequence[str]) -> str:
    """When a plan of the other kind was last completed: what was done before is done no more."""
    undo = "90_roll_back" in steps
    lines = Journal(folder).lines() if folder.is_dir() else []
    complete = [line for line in lines if line["event"] == "complete"]
    times = [x["time"] for x in complete if approval.kept(folder, x["plan"])[0].undo != undo]
    return max(times, default="")


def _essential(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in REMARKS}


def _link(parameters: Parameters, step: str, other_pass: str = "") -> str:
    """A link to a step: to the copy in which it is to be run, else to the notebook beside."""
    name = f"{step}.ipynb"
    if copy := copy_of(parameters):
        from private_s3.session import copies

        name = copies.to_run(copy.parent.parent, other_pass or copy.parent.name, step).name
    return f"[{step}]({f'../{other_pass}/' if other_pass else ''}{name})"


def copy_of(parameters: Parameters) -> Path | None:
    """The notebook that this kernel runs, if JupyterLab has opened it in the change folder."""
    path = Path(os.environ.get("JPY_SESSION_NAME", ""))
    folder = change_folder(parameters)
    if path.parent.parent.resolve() != folder.resolve():
        return None
    return folder / path.parent.name / path.name

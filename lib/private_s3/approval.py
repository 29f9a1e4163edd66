"""Keeps the plans that were shown, and who has approved which of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from private_s3.errors import BadInput, PlanChanged
from private_s3.folder import change_folder, write_json
from private_s3.journal import Journal, Line
from private_s3.parameters import Parameters
from private_s3.plan import Plan

PLANS = "plans"


def keep(folder: Path, plan: Plan, seen: Mapping[str, Any]) -> None:
    """Keeps a plan and what its maker saw, so that it can be approved; its first sight stays."""
    try:
        kept(folder, plan.digest)
    except PlanChanged:  # not there, or altered
        write_json(folder / PLANS / f"{plan.digest}.json", {"plan": plan.to_json(), "seen": seen})


def kept(folder: Path, digest: str) -> tuple[Plan, dict[str, Any]]:
    """A plan that was shown, and what its maker saw; raises PlanChanged for any other digest."""
    path = folder / PLANS / f"{digest}.json"
    attempted = f"Could not use plan {digest} of {folder.name}. Nothing was written."
    remedy = "run the plan pass, have its digest approved, and pass that digest"
    if not path.exists():
        answer = f"No such plan was shown; {len(list(path.parent.glob('*.json')))} others were."
        raise PlanChanged(attempted, answer, remedy)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        plan, seen = Plan.from_json(content["plan"]), content["seen"]
    except (ValueError, KeyError, TypeError) as error:
        raise PlanChanged(
            attempted, f"The file {path.name} was altered: {error}.", remedy
        ) from error
    if plan.digest != digest:
        answer = f"The file {path.name} was altered: its content has the digest {plan.digest}."
        raise PlanChanged(attempted, answer, remedy)
    return plan, seen


def approve(parameters: Parameters, digest: str, by: str) -> Plan:
    """Notes in the journal who approves a plan that was shown; AWS is asked for nothing."""
    if not re.fullmatch(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,200}", by.strip()):
        raise BadInput(
            f"Could not approve {digest}.",
            f"{by[:40]!r} is no name: it has 1 to 200 characters, none of them for control.",
            "say who approves: a name, a mail address, an ARN",
        )
    folder = change_folder(parameters)
    plan, _ = kept(folder, digest)
    Journal(folder).append("approved", plan=digest, by=by.strip(), ticket=parameters.ticket)
    return plan


def require(journal: Journal, parameters: Parameters) -> None:
    """Raises PlanChanged unless the plan was approved lately, where approvals must be recorded."""
    hours, digest = parameters.approval_valid_hours, parameters.approved_plan
    if not hours:
        return
    approvals = [line for line in journal.lines() if is_approval(line, digest)]
    if approvals and _age(approvals[-1]) <= timedelta(hours=hours):
        return
    found = "Nobody is recorded to have approved it."
    if approvals:
        found = f"{approvals[-1]['by']} approved it at {approvals[-1]['time']}, which is too old."
    raise PlanChanged(
        f"Could not carry out plan {digest} of {parameters.change_id}. Nothing was written.",
        f"{found} approval_valid_hours is {hours}.",
        f"have it approved: private-s3 approve {digest} --by NAME -f PARAMETERS",
    )


def is_approval(line: Line, digest: str) -> bool:
    """Whether a line of the journal approves the plan."""
    return bool(line["event"] == "approved" and line["plan"] == digest)


def _age(line: Line) -> timedelta:
    return datetime.now(UTC) - datetime.fromisoformat(line["time"])

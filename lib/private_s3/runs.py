"""Runs whole runbooks for the command line, and shows what comes of them."""

from __future__ import annotations

import os
import textwrap
from contextlib import closing
from pathlib import Path

import click

from private_s3 import approval
from private_s3.clean import clean
from private_s3.folder import change_folder, project_directory
from private_s3.parameters import Parameters
from private_s3.plan import Plan
from private_s3.runbook import Runbook, Step, facts

RUNBOOK, AUDIT, UNDO = (
    Path(f"runbooks/{name}.yaml") for name in ("open_private_path", "audit", "roll_back")
)


def run(runbook: Path, parameters: Parameters) -> list[Step]:
    """Runs all notebooks, shows each while it runs; raises the error of the one that failed."""
    chosen = Runbook.load(project_directory() / runbook)
    steps = []
    with closing(chosen.run(parameters)) as run:
        for notebook in chosen.notebooks:
            click.echo(f"  {notebook.stem:<28}", nl=False)
            try:
                step = next(run)
            except BaseException:
                click.echo()
                raise
            steps.append(step)
            result = "failed" if step.error else "done"
            click.echo(f"{result:<8}{step.seconds:6.1f} s{step.aws_calls or '-':>5} calls")
            if step.error:
                break
    if error := steps[-1].error:
        click.echo(f"The executed notebook: {os.path.relpath(steps[-1].notebook)}\n", err=True)
        raise error
    return steps


def show_plan(parameters: Parameters, step: str, digest_to: Path | None) -> str:
    """Shows the plan that a step of the plan pass has made, and gives its digest."""
    found = facts(parameters, step)
    plan, _ = approval.kept(change_folder(parameters), found["plan"])
    click.echo("\nThe plan")
    show_changes(plan)
    click.echo(f"  Loses by it: {found['loses']}.")
    click.echo(textwrap.indent(found["sentence"], "  "))
    if digest_to:
        digest_to.write_text(f"{plan.digest}\n", encoding="utf-8")
    return plan.digest


def show_changes(plan: Plan) -> None:
    for change in plan.changes:
        before, after = change.brief(change.before), change.brief(change.after)
        click.echo(clean(f"  {change.resource}, {change.field}: {before} -> {after}"))


def show_findings(parameters: Parameters) -> bool:
    """Shows each finding of the audit that is not as the change left it; whether it found any."""
    checks = facts(parameters, "80_audit_drift").get("checks", [])
    for check in checks:
        if check["state"] != "PASS":
            click.echo(clean(f"  {check['state']} {check['name']}: {check['detail']}"))
            if check["remedy"]:
                click.echo(f"    Next: {check['remedy']}")
    return bool(checks)


def two_passes(runbook: Path, parameters: Parameters, planner: str) -> list[Step]:
    """Plans, approves and carries out, as the rehearsal may."""
    click.echo(f"\n{runbook.stem}, plan pass: reads, changes nothing")
    steps = run(runbook, parameters)
    digest = show_plan(parameters, planner, None)
    approval.approve(parameters, digest, "the rehearsal itself")
    click.echo(f"\n{runbook.stem}, apply pass: approved by the rehearsal itself, {digest}")
    return steps + run(runbook, parameters.model_copy(update={"approved_plan": digest}))

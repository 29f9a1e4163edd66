"""The command line: a thin layer that names what the library does, and gives its exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from private_s3 import approval, operator_policies, rehearsing, runs
from private_s3 import status as change_status
from private_s3.clean import clean
from private_s3.doctor.command import doctor
from private_s3.errors import BadInput, CheckFailed, RunbookError
from private_s3.evidence import commands as evidence
from private_s3.folder import change_folder
from private_s3.options import as_given, parameter_options, values
from private_s3.parameters import Parameters
from private_s3.session.command import open_session


class Commands(click.Group):
    """Commands that end with the three lines of a RunbookError, and its exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RunbookError as error:
            click.echo(error, err=True)
            ctx.exit(error.exit_code)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Give private EC2 instances access to a private S3 bucket, step by step.

    Exit codes: 0 done, 1 a check failed, 2 bad input, 3 the plan changed or was not approved,
    4 AWS refused or could not be reached.
    """


for _command in evidence.COMMANDS:
    main.add_command(_command)
for _command in (doctor, open_session, rehearsing.rehearse, rehearsing.lab):
    main.add_command(_command)


_runbook_option = click.option(
    "--runbook",
    default=runs.RUNBOOK,
    show_default=True,
    type=click.Path(path_type=Path),
    help="Which notebooks to run, in which order.",
)


_digest_to = click.option(
    "--digest-to",
    type=click.Path(path_type=Path),
    help="Writes the digest to this file besides, for the next stage of a pipeline.",
)


@main.command()
@_runbook_option
@parameter_options
@_digest_to
@evidence.SIGN_WITH
def plan(
    path: Path,
    changes: Sequence[str],
    runbook: Path,
    digest_to: Path | None,
    key: Path | None,
) -> None:
    """Read the account and show the plan, with the digest to approve; change nothing."""
    parameters = Parameters.load(path, {**values(changes), "approved_plan": ""})
    with evidence.sealing(change_folder(parameters), key):
        runs.run(runbook, parameters)
        runs.show_plan(parameters, "20_create_gateway_endpoint", digest_to)


@main.command()
@click.argument("digest")
@click.option("--by", required=True, help="Who approves: a name, a mail address, an ARN.")
@click.option("--ticket", help="The ticket, if it is not that of the parameters.")
@parameter_options
@evidence.SIGN_WITH
def approve(
    digest: str,
    by: str,
    ticket: str | None,
    path: Path,
    changes: Sequence[str],
    key: Path | None,
) -> None:
    """Record who approves the plan with this DIGEST, and when; asks nothing of AWS."""
    given = {**values(changes), **({} if ticket is None else {"ticket": ticket})}
    parameters = Parameters.load(path, given)
    with evidence.sealing(change_folder(parameters), key):
        plan = approval.approve(parameters, digest, by)
        runs.show_changes(plan)
    command = f"private-s3 {plan.doing} {digest} {as_given(path, changes)}"
    click.echo(f"  Approved by {clean(by)}. Next: {command}")


@main.command()
@click.argument("digest")
@_runbook_option
@parameter_options
@evidence.SIGN_WITH
def apply(digest: str, path: Path, changes: Sequence[str], runbook: Path, key: Path | None) -> None:
    """Apply the plan that was approved by its DIGEST, and check it from the instances."""
    if not digest:
        raise BadInput("Could not apply.", "The digest is empty.", "give the approved digest")
    parameters = Parameters.load(path, {**values(changes), "approved_plan": digest})
    with evidence.sealing(change_folder(parameters), key):
        runs.run(runbook, parameters)


@main.command()
@click.argument("digest", default="")
@parameter_options
@_digest_to
@evidence.SIGN_WITH
def undo(
    digest: str, path: Path, changes: Sequence[str], digest_to: Path | None, key: Path | None
) -> None:
    """Without DIGEST plan to take the change back; with it, once approved, take it back."""
    parameters = Parameters.load(path, {**values(changes), "approved_plan": digest})
    with evidence.sealing(change_folder(parameters), key):
        runs.run(runs.UNDO, parameters)
        if not digest:
            runs.show_plan(parameters, "90_roll_back", digest_to)


@main.command()
@parameter_options
@evidence.SIGN_WITH
def audit(path: Path, changes: Sequence[str], key: Path | None) -> None:
    """Compare the account with what the change has left in it; exit 1 where it drifted."""
    parameters = Parameters.load(path, {**values(changes), "approved_plan": ""})
    try:
        with evidence.sealing(change_folder(parameters), key):
            runs.run(runs.AUDIT, parameters)
    except CheckFailed as error:
        if not runs.show_findings(parameters):
            raise
        sys.exit(error.exit_code)
    runs.show_findings(parameters)


@main.command()
@parameter_options
def status(path: Path, changes: Sequence[str]) -> None:
    """Show the journal of the change and what to do next; asks nothing of AWS."""
    found = change_status.of(Parameters.load(path, values(changes)))
    if found.lines:
        evidence.show_rows(change_status.COLUMNS, found.rows())
        click.echo()
    for sentence in found.sentences:
        click.echo(clean(sentence))
    for word, command in zip(["Next:", *["  or:"] * 9], found.next, strict=False):
        given = command.replace(change_status.FILE, as_given(path, changes))
        click.echo(f"{word} {given}")


@main.command()
@parameter_options
@click.option("--to", type=click.Path(path_type=Path), help="A folder to write the files into.")
def policies(path: Path, changes: Sequence[str], to: Path | None) -> None:
    """Fill in the IAM policies that an operator of the change needs; asks nothing of AWS."""
    parameters = Parameters.load(path, values(changes))
    texts = operator_policies.fill(parameters)
    for name, text in texts.items():
        used = f"{operator_policies.size(text):,} of {operator_policies.SIZE_LIMIT:,} characters"
        click.echo(f"{name}.json: {used}")
        if not to:
            click.echo(text)
    if to:
        operator_policies.write(texts, to)
    for sentence in operator_policies.open_ends(parameters):
        click.echo(f"Noticed: {sentence}.")

"""The command line: a thin layer that names what the library does, and gives its exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_origin

import click
import yaml

from private_s3.errors import BadInput, CheckFailed, RunbookError
from private_s3.parameters import Parameters
from private_s3.record import change_folder, project_directory
from private_s3.runbook import Runbook, Step, shown_plan

if TYPE_CHECKING:
    from rehearsal import Account

RUNBOOK = Path("runbooks/open_private_path.yaml")


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


def _parameter_options(command: Any) -> Any:
    for option in (
        click.option(
            "-p",
            "--parameter",
            "changes",
            multiple=True,
            metavar="NAME=VALUE",
            help="Replaces one parameter of the file; may be given several times.",
        ),
        click.option(
            "-f",
            "--file",
            "path",
            required=True,
            type=click.Path(path_type=Path),
            help="The parameters, a file like params/example.yaml.",
        ),
        click.option(
            "--runbook",
            default=RUNBOOK,
            show_default=True,
            type=click.Path(path_type=Path),
            help="Which notebooks to run, in which order.",
        ),
    ):
        command = option(command)
    return command


def _mode_option(command: Any) -> Any:
    return click.option(
        "--mode",
        type=click.Choice(["auto", "namespace", "portable"]),
        default="auto",
        show_default=True,
        help="How the rehearsal account makes the instances' network.",
    )(command)


@main.command()
@_parameter_options
def plan(path: Path, changes: Sequence[str], runbook: Path) -> None:
    """Read the account and show the plan, with the digest to approve; change nothing."""
    parameters = Parameters.load(path, {**_values(changes), "approved_plan": ""})
    _run(runbook, parameters)
    _show_plan(parameters)


@main.command()
@click.argument("digest")
@_parameter_options
def apply(digest: str, path: Path, changes: Sequence[str], runbook: Path) -> None:
    """Apply the plan that was approved by its DIGEST, and check it from the instances."""
    if not digest:
        raise BadInput("Could not apply.", "The digest is empty.", "give the approved digest")
    _run(runbook, Parameters.load(path, {**_values(changes), "approved_plan": digest}))


@main.command()
@_mode_option
@click.option("-p", "--parameter", "changes", multiple=True, metavar="NAME=VALUE")
def rehearse(mode: str, changes: Sequence[str]) -> None:
    """Do the whole change in an emulated account: plan, approve, apply, check."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    values = {"changes_dir": f"changes/{stamp}", **_values(changes)}
    with _rehearsal_account(mode) as account:
        values.setdefault("note", f"Rehearsal in an emulated account, {account.mode} mode.")
        parameters = Parameters.load(project_directory() / "params/rehearsal.yaml", values)
        click.echo("\nPlan pass: reads, changes nothing")
        steps = _run(RUNBOOK, parameters)
        digest = _show_plan(parameters)
        click.echo(f"\nApproved by the rehearsal itself: {digest}\n\nApply pass")
        approved = parameters.model_copy(update={"approved_plan": digest})
        steps += _run(RUNBOOK, approved)
    seconds, calls = sum(s.seconds for s in steps), sum(s.aws_calls or 0 for s in steps)
    click.echo(f"\nEvery check passed, in {seconds:.0f} s with {calls} AWS calls. The evidence:")
    click.echo(f"  {os.path.relpath(change_folder(parameters))}")


@main.command(context_settings={"ignore_unknown_options": True})
@_mode_option
@click.option("--jupyter", is_flag=True, help="Open JupyterLab on the first notebook.")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def lab(mode: str, jupyter: bool, command: Sequence[str]) -> None:
    """Keep the rehearsal account running for a COMMAND; without one, for a shell.

    With --jupyter, what follows `--` are options of JupyterLab.
    """
    bin_directory = Path(sys.executable).parent
    if jupyter:
        command = [str(bin_directory / "jupyter"), "lab", *_jupyter_options(), *command]
    elif not command:
        command = [os.environ.get("SHELL", "/bin/sh")]
        click.echo("A shell on the rehearsal account; `exit` ends both.")
    with _rehearsal_account(mode):
        path = f"{bin_directory}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path}
        done = subprocess.run(command, env=environment, cwd=project_directory(), check=False)
    sys.exit(done.returncode)


def _jupyter_options() -> list[str]:
    first = "--LabApp.default_url=/lab/tree/notebooks/10_find_vpc.ipynb"
    # JupyterLab listens on this machine only and asks for its token, also when root starts it,
    # as one does in a container.
    return [first, *(["--allow-root"] if os.getuid() == 0 else [])]


@contextmanager
def _rehearsal_account(mode: str) -> Iterator[Account]:
    """The emulated account, with this process's environment pointing at it meanwhile."""
    try:
        import rehearsal
    except ImportError as error:
        raise BadInput(
            "Could not start the rehearsal account.",
            f"It is not installed: {error}",
            "install the extra `rehearsal` of this project",
        ) from error
    before = dict(os.environ)
    try:
        started = rehearsal.start(mode)
    except rehearsal.StartError as error:
        attempted, answer, remedy = str(error).splitlines()
        raise CheckFailed(attempted, answer, remedy.removeprefix("Next: ")) from error
    with started as account:
        click.echo(f"Rehearsal account {account.account_id} is up in {account.mode} mode.")
        try:
            os.environ.pop("AWS_PROFILE", None)
            os.environ.update(account.environment())
            yield account
        finally:
            os.environ.clear()
            os.environ.update(before)


def _run(runbook: Path, parameters: Parameters) -> list[Step]:
    """Runs all notebooks and shows each as it ends; raises the error of the one that failed."""
    steps = []
    for step in Runbook.load(project_directory() / runbook).run(parameters):
        result = "failed" if step.error else "done"
        click.echo(
            f"  {step.name:<28}{result:<8}{step.seconds:6.1f} s{step.aws_calls or '-':>5} calls"
        )
        steps.append(step)
    if steps[-1].error:
        click.echo(f"The executed notebook: {os.path.relpath(steps[-1].notebook)}\n", err=True)
        raise steps[-1].error
    return steps


def _show_plan(parameters: Parameters) -> str:
    plan, loses = shown_plan(parameters)
    click.echo("\nThe plan")
    for change in plan.changes:
        before, after = change.brief(change.before), change.brief(change.after)
        click.echo(f"  {change.resource}, {change.field}: {before} -> {after}")
    click.echo(f"  Loses by the change: {loses}.\n  {plan.sentence()}")
    return plan.digest


def _values(changes: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE texts as parameters; what is a text in the model stays one, ids keep zeros."""
    values = {}
    for change in changes:
        name, equals, text = change.partition("=")
        field = Parameters.model_fields.get(name)
        if not equals:
            raise BadInput(f"Could not read -p {change}.", "It has no `=`.", "give NAME=VALUE")
        annotation = field.annotation if field else str
        is_text = annotation is not bool and get_origin(annotation) is not list
        values[name] = text if is_text else yaml.safe_load(text)
    return values

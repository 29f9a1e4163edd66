"""The commands `rehearse` and `lab`, which start the rehearsal account and work in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from private_s3 import runs
from private_s3.errors import BadInput, CheckFailed
from private_s3.evidence import commands as evidence
from private_s3.folder import change_folder, project_directory
from private_s3.options import as_given, values
from private_s3.parameters import Parameters
from private_s3.session.command import session

if TYPE_CHECKING:
    from rehearsal import Account


def _mode_option(command: Any) -> Any:
    return click.option(
        "--mode",
        type=click.Choice(["auto", "namespace", "portable"]),
        default="auto",
        show_default=True,
        help="How the rehearsal account makes the instances' network.",
    )(command)


@click.command()
@_mode_option
@click.option("-p", "--parameter", "changes", multiple=True, metavar="NAME=VALUE")
@evidence.SIGN_WITH
def rehearse(mode: str, changes: Sequence[str], key: Path | None) -> None:
    """Do the whole change in an emulated account: plan, approve, apply, check, audit, undo."""
    with _rehearsal_account(mode) as account:
        note = f"note=Rehearsal in an emulated account, {account.mode} mode."
        parameters = _by_ssh(account, _rehearsal_parameters([note, *changes]))
        _require_no_hands(parameters)
        with evidence.sealing(change_folder(parameters), key):
            steps = runs.two_passes(runs.RUNBOOK, parameters, "20_create_gateway_endpoint")
            click.echo("\nAudit: what of it has drifted")
            steps += runs.run(runs.AUDIT, parameters)
            steps += runs.two_passes(runs.UNDO, parameters, "90_roll_back")
    seconds, calls = sum(s.seconds for s in steps), sum(s.aws_calls or 0 for s in steps)
    click.echo(f"\nEvery check passed, in {seconds:.0f} s with {calls} AWS calls. The evidence:")
    click.echo(f"  {os.path.relpath(change_folder(parameters) / 'report.html')}")


def _rehearsal_parameters(changes: Sequence[str]) -> Parameters:
    """Those of the rehearsal account, with a change folder that is new each time."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    given = {"changes_dir": f"changes/{stamp}", **values(changes)}
    return Parameters.load(project_directory() / "params/rehearsal.yaml", given)


@click.command(context_settings={"ignore_unknown_options": True})
@_mode_option
@click.option("--jupyter", is_flag=True, help="Do the change in JupyterLab, as `open` does.")
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="NAME",
    help="Break the open path of app-1 in this way; may be given again.",
)
@click.option("-p", "--parameter", "changes", multiple=True, metavar="NAME=VALUE")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@evidence.SIGN_WITH
def lab(
    mode: str,
    jupyter: bool,
    faults: Sequence[str],
    changes: Sequence[str],
    command: Sequence[str],
    key: Path | None,
) -> None:
    """Keep the rehearsal account running for a COMMAND; without one, for a shell.

    With --jupyter, what follows `--` are options of JupyterLab.
    """
    parameters = _rehearsal_parameters(changes) if jupyter else None
    _require_faults(faults)
    if not jupyter and not command:
        command = [os.environ.get("SHELL", "/bin/sh")]
        click.echo("A shell on the rehearsal account; `exit` ends both.")
    with _rehearsal_account(mode) as account:
        _plant(account, faults)
        if parameters:
            session(_by_ssh(account, parameters), runs.RUNBOOK, command, key)
            return
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path}
        with suppress(CheckFailed):  # where there is no sshd
            environment["REHEARSAL_SSH_CONFIG"] = _ssh_config(account)
        done = subprocess.run(command, env=environment, cwd=project_directory(), check=False)
    sys.exit(done.returncode)


def _require_faults(names: Sequence[str]) -> None:
    """BadInput if there is a fault that nobody can plant; asked before anything is started."""
    _rehearsal()
    from rehearsal.symptoms import SYMPTOMS

    if unknown := [name for name in names if name not in SYMPTOMS]:
        raise BadInput(
            f"Could not plant {', '.join(unknown)}.",
            "No fault has this name." if len(unknown) == 1 else "No faults have these names.",
            f"choose among {', '.join(SYMPTOMS)}",
        )


def _plant(account: Account, names: Sequence[str]) -> None:
    """Opens the path of app-1 and breaks it; says how, and how to see and to find it."""
    if not names:
        return
    from rehearsal import symptoms

    symptoms.open_path(account)
    for name in dict.fromkeys(names):
        symptom = symptoms.SYMPTOMS[name]
        symptoms.plant(account, name)
        where = "see it on app-1" if symptom.at == "instance" else "see it"
        changes = [f"{parameter}={value}" for parameter, value in symptom.parameters.items()]
        given = as_given(Path("params/rehearsal.yaml"), changes)
        click.echo(f"Planted {name}: {symptom.about}")
        click.echo(f"  {where}: {symptoms.command(account, name)}")
        click.echo(f"  find it: private-s3 doctor {given} --error TEXT, with what that printed")


def _rehearsal() -> ModuleType:
    """The package of the emulated account, which only those have who rehearse."""
    try:
        import rehearsal
    except ImportError as error:
        raise BadInput(
            "Could not start the rehearsal account.",
            f"It is not installed: {error}",
            "install the extra `rehearsal` of this project",
        ) from error
    return rehearsal


@contextmanager
def _rehearsal_account(mode: str) -> Iterator[Account]:
    """The emulated account, with this process's environment pointing at it meanwhile."""
    rehearsal, before = _rehearsal(), dict(os.environ)
    with _three_lines():
        started = rehearsal.start(mode)
    with started as account:
        click.echo(f"Rehearsal account {account.account_id} is up in {account.mode} mode.")
        try:
            os.environ.pop("AWS_PROFILE", None)
            os.environ.update(account.environment())
            yield account
        finally:
            os.environ.clear()
            os.environ.update(before)


@contextmanager
def _three_lines() -> Iterator[None]:
    """What the emulated account cannot do becomes CheckFailed."""
    try:
        yield
    except _rehearsal().StartError as error:
        attempted, answer, remedy = str(error).splitlines()
        raise CheckFailed(attempted, answer, remedy.removeprefix("Next: ")) from error


def _by_ssh(account: Account, parameters: Parameters) -> Parameters:
    """The parameters with the account's own way by ssh, if they ask for ssh and give none."""
    if parameters.check_by != "ssh" or parameters.ssh_config:
        return parameters
    return parameters.model_copy(update={"ssh_config": _ssh_config(account)})


def _ssh_config(account: Account) -> str:
    with _three_lines():
        return account.ssh_config


def _require_no_hands(parameters: Parameters) -> None:
    """BadInput where a person would have to answer, and nobody is asked."""
    if parameters.check_by == "manual":
        raise BadInput(
            "Could not rehearse with check_by=manual; nothing was done.",
            "The rehearsal goes through to its end, and waits for nobody's answers.",
            "run private-s3 lab, and in its shell plan, approve and apply with check_by=manual",
        )

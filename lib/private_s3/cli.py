"""The command line: a thin layer that names what the library does, and gives its exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from private_s3 import approval
from private_s3 import status as change_status
from private_s3.clean import clean
from private_s3.doctor.command import doctor
from private_s3.errors import BadInput, CheckFailed, RunbookError
from private_s3.evidence import commands as evidence
from private_s3.folder import change_folder, project_directory
from private_s3.options import as_given, parameter_options, values
from private_s3.parameters import Parameters
from private_s3.plan import Plan
from private_s3.runbook import Runbook, Step, facts

if TYPE_CHECKING:
    from rehearsal import Account

RUNBOOK, AUDIT, UNDO = (
    Path(f"runbooks/{name}.yaml") for name in ("open_private_path", "audit", "roll_back")
)


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
main.add_command(doctor)


_runbook_option = click.option(
    "--runbook",
    default=RUNBOOK,
    show_default=True,
    type=click.Path(path_type=Path),
    help="Which notebooks to run, in which order.",
)


def _mode_option(command: Any) -> Any:
    return click.option(
        "--mode",
        type=click.Choice(["auto", "namespace", "portable"]),
        default="auto",
        show_default=True,
        help="How the rehearsal account makes the instances' network.",
    )(command)


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
        _run(runbook, parameters)
        _show_plan(parameters, "20_create_gateway_endpoint", digest_to)


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
        _show_changes(plan)
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
        _run(runbook, parameters)


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
        _run(UNDO, parameters)
        if not digest:
            _show_plan(parameters, "90_roll_back", digest_to)


@main.command()
@parameter_options
@evidence.SIGN_WITH
def audit(path: Path, changes: Sequence[str], key: Path | None) -> None:
    """Compare the account with what the change has left in it; exit 1 where it drifted."""
    parameters = Parameters.load(path, {**values(changes), "approved_plan": ""})
    try:
        with evidence.sealing(change_folder(parameters), key):
            _run(AUDIT, parameters)
    except CheckFailed as error:
        if not _show_findings(parameters):
            raise
        sys.exit(error.exit_code)
    _show_findings(parameters)


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
    from private_s3 import operator_policies

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


@main.command()
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
            steps = _two_passes(RUNBOOK, parameters, "20_create_gateway_endpoint")
            click.echo("\nAudit: what of it has drifted")
            steps += _run(AUDIT, parameters)
            steps += _two_passes(UNDO, parameters, "90_roll_back")
    seconds, calls = sum(s.seconds for s in steps), sum(s.aws_calls or 0 for s in steps)
    click.echo(f"\nEvery check passed, in {seconds:.0f} s with {calls} AWS calls. The evidence:")
    click.echo(f"  {os.path.relpath(change_folder(parameters) / 'report.html')}")


def _rehearsal_parameters(changes: Sequence[str]) -> Parameters:
    """Those of the rehearsal account, with a change folder that is new each time."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    given = {"changes_dir": f"changes/{stamp}", **values(changes)}
    return Parameters.load(project_directory() / "params/rehearsal.yaml", given)


def _two_passes(runbook: Path, parameters: Parameters, planner: str) -> list[Step]:
    """Plans, approves and carries out, as the rehearsal may."""
    click.echo(f"\n{runbook.stem}, plan pass: reads, changes nothing")
    steps = _run(runbook, parameters)
    digest = _show_plan(parameters, planner, None)
    approval.approve(parameters, digest, "the rehearsal itself")
    click.echo(f"\n{runbook.stem}, apply pass: approved by the rehearsal itself, {digest}")
    return steps + _run(runbook, parameters.model_copy(update={"approved_plan": digest}))


@main.command("open")
@click.argument("change", default="")
@parameter_options
@click.option("--undo", is_flag=True, help="Open the notebook that takes the change back.")
@click.option("--browser/--no-browser", default=True, help="Whether to open the browser, too.")
@click.option("--port", type=int, default=8888, show_default=True, help="If it is free.")
@evidence.SIGN_WITH
def open_session(
    change: str,
    path: Path,
    changes: Sequence[str],
    undo: bool,
    browser: bool,
    port: int,
    key: Path | None,
) -> None:
    """Do a change in JupyterLab, on copies of the notebooks that lie in its folder.

    CHANGE replaces the change_id of the parameters. The same command again goes on where the
    session was ended; what was sealed then is read-only.
    """
    named = {"change_id": change} if change else {}
    parameters = Parameters.load(path, {**values(changes), **named, "approved_plan": ""})
    options = [f"--port={port}", *([] if browser else ["--no-browser"])]
    _session(parameters, UNDO if undo else RUNBOOK, options, key)


@main.command(context_settings={"ignore_unknown_options": True})
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
            _session(_by_ssh(account, parameters), RUNBOOK, command, key)
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


def _session(
    parameters: Parameters, runbook: Path, options: Sequence[str], key: Path | None
) -> None:
    from private_s3.session import copies, jupyterlab

    names = [path.stem for path in Runbook.load(project_directory() / runbook).notebooks]
    folder = change_folder(parameters)
    with evidence.sealing(folder, key):
        first, complete = jupyterlab.lay_out(parameters, names)
        where = os.path.relpath(first)
        if complete:
            click.echo(f"All of it is done. Opens {where}, which is sealed and read-only.")
        else:
            click.echo(f"Opens {where}. What is run there is sealed at the end of the session.")
        click.echo("To end it: save (Ctrl+S), then File > Shut Down, or Ctrl-C here.")
        code = jupyterlab.run(parameters, first, options)
        for copy in copies.unfinished(folder):
            told = f"{copy.parent.name}/{copy.name} was not run, or not saved, to its end"
            click.echo(f"  Noticed: {told}; the same command again goes on with it.")
    if code > 0:  # below it, a signal has ended it
        sys.exit(code)


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


def _run(runbook: Path, parameters: Parameters) -> list[Step]:
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


def _show_plan(parameters: Parameters, step: str, digest_to: Path | None) -> str:
    """Shows the plan that a step of the plan pass has made, and gives its digest."""
    found = facts(parameters, step)
    plan, _ = approval.kept(change_folder(parameters), found["plan"])
    click.echo("\nThe plan")
    _show_changes(plan)
    click.echo(f"  Loses by it: {found['loses']}.")
    click.echo(textwrap.indent(found["sentence"], "  "))
    if digest_to:
        digest_to.write_text(f"{plan.digest}\n", encoding="utf-8")
    return plan.digest


def _show_changes(plan: Plan) -> None:
    for change in plan.changes:
        before, after = change.brief(change.before), change.brief(change.after)
        click.echo(clean(f"  {change.resource}, {change.field}: {before} -> {after}"))


def _show_findings(parameters: Parameters) -> bool:
    """Shows each finding of the audit that is not as the change left it; whether it found any."""
    checks = facts(parameters, "80_audit_drift").get("checks", [])
    for check in checks:
        if check["state"] != "PASS":
            click.echo(clean(f"  {check['state']} {check['name']}: {check['detail']}"))
            if check["remedy"]:
                click.echo(f"    Next: {check['remedy']}")
    return bool(checks)

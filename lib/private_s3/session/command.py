"""The command `open`: a session in JupyterLab on a change, sealed at its end."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from private_s3 import runs
from private_s3.evidence import commands as evidence
from private_s3.folder import change_folder, project_directory
from private_s3.options import parameter_options, values
from private_s3.parameters import Parameters
from private_s3.runbook import Runbook


@click.command("open")
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
    session(parameters, runs.UNDO if undo else runs.RUNBOOK, options, key)


def session(
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

"""The options of the command line that name the parameters of a change."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, get_origin

import click
import yaml

from private_s3.errors import BadInput
from private_s3.folder import change_folder
from private_s3.parameters import Parameters

Command = Callable[..., Any]
_PATH = click.Path(path_type=Path)
_CHANGES = click.option(
    "-p",
    "--parameter",
    "changes",
    multiple=True,
    metavar="NAME=VALUE",
    help="Replaces one parameter of the file; may be given several times.",
)


def _file(*, required: bool) -> Callable[[Command], Command]:
    return click.option(
        "-f",
        "--file",
        "path",
        required=required,
        type=_PATH,
        help="The parameters, a file like params/example.yaml.",
    )


def parameter_options(command: Command) -> Command:
    """Adds -f and -p, which come as `path` and `changes`."""
    return _file(required=True)(_CHANGES(command))


def some_parameter_options(command: Command) -> Command:
    """Adds -f and -p, neither of which has to be given; they come as `path` and `changes`."""
    return _file(required=False)(_CHANGES(command))


def folder_argument(command: Command) -> Command:
    """Adds the argument FOLDER, or -f and -p in its place; it comes as `folder`."""

    @click.argument("folder", type=_PATH, required=False)
    @_file(required=False)
    @_CHANGES
    @wraps(command)
    def resolved(
        folder: Path | None, path: Path | None, changes: Sequence[str], **rest: Any
    ) -> Any:
        if (folder is None) == (path is None):
            raise BadInput(
                "Could not tell which change is meant.",
                "Both a folder and a file of parameters." if path else "Neither folder nor file.",
                "give the change folder, or -f and the file of its parameters",
            )
        given = folder or change_folder(Parameters.load(path or Path(), values(changes)))
        return command(folder=given.resolve(), **rest)

    return resolved


def as_given(path: Path, changes: Sequence[str]) -> str:
    """The options as they were given, to be used again."""
    return shlex.join(["-f", str(path), *(word for one in changes for word in ("-p", one))])


def values(changes: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE texts as parameters; what is a text in the model stays one, ids keep zeros."""
    found = {}
    for change in changes:
        name, equals, text = change.partition("=")
        field = Parameters.model_fields.get(name)
        if not equals:
            raise BadInput(f"Could not read -p {change}.", "It has no `=`.", "give NAME=VALUE")
        annotation = field.annotation if field else str
        is_text = annotation not in (bool, int) and get_origin(annotation) is not list
        found[name] = text if is_text else yaml.safe_load(text)
    return found

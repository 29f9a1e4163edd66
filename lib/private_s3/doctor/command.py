"""The command `doctor`: shows what was found in plain lines, the first blocker first."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from private_s3 import aws
from private_s3 import doctor as library
from private_s3.clean import clean
from private_s3.doctor import error_text, symptoms
from private_s3.doctor.diagnosis import Diagnosis, Finding
from private_s3.errors import AwsRefused, BadInput
from private_s3.options import as_given, some_parameter_options, values
from private_s3.parameters import Parameters


@click.command()
@click.argument("instance_id", default="")
@click.option(
    "--error", "text", metavar="TEXT", help="What a command printed; - reads it from there."
)
@some_parameter_options
def doctor(instance_id: str, text: str | None, path: Path | None, changes: Sequence[str]) -> None:
    """Name the first blocker between the instances and the bucket; change nothing.

    INSTANCE_ID replaces the instances of the parameters. With a text and no parameters, each cause
    that shows so is named, and AWS is not asked. Exits with 1 if anything was found.
    """
    if text is not None:
        text = error_text.safe(_standard_input() if text == "-" else text)
    if not (path or changes or instance_id):
        found = _by_text(text)
    else:
        found = _by_account(_parameters(instance_id, text, path, changes))
    named = [*changes, *([f"instance_ids=[{instance_id}]"] if instance_id else [])]
    _show(found, as_given(path, named) if path else symptoms.FILE)
    sys.exit(1 if found.findings else 0)


def _standard_input() -> str:
    """What stands there, as far as it is read at all; bytes that are no text do no harm."""
    return sys.stdin.buffer.read(8 * error_text.LIMIT).decode("utf-8", "replace")


def _parameters(
    instance_id: str, text: str | None, path: Path | None, changes: Sequence[str]
) -> Parameters:
    given: dict[str, Any] = values(changes)
    given |= {} if text is None else {"error_text": text}
    given |= {"instance_ids": [instance_id]} if instance_id else {}
    return Parameters.load(path, given) if path else Parameters.of(given)


def _by_text(text: str | None) -> Diagnosis:
    if not (text or "").strip():
        raise BadInput(
            "Could not diagnose anything; AWS was not asked.",
            "Neither parameters nor the text of an error were given.",
            "give -f and the file of the parameters, --error and what a command printed, or both",
        )
    return library.by_text(text or "")


def _by_account(parameters: Parameters) -> Diagnosis:
    """By the account; by the text alone if the account cannot be asked, but there is one."""
    try:
        account = aws.connect(parameters)
    except AwsRefused as error:
        if not parameters.error_text:
            raise
        click.echo(f"{error.attempted} {error.answer}\nThis is by the text alone.\n", err=True)
        return library.by_text(parameters.error_text)
    return library.diagnose(account, parameters)


def _show(found: Diagnosis, options: str) -> None:
    """The first finding with its fix, then the others; what was looked at, and what was not."""
    first, *rest = found.sentence().split("\n")
    click.echo(clean(first))
    seen = ""
    for number, finding in enumerate(found.findings):
        if number:
            click.echo(clean(f"Then: {finding.heading}."))
        seen = _show_finding(finding, options, seen)
    if found.findings:
        click.echo()
    for line in rest:
        click.echo(clean(line))


def _show_finding(finding: Finding, options: str, before: str) -> str:
    """Shows what was seen, unless it was `before`, and the fix; gives what was seen."""
    seen = ", ".join(filter(None, (finding.instance, finding.evidence)))
    if seen != before:
        click.echo(clean(f"  Seen: {seen}"))
    click.echo(clean(f"  Fix:  {finding.fix.replace(symptoms.FILE, options)}"))
    return seen

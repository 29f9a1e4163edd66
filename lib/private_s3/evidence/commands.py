"""The commands for what a change leaves: seal, verify, report, archive, corroborate, list."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from private_s3.clean import clean
from private_s3.errors import BadInput, CheckFailed, RunbookError
from private_s3.options import folder_argument
from private_s3.parameters import Parameters

if TYPE_CHECKING:
    from private_s3.aws import Account

_PATH = click.Path(path_type=Path)
SIGN_WITH = click.option(
    "--sign-with",
    "key",
    type=_PATH,
    envvar="PRIVATE_S3_SIGNING_KEY",
    show_envvar=True,
    help="SSH key that signs the evidence: a private key, or the public one of an agent's.",
)
ALLOWED_SIGNERS = click.option(
    "--allowed-signers",
    type=_PATH,
    envvar="PRIVATE_S3_ALLOWED_SIGNERS",
    show_envvar=True,
    help="OpenSSH's file of who may sign, with their public keys; then a signature is demanded.",
)


@contextmanager
def sealing(folder: Path, key: Path | None) -> Iterator[None]:
    """Seals a change folder at the end, however that comes; a failure before keeps its error."""
    try:
        yield
    except BaseException:
        try:
            _seal(folder, key)
        except RunbookError as error:
            click.echo(error, err=True)
        raise
    try:
        _seal(folder, key)
    except CheckFailed as error:
        if not isinstance(error.__cause__, BlockingIOError):
            raise
        # What was done is done: the other run seals that too when it ends.
        click.echo(f"  Not sealed now, since another run is at work: {clean(error.answer)}")


def _seal(folder: Path, key: Path | None) -> None:
    from private_s3.evidence import manifest

    if not any(path.is_file() and path.suffix != ".lock" for path in folder.rglob("*")):
        if folder.is_dir():
            click.echo("  Nothing was run, so nothing is sealed.")
        return
    sealed = manifest.seal(folder, key)
    signed = (folder / manifest.SIGNATURE).exists()
    how = "and signed" if signed else "without a signature (--sign-with KEY would sign it)"
    click.echo(f"  Sealed {how}: {os.path.relpath(folder / manifest.MANIFEST)}")
    for finding in sealed["findings"]:
        click.echo(f"  Noticed: {clean(finding)}.")


@click.command()
@folder_argument
@SIGN_WITH
def seal(folder: Path, key: Path | None) -> None:
    """Write reports and a manifest of everything in a change FOLDER, and sign it with --sign-with.

    Every command that runs notebooks does this at its end; notebooks run by hand are sealed so.
    """
    from private_s3.evidence.story import Story

    _seal(Story(folder).folder, key)


@click.command()
@folder_argument
@ALLOWED_SIGNERS
def verify(folder: Path, allowed_signers: Path | None) -> None:
    """Tell, offline, whether a change FOLDER is as it was sealed and its story holds together."""
    from private_s3.evidence.verify import ok, verify

    findings = verify(folder, allowed_signers)
    for finding in findings:
        click.echo(clean(str(finding)))
    failed = sum(finding.state == "FAIL" for finding in findings)
    name = clean(folder.name)
    if ok(findings):
        click.echo(f"The evidence of {name} is as it was sealed, and tells one story.")
    else:
        click.echo(f"The evidence of {name} does not hold: {failed} findings.")
        sys.exit(1)


@click.command()
@folder_argument
@click.option("--to", required=True, type=_PATH, help="A new folder for the copies.")
@click.option(
    "--redact-account-ids", is_flag=True, help="Account ids read account-1, account-2 and so on."
)
def report(folder: Path, to: Path, redact_account_ids: bool) -> None:
    """Copy the reports of a change FOLDER for people outside: HTML alone, nothing to undo with."""
    from private_s3.evidence import report
    from private_s3.evidence.story import Story

    report.outside(Story(folder).folder, to, redact_account_ids=redact_account_ids)
    click.echo(f"The copies: {os.path.relpath(to)}")


def _connected(folder: Path, profile: str | None, region: str | None) -> Account:
    """The account of a change, as its parameters were when it was run last."""
    from private_s3 import aws
    from private_s3.evidence.story import Story

    values = Story(folder).parameters
    if not values:
        raise BadInput(
            f"Could not tell the account of {folder.name}; AWS was not asked for anything.",
            "No step of this change has kept its parameters.",
            "give the folder of a change that was run",
        )
    given = {"profile": profile, "region": region}
    changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    return aws.connect(Parameters.of({**values, **changed}))


_PROFILE = click.option("--profile", help="Profile of the AWS configuration, if not the change's.")
_REGION = click.option("--region", help="Region, if not that of the change.")


@click.command()
@folder_argument
@click.option("--bucket", required=True, help="A bucket with Object Lock, not that of the change.")
@click.option("--days", required=True, type=int, help="How long nobody may delete it.")
@click.option(
    "--compliance",
    metavar="CHANGE_ID",
    help="Compliance instead of governance: nobody, not even root, can shorten it or delete; "
    "confirm by giving the id of the change.",
)
@click.option("--bucket-owner", default="", help="Account of the bucket, if not the change's.")
@_PROFILE
@_REGION
def archive(
    folder: Path,
    bucket: str,
    bucket_owner: str,
    days: int,
    compliance: str | None,
    profile: str | None,
    region: str | None,
) -> None:
    """Put a sealed change FOLDER into a bucket with Object Lock, and read it back."""
    from private_s3.evidence.archive import archive

    if compliance is not None and compliance != folder.name:
        raise BadInput(
            f"Could not archive {folder.name}; nothing was written.",
            f"--compliance {compliance} is not the id of the change.",
            f"give --compliance {folder.name} if nobody is to be able to delete it for {days} days",
        )
    account = _connected(folder, profile, region)
    strict = compliance is not None
    done = archive(folder, account, bucket, days=days, compliance=strict, owner=bucket_owner)
    click.echo(done.sentence())


@click.command()
@folder_argument
@click.option(
    "--logs",
    default="",
    help="Log files of a trail with data events: a folder of them, or s3://BUCKET; with the prefix "
    "up to the Region if the trail is of an organization.",
)
@_PROFILE
@SIGN_WITH
def corroborate(folder: Path, logs: str, profile: str | None, key: Path | None) -> None:
    """Add what CloudTrail has recorded of the writes of a change FOLDER, and seal it again."""
    from private_s3.evidence.corroborate import corroborate

    account = _connected(folder, profile, None)
    with sealing(folder, key):
        found = corroborate(folder, account, logs)
        show_rows(found.COLUMNS, found.rows())
        for sentence in found.sentences():
            click.echo(clean(sentence))
    if found.contradictions:
        sys.exit(1)


@click.command()
@click.argument("directory", type=_PATH, default=Path("changes"))
@ALLOWED_SIGNERS
def changes(directory: Path, allowed_signers: Path | None) -> None:
    """List the changes of a DIRECTORY, and write an index.html that links their reports."""
    from private_s3.evidence import index

    entries = index.changes(directory, allowed_signers)
    if not entries:
        raise BadInput(
            f"Could not list the changes in {directory}.",
            "There is none.",
            "give the folder that changes_dir names",
        )
    show_rows(index.COLUMNS, [entry.cells() for entry in entries])
    click.echo(f"\nTo browse: {os.path.relpath(index.write(directory, entries))}")


def show_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows beneath their columns, each as wide as it must be."""
    texts = [[clean(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[n]) for row in texts) for n in range(len(columns) - 1)]
    for row in texts:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        click.echo("  ".join([*cells, row[-1]]))


COMMANDS = (seal, verify, report, archive, corroborate, changes)

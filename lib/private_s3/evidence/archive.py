"""Puts a sealed change folder where it cannot be altered: a bucket with Object Lock."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from private_s3 import aws
from private_s3.errors import BadInput, CheckFailed
from private_s3.evidence import manifest
from private_s3.evidence.manifest import MANIFEST, SIGNATURE
from private_s3.evidence.store import Mode, Store
from private_s3.evidence.story import Story

LONGEST = 36500  # days; S3 has no longer retention


@dataclass(frozen=True)
class Archived:
    """Where the evidence is now, how many of its files were new there, and until when it stays."""

    url: str
    files: int
    new: int
    mode: Mode
    until: datetime

    def sentence(self) -> str:
        """What was done, for people."""
        return (
            f"Archived {self.files} files ({self.new} new) in {self.url}, read back and locked "
            f"until {self.until:%Y-%m-%d %H:%M} UTC ({self.mode.lower()})."
        )


def archive(
    folder: Path,
    account: aws.Account,
    bucket: str,
    *,
    days: int,
    compliance: bool = False,
    owner: str = "",
) -> Archived:
    """Puts every file of a sealed and unchanged folder into a bucket, locked, and reads it back.

    What is there already is taken if it is the same, and its lock made longer if need be; nothing
    is overwritten or deleted. The manifest goes last: an archive without one is not complete. The
    lock lasts `days` and to the end of the day. `owner` is the account of the bucket, if it is not
    that of the change: a bucket of the same name in any other is refused.
    IAM actions: s3:GetBucketObjectLockConfiguration, s3:PutObject, s3:PutObjectRetention,
    s3:GetObject, s3:GetObjectVersion, s3:GetObjectRetention.
    """
    attempted = f"archive {folder.name} in s3://{bucket}"
    if not 1 <= days <= LONGEST:
        raise BadInput(
            f"Could not {attempted}; nothing was written.",
            f"{days} days is no retention that S3 has.",
            f"give 1 to {LONGEST} days",
        )
    sealed = _sealed(folder, attempted)
    _require_other_bucket(folder, bucket, attempted)
    owner = owner or account.id
    _require_lock(account, bucket, owner, attempted)
    mode: Mode = "COMPLIANCE" if compliance else "GOVERNANCE"
    prefix = f"{folder.name}/{_compact(sealed['sealed'])}"
    store = Store(account, bucket, owner, mode, until := _until(days))
    names = _names(folder, sealed)
    new = sum(store.keep(f"{prefix}/{name}", _content(folder, name, sealed)) for name in names)
    return Archived(f"s3://{bucket}/{prefix}/", len(names), new, mode, until)


def _sealed(folder: Path, attempted: str) -> manifest.Manifest:
    """The manifest of a folder that is as it was sealed."""
    Story(folder)  # there is one
    remedy = f"run: private-s3 seal {folder.name}, or see private-s3 verify {folder.name}"
    if links := sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if _odd(p)):
        raise CheckFailed(
            f"Could not {attempted}; nothing was written.",
            f"Not a plain file: {', '.join(links)}.",
            "take it out of the change folder, and seal that again",
        )
    sealed = manifest.read(folder / MANIFEST) if (folder / MANIFEST).exists() else None
    if sealed is None:
        answer = "It is not sealed."
    elif changed := _changed(sealed["files"], manifest.files(folder)):
        answer = f"Not as it was sealed: {', '.join(changed)}."
    elif not _is_time(sealed["sealed"]):
        answer = "Its seal does not tell when that was."
    else:
        return sealed
    raise CheckFailed(f"Could not {attempted}; nothing was written.", answer, remedy)


def _changed(sealed: dict[str, Any], there: dict[str, Any]) -> list[str]:
    return sorted(n for n in {*sealed, *there} if sealed.get(n) != there.get(n))


def _odd(path: Path) -> bool:
    return path.is_symlink() or not (path.is_file() or path.is_dir())


def _require_other_bucket(folder: Path, bucket: str, attempted: str) -> None:
    """Raises BadInput for a bucket of the change: what it restricts may shut out the evidence."""
    story = Story(folder)
    changed = {change.resource for plan, _ in story.plans.values() for change in plan.changes}
    runs = {run.about.get("parameters", {}).get("bucket") for run in story.runs}
    if bucket in runs or f"bucket/{bucket}" in changed:
        raise BadInput(
            f"Could not {attempted}; nothing was written.",
            "It is the bucket of this change: its policy decides who could read the evidence.",
            "give another bucket, with Object Lock",
        )


def _require_lock(account: aws.Account, bucket: str, owner: str, attempted: str) -> None:
    """Raises unless the bucket has Object Lock."""
    remedy = (
        "give a bucket with Object Lock and the account that owns it, and grant "
        "s3:GetBucketObjectLockConfiguration on it to who archives"
    )
    with aws.attempt(f"{attempted}: read its Object Lock; nothing was written", remedy):
        told = account.s3.get_object_lock_configuration(Bucket=bucket, ExpectedBucketOwner=owner)
    if told.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled") != "Enabled":
        answer = "It has no Object Lock."
        raise CheckFailed(f"Could not {attempted}; nothing was written.", answer, remedy)


def _names(folder: Path, sealed: manifest.Manifest) -> list[str]:
    """What to archive, in this order: the manifest is the sign that all before it is there."""
    signature = [SIGNATURE] if (folder / SIGNATURE).exists() else []
    return [*sorted(sealed["files"]), *signature, MANIFEST]


def _content(folder: Path, name: str, sealed: manifest.Manifest) -> bytes:
    """A file, held once more against the manifest: it could have changed since."""
    content = (folder / name).read_bytes()
    about = sealed["files"].get(name)
    changed = about and hashlib.sha256(content).hexdigest() != about["sha256"]
    if changed or (name == MANIFEST and json.loads(content) != sealed):
        raise CheckFailed(
            f"Could not go on archiving {folder.name}.",
            f"{name} has changed meanwhile.",
            "let nobody work with the folder; seal it again, and run this again",
        )
    return content


def _until(days: int) -> datetime:
    """When a lock of so many days ends: with a day, so that the same day asks for the same."""
    moment = datetime.now(UTC).replace(microsecond=0)
    midnight = moment.replace(hour=0, minute=0, second=0) + timedelta(days=1)
    return min(midnight + timedelta(days=days), moment + timedelta(days=LONGEST))


def _is_time(text: Any) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except (ValueError, TypeError):
        return False


def _compact(time: str) -> str:
    """A time as part of a key: 20261124T182000.123Z."""
    return datetime.fromisoformat(time).astimezone(UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"

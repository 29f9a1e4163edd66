"""A sealed change folder is put into a bucket with Object Lock, read back, and left alone there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import rehearsal
from private_s3 import aws
from private_s3.errors import AwsRefused, BadInput, CheckFailed, RunbookError
from private_s3.evidence import archive as archiving
from private_s3.evidence import manifest, report
from private_s3.evidence.archive import archive
from private_s3.plan import Change, Plan
from private_s3.record import Check, Record
from tests.support import readings as worlds
from tests.support.world import enter

BUCKET, OTHERS = "rehearsal-evidence", "rehearsal-private-data"
CHANGED = f"bucket/{OTHERS}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small change, sealed, without reports."""
    return sealed(tmp_path, monkeypatch, "rehearsal")


def sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change_id: str) -> Path:
    monkeypatch.setattr(report, "write", lambda folder: None)
    values = {"changes_dir": str(tmp_path), "bucket": OTHERS, "change_id": change_id}
    record = Record(worlds.parameters(**values), "20_x")
    change = Change(CHANGED, "policy", None, "x")
    record.approved(Plan(change_id, worlds.ACCOUNT, worlds.REGION, (change,)), {})
    record.require([Check.of("fine", True)])
    manifest.seal(record.folder)
    return record.folder


@pytest.fixture
def here(
    shared: rehearsal.Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[aws.Account]:
    """The shared account as its operator sees it; what was archived there is in the way of none."""
    world = enter(shared, tmp_path, monkeypatch)
    yield aws.connect(world.parameters())
    shared.unplant()


def calls(shared: rehearsal.Account, since: int) -> list[str]:
    return [c["operation"] for c in shared.calls()[since:] if c["who"] == "operator"]


def stored(shared: rehearsal.Account, prefix: str = "") -> dict[str, Any]:
    """Every version of every object of the bucket, by key."""
    s3, found = shared.client("s3"), {}
    listed = s3.list_object_versions(Bucket=BUCKET, Prefix=prefix).get("Versions", [])
    for one in listed:
        found.setdefault(one["Key"], []).append(
            s3.get_object(Bucket=BUCKET, Key=one["Key"], VersionId=one["VersionId"])
        )
    return found


def refusal(kind: type[RunbookError], *arguments: Any, **more: Any) -> RunbookError:
    with pytest.raises(kind) as raised:
        archive(*arguments, **{"days": 30, **more})
    assert len(str(raised.value).splitlines()) == 3
    return raised.value


def test_every_file_is_locked_as_asked_and_the_manifest_comes_last(
    shared: rehearsal.Account, here: aws.Account, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "manifest.json.sig").write_text("a signature")
    put, order = here.s3.put_object, []
    monkeypatch.setattr(here.s3, "put_object", lambda **r: order.append(r["Key"]) or put(**r))
    since, before = len(shared.calls()), datetime.now(UTC)
    done = archive(folder, here, BUCKET, days=30)
    found = stored(shared, "rehearsal/")
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    prefix = done.url.removeprefix(f"s3://{BUCKET}/")
    assert prefix.startswith("rehearsal/20") and prefix.endswith("Z/")
    assert {*found} == {prefix + name for name in names}
    for key, (one,) in found.items():
        assert one["Body"].read() == (folder / key.removeprefix(prefix)).read_bytes()
        assert one["ObjectLockMode"] == "GOVERNANCE"
        left = one["ObjectLockRetainUntilDate"] - before
        assert timedelta(days=30) <= left <= timedelta(days=31)
    assert (done.files, done.new) == (len(names), len(names))
    assert done.url in done.sentence() and "governance" in done.sentence()
    assert calls(shared, since) == [
        "GetObjectLockConfiguration",
        *["PutObject", "GetObject"] * len(names),
    ]
    assert order[-2:] == [f"{prefix}manifest.json.sig", f"{prefix}manifest.json"]


def test_the_archive_is_nobodys_to_take_away(
    shared: rehearsal.Account, here: aws.Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sealed(tmp_path, monkeypatch, "locked")
    archive(folder, here, BUCKET, days=1, compliance=True)
    s3 = shared.client("s3")
    (key, (one,)), *_ = stored(shared, "locked/").items()
    assert one["ObjectLockMode"] == "COMPLIANCE"
    with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
        s3.delete_object(
            Bucket=BUCKET, Key=key, VersionId=one["VersionId"], BypassGovernanceRetention=True
        )


def test_archived_again_nothing_is_written(
    shared: rehearsal.Account, here: aws.Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sealed(tmp_path, monkeypatch, "again")
    first, since = archive(folder, here, BUCKET, days=30), len(shared.calls())
    second = archive(folder, here, BUCKET, days=30)
    assert (second.files, second.new) == (first.files, 0)
    assert all(len(versions) == 1 for versions in stored(shared, "again/").values())
    assert "PutObjectRetention" not in calls(shared, since)


def test_a_lock_is_made_longer_or_stricter_and_never_the_opposite(
    shared: rehearsal.Account, here: aws.Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sealed(tmp_path, monkeypatch, "longer")
    before = datetime.now(UTC)
    archive(folder, here, BUCKET, days=2)
    for days, compliance, mode, least in (
        (5, False, "GOVERNANCE", 5),
        (3, False, "GOVERNANCE", 5),
        (3, True, "COMPLIANCE", 5),
        (6, False, "COMPLIANCE", 6),
        (1, True, "COMPLIANCE", 6),
    ):
        archive(folder, here, BUCKET, days=days, compliance=compliance)
        for (one,) in stored(shared, "longer/").values():
            assert one["ObjectLockMode"] == mode
            left = one["ObjectLockRetainUntilDate"] - before
            assert timedelta(days=least) <= left <= timedelta(days=least + 1, minutes=1)


def test_what_was_put_there_without_a_lock_is_locked(
    shared: rehearsal.Account, here: aws.Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sealed(tmp_path, monkeypatch, "unlocked")
    key = f"unlocked/{archiving._compact(manifest.read(folder / 'manifest.json')['sealed'])}/"
    name = "journal.jsonl"
    content = (folder / name).read_bytes()
    shared.client("s3").put_object(Bucket=BUCKET, Key=key + name, Body=content)
    done = archive(folder, here, BUCKET, days=30)
    assert done.new == done.files - 1
    ((one,),) = (v for k, v in stored(shared, key).items() if k == key + name)
    assert one["ObjectLockMode"] == "GOVERNANCE"


def test_other_content_is_named_and_not_overwritten(
    shared: rehearsal.Account, here: aws.Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sealed(tmp_path, monkeypatch, "clash")
    key = f"clash/{archiving._compact(manifest.read(folder / 'manifest.json')['sealed'])}/"
    shared.client("s3").put_object(Bucket=BUCKET, Key=f"{key}journal.jsonl", Body=b"another")
    error = refusal(CheckFailed, folder, here, BUCKET)
    assert f"{key}journal.jsonl" in error.attempted
    found = stored(shared, key)
    (one,) = found[f"{key}journal.jsonl"]
    assert one["Body"].read() == b"another"
    assert f"{key}manifest.json" not in found  # an archive that broke off has none


def test_an_archive_that_broke_off_is_completed(
    shared: rehearsal.Account, here: aws.Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sealed(tmp_path, monkeypatch, "broken")
    shared.plant("PutObject", code="AccessDenied", status=403, skip=2, who="operator")
    assert "s3:PutObject" in refusal(AwsRefused, folder, here, BUCKET).remedy
    assert not any(key.endswith("manifest.json") for key in stored(shared, "broken/"))
    done = archive(folder, here, BUCKET, days=30)
    assert (done.files - done.new) == 2


def test_an_answer_that_was_lost_is_no_clash(
    shared: rehearsal.Account, here: aws.Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sealed(tmp_path, monkeypatch, "lost")
    shared.plant("PutObject", do="drop answer", who="operator")
    done = archive(folder, here, BUCKET, days=30)
    assert all(len(versions) == 1 for versions in stored(shared, "lost/").values())
    assert done.new == done.files - 1


@pytest.mark.parametrize("days", [0, -1, 36501])
def test_a_retention_that_s3_does_not_have_is_refused(
    days: int, shared: rehearsal.Account, here: aws.Account, folder: Path
) -> None:
    since = len(shared.calls())
    assert "1 to 36500" in refusal(BadInput, folder, here, BUCKET, days=days).remedy
    assert calls(shared, since) == []


def test_the_longest_retention_is_taken(
    here: aws.Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = archive(sealed(tmp_path, monkeypatch, "longest"), here, BUCKET, days=36500)
    assert done.until <= datetime.now(UTC) + timedelta(days=36500)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "manifest.json").unlink(), "not sealed"),
        (lambda folder: (folder / "journal.jsonl").write_text("x"), "journal.jsonl"),
        (lambda folder: (folder / "new").write_text("x"), "Not as it was sealed: new"),
        (lambda folder: (folder / "journal.head").unlink(), "journal.head"),
        (lambda folder: (folder / "link").symlink_to("journal.jsonl"), "Not a plain file: link"),
    ],
)
def test_a_folder_that_is_not_as_it_was_sealed_is_refused(
    damage: Any, said: str, shared: rehearsal.Account, here: aws.Account, folder: Path
) -> None:
    damage(folder)
    since = len(shared.calls())
    assert said in refusal(CheckFailed, folder, here, BUCKET).answer
    assert calls(shared, since) == []


def test_a_seal_without_a_time_is_refused(here: aws.Account, folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sealed": "../x"}))
    assert "when" in refusal(CheckFailed, folder, here, BUCKET).answer


def test_a_file_that_changes_meanwhile_is_refused(
    here: aws.Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sealed(tmp_path, monkeypatch, "meanwhile")

    def change(*_: Any) -> None:
        (folder / "journal.jsonl").write_text("x")

    monkeypatch.setattr(archiving, "_require_lock", change)
    assert "journal.jsonl has changed" in refusal(CheckFailed, folder, here, BUCKET).answer


def test_the_bucket_of_the_change_is_refused(
    shared: rehearsal.Account, here: aws.Account, folder: Path
) -> None:
    since = len(shared.calls())
    assert "bucket of this change" in refusal(BadInput, folder, here, OTHERS).answer
    facts = folder / "facts/plan/20_x.json"
    facts.write_text(facts.read_text().replace(OTHERS, "another"))
    manifest.seal(folder)  # a plan of it is enough
    assert "bucket of this change" in refusal(BadInput, folder, here, OTHERS).answer
    assert calls(shared, since) == []


@pytest.mark.parametrize(
    ("bucket", "code"),
    [
        ("rehearsal-logs", "ObjectLockConfigurationNotFoundError"),
        ("rehearsal-nowhere", "NoSuchBucket"),
        ("somebody-elses", "NoSuchBucket"),
    ],
)
def test_a_bucket_without_a_lock_is_refused_before_the_first_write(
    bucket: str, code: str, shared: rehearsal.Account, here: aws.Account, folder: Path
) -> None:
    since = len(shared.calls())
    error = refusal(AwsRefused, folder, here, bucket)
    assert code in error.answer and "Object Lock" in error.remedy
    assert calls(shared, since) == ["GetObjectLockConfiguration"]


def test_a_bucket_of_somebody_else_is_refused(here: aws.Account, folder: Path) -> None:
    stranger = aws.Account(here.session, "999999999999", here.arn)
    assert "AccessDenied" in refusal(AwsRefused, folder, stranger, BUCKET).answer
    # Who archives need not be of the account that owns the bucket.
    assert archive(folder, stranger, BUCKET, days=1, owner=here.id).new


def test_what_comes_back_otherwise_is_no_archive(
    here: aws.Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sealed(tmp_path, monkeypatch, "otherwise")
    get = here.s3.get_object

    def shortened(**request: Any) -> Any:
        return {**get(**request), "ObjectLockRetainUntilDate": datetime.now(UTC)}

    monkeypatch.setattr(here.s3, "get_object", shortened)
    error = refusal(CheckFailed, folder, here, BUCKET)
    assert "not to be relied on" in error.remedy


def test_who_may_not_see_the_lock_is_told_what_is_missing(
    shared: rehearsal.Account,
    here: aws.Account,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = sealed(tmp_path, monkeypatch, "unseen")
    get = here.s3.get_object

    def unseen(**request: Any) -> Any:
        told = {**get(**request)}
        del told["ObjectLockMode"]
        return told

    monkeypatch.setattr(here.s3, "get_object", unseen)
    assert archive(folder, here, BUCKET, days=30).new > 0
    shared.plant("GetObjectRetention", code="AccessDenied", status=403)
    assert "s3:GetObjectRetention" in refusal(AwsRefused, folder, here, BUCKET).remedy

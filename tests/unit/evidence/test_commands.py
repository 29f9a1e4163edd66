"""The commands for the evidence: what they print, and their exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from private_s3.cli import main
from private_s3.evidence import archive as archiving
from private_s3.evidence import manifest, report
from private_s3.evidence.commands import sealing
from private_s3.journal import lock
from private_s3.plan import Change, Plan
from private_s3.record import Record
from tests.support import readings as worlds
from tests.support import small_change as small
from tests.support.sealed import make_key, vouch


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A change that was applied, without its reports."""
    monkeypatch.setattr(report, "write", lambda folder: None)
    return small.applied(tmp_path / "change-1")


def run(*command: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in command])


def test_a_folder_is_sealed_and_says_whether_it_is_signed(folder: Path, tmp_path: Path) -> None:
    shown = run("seal", folder)
    assert shown.exit_code == 0, shown.output
    assert "Sealed without a signature (--sign-with KEY would sign it)" in shown.output
    key = make_key(tmp_path / "key")
    shown = CliRunner().invoke(
        main, ["seal", str(folder)], env={"PRIVATE_S3_SIGNING_KEY": str(key)}
    )
    assert shown.exit_code == 0, shown.output
    assert "Sealed and signed" in shown.output


def test_a_key_that_is_not_there_is_bad_input_and_the_folder_is_sealed(folder: Path) -> None:
    shown = run("seal", folder, "--sign-with", folder / "no-key")
    assert shown.exit_code == 2
    assert len(shown.output.strip().splitlines()) == 3
    assert manifest.load(folder)


def test_verify_ends_with_one_sentence_and_an_exit_code(folder: Path, tmp_path: Path) -> None:
    allowed = vouch(tmp_path / "allowed", "grace@example.com", key := make_key(tmp_path / "key"))
    run("seal", folder, "--sign-with", key)
    (folder / "journal.head").write_text("altered\x1b]0;x")
    shown = run("verify", folder, "--allowed-signers", allowed)
    assert shown.exit_code == 1
    assert "FAIL journal.head: " in shown.output
    assert "does not hold" in shown.output.splitlines()[-1]
    assert run("verify", folder, "--allowed-signers", tmp_path / "none").exit_code == 2


def test_a_folder_or_its_parameters_name_the_change(folder: Path) -> None:
    values = ("-p", f"changes_dir={folder.parent}", "-p", "change_id=change-1")
    by_parameters = run("verify", "-f", "params/rehearsal.yaml", *values)
    assert by_parameters.output == run("verify", folder).output
    for command in (("verify",), ("verify", folder, "-f", "params/rehearsal.yaml")):
        shown = run(*command)
        assert shown.exit_code == 2
        assert "Could not tell which change is meant." in shown.output


def test_what_is_missing_is_bad_input_for_every_command(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    for command in (
        ("seal", missing),
        ("verify", missing),
        ("report", missing, "--to", tmp_path / "out"),
        ("archive", missing, "--bucket", "evidence", "--days", 1),
        ("corroborate", missing),
    ):
        shown = run(*command)
        assert shown.exit_code == 2, (command, shown.output)
        assert not missing.exists()


def test_compliance_is_only_taken_with_the_id_of_the_change(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiving, "archive", lambda *_, **__: 1 / 0)
    shown = run("archive", folder, "--bucket", "evidence", "--days", 1, "--compliance", "yes")
    assert shown.exit_code == 2
    assert "--compliance change-1" in shown.output


def test_an_approval_beside_a_run_is_taken_and_sealed_by_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "write", lambda folder: None)
    plan = Plan("rehearsal", worlds.ACCOUNT, worlds.REGION, (Change("a", "b", None, "c"),))
    record = Record(worlds.parameters(changes_dir=str(tmp_path)), "20_x")
    record.approved(plan, {})
    command = ("approve", plan.digest, "--by", "Ann", "-f", "params/rehearsal.yaml")
    options = ("-p", f"changes_dir={tmp_path}", "-p", f"change_id={record.folder.name}")
    with lock(record.folder, "run.lock", "run"):
        shown = run(*command, *options)
    assert shown.exit_code == 0, shown.output
    assert "Not sealed now, since another run is at work" in shown.output
    assert record.journal.lines()[-1]["by"] == "Ann"
    assert manifest.load(record.folder) is None


def test_copies_for_people_outside_name_no_account(folder: Path, tmp_path: Path) -> None:
    shown = run("report", folder, "--to", tmp_path / "outside", "--redact-account-ids")
    assert shown.exit_code == 0, shown.output
    page = (tmp_path / "outside/report.html").read_text()
    assert "account-1" in page
    assert small.ACCOUNT not in page


def test_what_an_interrupt_ends_is_sealed_and_stays_interrupted(folder: Path) -> None:
    with pytest.raises(KeyboardInterrupt), sealing(folder, None):
        raise KeyboardInterrupt
    assert manifest.load(folder)

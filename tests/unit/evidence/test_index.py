"""The list of changes, and the page to browse them."""

from __future__ import annotations

import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from private_s3.cli import main
from private_s3.evidence import index, manifest, report
from private_s3.plan import Change, Plan
from private_s3.record import Check, Record
from tests.support import readings as worlds

PLAN = Plan("b", worlds.ACCOUNT, worlds.REGION, (Change("bucket/b", "policy", None, "x"),))


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three changes: one planned, one sealed, and one in a folder of its own, begun by nobody."""
    monkeypatch.setattr(report, "write", lambda folder: None)
    for name, place in (("a-first", "."), ("b", "."), ("c", "nested")):
        values = {"change_id": name, "changes_dir": str(tmp_path / place)}
        record = Record(worlds.parameters(**values, ticket=f"<b>{name}</b>"), "20_x")
        record.approved(Plan(name, worlds.ACCOUNT, worlds.REGION, PLAN.changes), {})
        record.require([Check.of("fine", True)])
    Record(worlds.parameters(change_id="b", changes_dir=str(tmp_path)), "20_x").journal.append(
        "approved", plan="x", by="somebody\x1b]0;x", ticket=""
    )
    manifest.seal(tmp_path / "a-first")
    (tmp_path / "a-first/report.html").write_text("a report")
    (tmp_path / "not-a-change").mkdir()
    return tmp_path


class Links(HTMLParser):
    """Where the links of a page lead."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [str(value) for name, value in attrs if name in ("href", "src")]


def test_every_change_is_listed_the_latest_first(directory: Path) -> None:
    entries = index.changes(directory)
    assert [entry.folder for entry in entries] == ["b", "nested/c", "a-first"]
    by_change = {entry.change: entry for entry in entries}
    assert by_change["b"].state == "approved"
    assert by_change["b"].by == "somebody\\x1b]0;x"
    assert by_change["a-first"].sealed == "unsigned"
    assert {entry.sealed for entry in entries[:2]} == {"no"}
    assert by_change["c"].target == f"{worlds.parameters().bucket} in {worlds.ACCOUNT}"


def test_what_was_altered_does_not_verify(directory: Path) -> None:
    def verified() -> str:
        return next(e.verified for e in index.changes(directory) if e.change == "a-first")

    manifest.seal(directory / "a-first")  # again, with what was put there as its report
    assert verified() == "yes"
    (directory / "a-first/report.html").write_text("altered")
    assert verified().startswith("no: ")


def test_a_failed_change_says_so(directory: Path) -> None:
    record = Record(worlds.parameters(change_id="b", changes_dir=str(directory)), "30_x")
    record.fact("error", {"kind": "X", "lines": ["a", "b", "c"]})
    assert next(e.state for e in index.changes(directory) if e.change == "b") == "approved, failed"


def test_the_page_links_the_reports_that_are_there_and_nothing_else(directory: Path) -> None:
    page = index.write(directory, index.changes(directory)).read_text()
    assert Links(page).found == ["a-first/report.html"]
    assert "<b>" not in page
    assert "&lt;b&gt;a-first&lt;/b&gt;" in page


def test_the_command_lists_them_and_names_the_page(directory: Path) -> None:
    shown = CliRunner().invoke(main, ["changes", str(directory)])
    assert shown.exit_code == 0, shown.output
    assert shown.output.count("<b>") == 3
    assert "\x1b" not in shown.output
    assert "index.html" in shown.output.splitlines()[-1]
    shutil.rmtree(directory / "nested")
    assert len(index.changes(directory)) == 2


def test_a_folder_without_changes_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        shown = CliRunner().invoke(main, ["changes", str(path)])
        assert shown.exit_code == 2
        assert "There is none." in shown.output

"""The report of a change tells what its folder holds, and nothing in it acts or leads elsewhere."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from private_s3.errors import BadInput
from private_s3.evidence import report
from private_s3.evidence.report import browser, notebook_html
from private_s3.evidence.report.page import css_string
from private_s3.evidence.report.redaction import Redaction
from tests.support import small_change as small

HOSTILE = "<script>alert(1)</script></style>{{7*7}}\x07\u202e<img src=x onerror=y>"


@pytest.fixture(autouse=True)
def without_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser, "find", lambda: None)


@pytest.fixture
def applied(tmp_path: Path) -> Path:
    return small.applied(tmp_path / "change-1")


class Page(HTMLParser):
    """The tags and attributes of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def written(folder: Path) -> str:
    report.write(folder)
    return (folder / "report.html").read_text(encoding="utf-8")


def pages(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.html"))


def headings(page: str) -> list[str]:
    return [re.sub("<[^>]+>", "", one).strip() for one in re.findall(r"<h2>(.*?)</h2>", page, re.S)]


def inert(page: str) -> Page:
    """The page, once it is seen that it loads nothing, runs nothing and leads nowhere else."""
    parsed = Page(page)
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page
    for tag, attributes in parsed.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "form", "base", "svg")
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "action", "srcset", "background"):
            value = attributes.get(name) or ""
            assert "//" not in value.partition("base64,")[0], value
            assert ":" not in value or value.startswith("data:image/png;base64,"), value
    styles = "".join(re.findall(r"<style>(.*?)</style>", page, re.S))
    assert "url(" not in styles
    assert "@import" not in styles
    return parsed


def test_a_report_tells_the_change_from_its_head_to_its_undoing(applied: Path) -> None:
    page = written(applied)
    assert headings(page) == [
        "What was asked",
        "Approvals",
        "The plan",
        "Routes",
        "Who can do what",
        "Predicted and observed",
        "Seen from the instances",
        "Steps and checks",
        "Timeline",
        "Calls to AWS",
        "Versions",
        "Undo and verify",
    ]
    text = " ".join(inert(page).text.split())
    for said in (
        "Private path from app-1 i-0123456789abcdef0 to the bucket data",
        "T-1",
        small.CALLER,
        "ada, 2026-11-24 10:01:00 UTC, plan " + small.PLAN.digest,
        "PrivateS3DenyOutsideEndpoint",
        "1 of 2 requests were answered as predicted",
        "✗ differs",
        "timeout (5 s)",
        "succeeded: keys: 3",
        "request-1",
        "private-s3 undo -f PARAMETERS",
        "private-s3 verify change-1 --allowed-signers FILE",
    ):
        assert said in text


def test_a_report_shows_the_pictures_of_both_passes_with_what_they_say(applied: Path) -> None:
    images = [a for tag, a in inert(written(applied)).tags if tag == "img"]
    assert [image["alt"] for image in images] == ["before, after", "before, after"]
    assert all(str(image["src"]).startswith("data:image/png;base64,iVBOR") for image in images)


def test_a_report_names_only_changed_statements_in_full(applied: Path) -> None:
    text = written(applied)
    assert "− removed" in Page(text).text  # noqa: RUF001
    assert "= unchanged" in Page(text).text
    assert "s3:GetOld" in text
    assert "s3:GetKept" not in text


def test_a_failure_comes_first_with_its_lines_and_what_to_do(applied: Path) -> None:
    lines = ["Checked 2 things.", "Failed: it (so).", "Next: do that"]
    failed = [{"name": "it", "state": "FAIL", "detail": "so", "remedy": "do that"}]
    small.facts(applied, "apply", "40_apply_bucket_policy", checks=failed, error={"lines": lines})
    page = written(applied)
    assert headings(page)[0] == "✗ Failed: 40_apply_bucket_policy (apply)"
    first = page.index("Checked 2 things.")
    assert first < page.index("Failed: it (so).") < page.index("Next: do that")
    assert first < page.index('class="box"') < page.index("What was asked")
    assert "What to do: do that" in page


def test_a_notebook_that_failed_before_it_kept_facts_is_a_failure(tmp_path: Path) -> None:
    folder = tmp_path / "change-1"
    outputs = [{"output_type": "error", "ename": "BadInput", "evalue": "a\nb", "traceback": ["t"]}]
    small.notebook(folder / "plan/10_find_vpc.ipynb", outputs)
    page = written(folder)
    assert headings(page) == ["✗ Failed: 10_find_vpc (plan)", *headings(page)[1:]]
    assert "BadInput" in page
    assert "Nothing was planned yet" in page
    inert(page)


def test_a_change_that_was_only_planned_says_so(tmp_path: Path) -> None:
    page = written(small.planned(tmp_path / "change-1"))
    text = " ".join(Page(page).text.split())
    assert "It was planned; nothing was changed." in text
    assert "The routes afterwards: not yet" in text
    assert "To undo: nothing was changed." in text
    assert "The undo" not in headings(page)


def test_a_change_run_by_hand_has_a_report_without_notebooks(applied: Path) -> None:
    for name in ("plan", "apply"):
        shutil.rmtree(applied / name)
    assert "run by hand" in written(applied)
    assert pages(applied) == [applied / "report.html"]


def test_an_undone_change_says_so_at_the_top_and_shows_the_undo(applied: Path) -> None:
    small.undone(applied)
    page = written(applied)
    assert page.index("undone later") < page.index('class="box"')
    assert "The undo" in headings(page)
    assert small.UNDO.digest in page


def test_what_somebody_has_spoiled_does_not_keep_the_rest_from_being_told(applied: Path) -> None:
    small.facts(applied, "apply", "50_check_from_instance", compared=[{"predicted": 7}])
    (applied / "corroboration.json").write_text("[]")
    page = written(applied)
    assert "Could not be read from the folder" in page
    assert "Timeline" in headings(page)


def test_what_cloudtrail_says_is_shown(applied: Path) -> None:
    event = {
        **dict.fromkeys(("account", "source", "event_id", "endpoint_id"), ""),
        "name": "PutBucketPolicy",
        "caller": "arn:aws:sts::111122223333:assumed-role/operator/x",
        "source_ip": "203.0.113.10",
        "error": "",
        "time": "2026-11-24T10:00:00Z",
    }
    write = {"time": "2026-11-24T10:00:00Z", "operation": "PutBucketPolicy", "request_id": "7"}
    probe = {
        "time": "2026-11-24T10:01:00Z",
        "operation": "GetObject",
        "key": ".private-s3-check/x",
        "caller": "arn:aws:sts::111122223333:assumed-role/app/i-1",
        "endpoint_id": "vpce-0123456789abcdef0",
        "endpoint_is_ours": True,
    }
    writes = [
        {**write, "line": 2, "found": True, "matched by": "request id", "event": event},
        {**write, "line": 3, "found": False, "answer": "not (yet) found"},
    ]
    told = {"looked": "2026-11-24T11:00:00.000+00:00", "writes": writes, "probes": [probe]}
    (applied / "corroboration.json").write_text(json.dumps(told))
    text = " ".join(Page(written(applied)).text.split())
    assert "CloudTrail was asked 2026-11-24 11:00:00 UTC" in text
    assert "CloudTrail has recorded 1 of 2 writes of the journal." in text
    assert "✓ foundPutBucketPolicy by arn:aws:sts::111122223333:assumed-role/operator/x" in text
    assert "✗ not foundnot (yet) found" in text
    assert "GetObject.private-s3-check/xapp/i-1vpce-0123456789abcdef0yes" in text


def test_markup_and_control_characters_stay_text_in_every_page(tmp_path: Path) -> None:
    folder = small.applied(tmp_path / "change-1", text=HOSTILE)
    report.write(folder)
    assert len(pages(folder)) == 5
    for path in pages(folder):
        page = path.read_text(encoding="utf-8")
        parsed = inert(page)
        assert "<script>alert(1)</script></style>{{7*7}}\\x07\\u202e<img src=x" in parsed.text
        assert "\x07" not in page
        assert "\u202e" not in page
        assert page.count("</style>") == page.count("<style>")


def test_the_name_of_a_folder_ends_no_style_sheet(tmp_path: Path) -> None:
    page = written(small.applied(tmp_path / 'a"} <b> url(x)'))
    assert inert(page).text
    assert css_string('a"}</style>\n') == '"a\\22 \\7d \\3c \\2f style\\3e \\a "'


@pytest.mark.parametrize(
    "html",
    [
        "<script>alert(1)</script>",
        "<table><tr><td><img src=x onerror=alert(1)></td></tr></table>",
        "<table><tr><td><style>*{}</style></td></tr></table>",
        "<table><!-- x --></table>",
        "<p>x</p>",
    ],
)
def test_html_of_an_output_that_is_no_plain_table_is_not_shown(tmp_path: Path, html: str) -> None:
    data = {"text/html": html, "text/plain": "the plain text"}
    path = tmp_path / "change-1/plan/10_x.ipynb"
    small.notebook(path, [{"output_type": "execute_result", "data": data, "metadata": {}}])
    page = notebook_html.page(path)
    assert page and "the plain text" in inert(page).text
    assert "alert" not in page


def test_a_table_of_an_output_keeps_its_texts_and_loses_its_attributes(tmp_path: Path) -> None:
    html = '<table class="x" onclick="y"><tr><td style="z">a &lt;b&gt; &amp; c</td></tr></table>'
    path = tmp_path / "change-1/plan/10_x.ipynb"
    small.notebook(path, [{"output_type": "execute_result", "data": {"text/html": html}}])
    page = notebook_html.page(path)
    assert page and "<table><tr><td>a &lt;b&gt; &amp; c</td></tr></table>" in page


def test_colours_of_a_traceback_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "change-1/plan/10_x.ipynb"
    traceback = ["\x1b[31mValueError\x1b[39m: <b>", "\\x1b[0;32mas cleaned\\x1b[0m"]
    error = {"output_type": "error", "ename": "E", "evalue": "v", "traceback": traceback}
    small.notebook(path, [error])
    page = notebook_html.page(path)
    assert page and "ValueError: &lt;b&gt;\nas cleaned<" in page


def test_prose_links_only_notebooks_beside_it(tmp_path: Path) -> None:
    prose = (
        "# T\n[there](20_y.ipynb) [gone](30_z.ipynb) [out](https://example.com/a) "
        "![p](https://example.com/p.png) <b onclick=x>"
    )
    path = tmp_path / "change-1/plan/10_x.ipynb"
    small.notebook(path.with_name("20_y.ipynb"), [])
    small.notebook(path, [], prose)
    page = notebook_html.page(path)
    assert page
    links = [a["href"] for tag, a in inert(page).tags if tag == "a"]
    assert links == ["../report.html", "20_y.html"]
    assert "out (https://example.com/a)" in page


def test_the_same_notebook_gives_the_same_bytes(applied: Path) -> None:
    report.write(applied)
    before = {path: path.read_bytes() for path in pages(applied)}
    for path in before:
        path.unlink()
    report.write(applied)
    assert {path: path.read_bytes() for path in pages(applied)} == before


def test_a_notebook_cut_short_has_no_page_and_is_no_error(applied: Path) -> None:
    (applied / "apply/30_inspect_route_diff.ipynb").write_text('{"cells": [{"cell_')
    report.write(applied)
    assert not (applied / "apply/30_inspect_route_diff.html").exists()


def test_a_page_of_a_notebook_that_is_there_is_not_overwritten(applied: Path) -> None:
    there = applied / "plan/30_inspect_route_diff.html"
    there.write_text("as it was sealed")
    report.write(applied)
    assert there.read_text() == "as it was sealed"


def test_a_pdf_of_an_earlier_state_does_not_stay(applied: Path) -> None:
    (applied / "report.pdf").write_bytes(b"%PDF-1.4 old")
    report.write(applied)
    assert not (applied / "report.pdf").exists()


# Writes what is no PDF to where the PDF is wanted.
NONSENSE = 'for one; do case $one in --print-to-pdf=*) echo nonsense > "${one#*=}"; esac; done'


@pytest.mark.parametrize("does", ["exit 1", "exit 0", "sleep 60", NONSENSE])
def test_a_browser_that_fails_leaves_no_pdf(
    applied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str
) -> None:
    bad = tmp_path / "chromium"
    bad.write_text(f"#!/bin/sh\n{does}\n")
    bad.chmod(0o755)
    monkeypatch.setattr(browser, "find", lambda: str(bad))
    monkeypatch.setattr(browser, "PATIENCE", 0.3)
    report.write(applied)
    assert (applied / "report.html").exists()
    assert not [path for path in applied.iterdir() if "pdf" in path.name]


def test_people_outside_get_the_pages_and_links_to_them_alone(
    applied: Path, tmp_path: Path
) -> None:
    broken = applied / "apply/20_create_gateway_endpoint.ipynb"
    small.notebook(broken.with_name("10_find_vpc.ipynb"), [], f"# T\n[next]({broken.name})")
    report.write(applied)
    broken.write_text("cut short, after its page was written")
    report.outside(applied, tmp_path / "out", redact_account_ids=False)
    names = [path.relative_to(tmp_path / "out").as_posix() for path in pages(tmp_path / "out")]
    wanted = [path.relative_to(applied).as_posix() for path in pages(applied)]
    assert names == [name for name in wanted if name != "apply/20_create_gateway_endpoint.html"]
    assert {path.suffix for path in (tmp_path / "out").rglob("*.*")} == {".html"}
    for path in pages(tmp_path / "out"):
        for _, attributes in inert(path.read_text()).tags:
            href = attributes.get("href") or "#"
            assert href.startswith("#") or (path.parent / href).is_file()


def test_account_ids_are_redacted_alike_in_all_pages(tmp_path: Path) -> None:
    applied = small.applied(
        tmp_path / "change-1",
        text="x-210987654321-y %3A210987654321%3A",
        alt="role of 210987654321",
    )
    report.outside(applied, tmp_path / "out", redact_account_ids=True)
    texts = [path.read_text() for path in pages(tmp_path / "out")]
    assert len(texts) == 5
    for text in texts:
        assert small.ACCOUNT not in text
        assert "210987654321" not in text
    assert any("x-account-2-y %3Aaccount-2%3A" in text for text in texts)
    # What a picture shows is known from its description; of this one nothing is to be seen.
    assert not any("<img" in text for text in texts)
    assert any("Picture left out" in text and "role of account-2" in text for text in texts)


def test_redaction_leaves_digests_and_hexadecimal_words_alone() -> None:
    keep = (
        "plan 111111111111, 0123456789abc333333333333, 5f2c0000-0000-4000-8000-444444444444, "
        "1234567890123456"
    )
    page = f"{keep} arn:aws:iam::222222222222:root 2222-2222-2222 acct222222222222"
    redacted = Redaction([page], "222222222222", {"111111111111"}).page(page)
    assert redacted == f"{keep} arn:aws:iam::account-1:root account-1 acctaccount-1"


def test_pictures_without_account_ids_stay_in_redacted_pages(applied: Path, tmp_path: Path) -> None:
    report.outside(applied, tmp_path / "out", redact_account_ids=True)
    page = (tmp_path / "out/report.html").read_text()
    assert page.count("<img") == 2
    assert "account-1" in page


def test_a_folder_that_holds_something_is_not_written_into(applied: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine").touch()
    with pytest.raises(BadInput, match="not an empty folder"):
        report.outside(applied, tmp_path / "out", redact_account_ids=True)


def test_every_symbol_has_a_word(applied: Path) -> None:
    marks: list[Any] = re.findall(
        r'class="mark \w+"><span aria-hidden="true">(.)</span> (\w+)', written(applied)
    )
    assert marks
    assert all(word for _, word in marks)

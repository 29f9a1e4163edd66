"""Tables show what is in them and nothing else, in any theme, with whole ids."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from private_s3 import tables
from private_s3.evidence.report import notebook_html
from private_s3.tables import table

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><b onmouseover="x">',
    "</td></tr></table><h1>x</h1>",
    "<td style='position:fixed'>PASS",
    "&lt;b&gt; & &amp;",
    "a-b<i>/c-d</i>",
]
ARN = "arn:aws:sts::123456789012:assumed-role/AWSReservedSSO_Admin_0123456789abcdef/a@example.com"
IDS = ["vpce-0d01b921bedef09ab", "pl-61a54008", ARN, "bucket/rehearsal-private-data", "10.0.0.0/8"]
TAGS = {"table", "thead", "tbody", "tr", "th", "td", "span"}


class Page(HTMLParser):
    """What a browser makes of a table: its tags, and the texts of its cells with their styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.rows: list[list[str]] = []
        self.styles: dict[str, str] = {}  # by text
        self._open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        assert {name for name, _ in attrs} <= {"class", "style"}
        self._open.append(dict(attrs).get("style") or "")
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.rows[-1][-1] += data
            self.styles[data] = self._open[-1]


def html(rows: list[Any], columns: list[str]) -> str:
    made: str = table(rows, columns)._repr_html_()  # type: ignore[operator]
    return made


@pytest.mark.parametrize("hostile", HOSTILE)
def test_markup_in_a_cell_or_a_header_stays_text(hostile: str) -> None:
    page = Page(html([(hostile, "PASS"), ("-", hostile)], [hostile, "b"]))
    assert set(page.tags) <= TAGS
    assert page.rows == [[hostile, "b"], [hostile, "PASS"], ["-", hostile]]


def test_a_policy_variable_is_no_formula() -> None:
    """JupyterLab sets what stands between two dollars, unless it is told not to."""
    shown = html([("${aws:username} ${aws:userid}",)], ["a"])
    assert re.search(r'<table class="[^"]*\bmathjax_ignore\b', shown)


@pytest.mark.parametrize("one", IDS)
@pytest.mark.parametrize("around", ["{}", "through the endpoint {}; not known"])
def test_ids_are_whole_and_in_one_line(one: str, around: str) -> None:
    page = Page(html([(around.format(one), one)], ["a", one]))
    assert page.rows[1] == [around.format(one), one]
    (whole,) = {text for text in page.styles if one in text and " " not in text} - {one} or {one}
    assert "white-space: nowrap" in page.styles[whole]
    assert "white-space: nowrap" in page.styles[one]


def test_prose_may_be_parted() -> None:
    page = Page(html([("nothing was applied - yet",)], ["a"]))
    assert "nowrap" not in page.styles["nothing was applied - yet"]


def test_what_is_long_is_not_cut() -> None:
    long = "arn:" + "x" * 500
    page = Page(html([(long,)] * 80, ["a"]))
    assert page.rows[1:] == [[long]] * 80


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, two: str) -> float:
    """Source: Web Content Accessibility Guidelines 2.2, "contrast ratio"."""
    light, dark = sorted([luminance(one), luminance(two)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("state", tables.STATES)
def test_a_state_is_a_word_on_a_colour_of_its_own_that_it_reads_on(state: str) -> None:
    style = Page(html([("a", state)], ["check", "state"])).styles[state]
    text = re.search(r"(?<![\w-])color: (#\w{6})", style)
    behind = re.search(r"background-color: (#\w{6})", style)
    assert text and behind and contrast(text[1], behind[1]) >= 4.5


def test_a_state_in_a_header_or_within_a_text_is_a_word_like_others() -> None:
    page = Page(html([(1, "it reads PASS")], ["PASS", "FAIL"]))
    assert not any("background" in style for style in page.styles.values())


def test_added_and_removed_rows_are_marked_and_a_dash_elsewhere_is_none() -> None:
    columns = ["", "route", "condition"]
    page = Page(html([("+", "a", "x"), ("-", "b", "y")], columns))
    assert tables.GREEN in page.styles["+"] and tables.RED in page.styles["-"]
    for row, names in ((("", "-", "+"), columns), (("-", "+"), ["sid", "action"])):
        page = Page(html([row], names))
        assert not any("background" in style for style in page.styles.values())


def test_no_colour_stands_without_the_colour_of_its_text() -> None:
    """A background alone is not readable in the other theme."""
    page = Page(html([("+", "PASS", "b-c"), ("-", "FAIL", "d")], ["", "state", "e-f"]))
    for style in page.styles.values():
        names = {one.partition(":")[0].strip() for one in style.split(";")}
        assert ("background-color" in names) == ("color" in names)


def test_tables_are_read_from_the_left_and_from_the_top() -> None:
    shown = html([("a", 1)], ["x", "y"])
    cells = re.findall(r"<t[hd]\b([^>]*)>", shown)
    assert cells == [' style="text-align: left; vertical-align: top"'] * 4


def test_the_same_rows_give_the_same_html() -> None:
    rows = [("+", "vpce-1", "PASS")]
    assert html(rows, ["", "a", "b"]) == html(rows, ["", "a", "b"])
    assert "style>" not in html(rows, ["", "a", "b"])


def test_an_empty_table_keeps_its_columns() -> None:
    assert Page(html([], ["check", "state"])).rows == [["check", "state"]]


def test_secrets_and_controls_are_not_shown() -> None:
    shown = html([("AKIAIOSFODNN7EXAMPLE\x1b",)], ["a"])
    assert "AKIA" not in shown and "\x1b" not in shown


def test_pages_of_the_evidence_show_the_same_texts_with_marks_of_their_own() -> None:
    rows = [("+", "vpce-0d01b921bedef09ab", "PASS"), ("-", ARN, "FAIL")]
    shown = notebook_html._table(html(rows, ["", "id", "state"]))
    assert shown is not None
    parser = Page(str(shown).replace("<wbr>", ""))
    assert parser.rows == [["", "id", "state"], *map(list, rows)]
    assert '<span class="mark good">PASS</span>' in shown
    assert '<span class="mark bad">FAIL</span>' in shown
    assert '<span class="mark bad">-</span>' in shown
    assert "style" not in shown

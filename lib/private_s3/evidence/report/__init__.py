"""Writes the report of a change, and each executed notebook as HTML; also for people outside."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from private_s3.errors import BadInput
from private_s3.evidence.report import (
    browser,
    notebook_html,
    section_access,
    section_plan,
    section_record,
    section_summary,
)
from private_s3.evidence.report.blocks import Mark, Section, Words
from private_s3.evidence.report.page import render
from private_s3.evidence.report.redaction import Redaction
from private_s3.evidence.story import PASSES, Story
from private_s3.folder import make_folder, write_text

TEMPLATE, HTML, PDF = "report.html.j2", "report.html", "report.pdf"
Blocks = Callable[[Story], Iterator[Any]]


def write(folder: Path) -> None:
    """Writes `report.html`, `report.pdf` where a browser is, and HTML beside each notebook.

    The HTML of a notebook is written once; the report is made anew from what the folder tells.
    """
    story = Story(folder)
    for path in _notebooks(story):
        beside = path.with_suffix(".html")
        if not beside.exists() and (page := notebook_html.page(path)):
            write_text(beside, page)
    (folder / PDF).unlink(missing_ok=True)  # it shows an earlier state
    page = html(story)
    write_text(folder / HTML, page)
    # On paper nothing links to another file, and a link would say where that lies.
    browser.print_pdf(_linking(page, HTML, ()), folder / PDF)


def outside(folder: Path, to: Path, *, redact_account_ids: bool) -> None:
    """Copies of the reports for people outside; raises BadInput if `to` holds something already.

    With `redact_account_ids` every account id reads `account-1` and so on, in all of them alike,
    and pictures that show one are left out: what they show is said in their place.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise BadInput(
            f"Could not copy the reports of {folder.name}; nothing was written.",
            f"{to} exists and is not an empty folder.",
            "give the name of a new folder",
        )
    story = Story(folder)
    pages = {
        path.with_suffix(".html").relative_to(folder).as_posix(): page
        for path in _notebooks(story)
        if (page := notebook_html.page(path))
    }
    pages[HTML] = html(story)
    pages = {name: _linking(page, name, pages) for name, page in pages.items()}
    if redact_account_ids:
        own = str(story.parameters.get("expected_account", ""))
        pages = Redaction(pages.values(), own, _digests(story)).pages(pages)
    for name, page in pages.items():
        make_folder((to / name).parent)
        write_text(to / name, page)


def html(story: Story) -> str:
    """The report as one page; it links the pages that are beside it."""
    failures = section_summary.failures(story)
    return render(
        TEMPLATE,
        title=section_summary.title(story),
        change=story.change_id,
        marks=[Mark(section_summary.state(story)), *([Mark("failed")] if failures else [])],
        sentence=section_summary.sentence(story),
        failures=failures,
        summary=section_summary.summary(story),
        sections=list(_sections(story)),
        linked=lambda name: (story.folder / name).is_file(),
    )


def _sections(story: Story) -> Iterator[Section]:
    """What the report says, in this order; what has no content is left out."""
    for title, *parts in (
        ("What was asked", section_record.asked),
        ("Approvals", section_record.approvals),
        ("The plan", section_plan.plan),
        ("Routes", _pictures, section_plan.routes),
        ("Who can do what", section_access.matrix),
        ("Predicted and observed", section_access.compared),
        ("Seen from the instances", section_access.probes),
        ("The undo", section_plan.undo, section_access.after_undo),
        ("Steps and checks", section_record.steps),
        ("Audit", section_record.audit),
        ("Timeline", section_record.timeline),
        ("Calls to AWS", section_record.calls),
        ("What CloudTrail says", section_record.corroboration),
        ("Versions", section_record.versions),
        ("Undo and verify", section_record.handling),
    ):
        blocks = [block for part in parts for block in _readable(story, part)]
        if blocks:
            yield Section(title, title.lower().replace(" ", "-"), blocks)


def _readable(story: Story, part: Blocks) -> list[Any]:
    """What a part says; what somebody has spoiled does not keep the rest from being told."""
    try:
        return list(part(story))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        return [Words(f"Could not be read from the folder: {error!r}", "bad")]


def _pictures(story: Story) -> Iterator[Any]:
    yield from section_plan.figures(story, section_plan.ROUTES)


def _notebooks(story: Story) -> list[Path]:
    return [path for pass_name in PASSES for path in story.notebooks(pass_name)]


def _linking(page: str, name: str, pages: Collection[str]) -> str:
    """A page that links, of other files, none but these pages."""

    def link(found: re.Match[str]) -> str:
        leads_to = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(found[1])))
        return found[0] if leads_to in pages else found[2]

    return re.sub(r'<a href="([^"#]+)">(.*?)</a>', link, page)


def _digests(story: Story) -> set[str]:
    """The digests of plans, which may be twelve digits without being an account."""
    return {*story.plans, *(str(line.get("plan", "")) for line in story.lines)}

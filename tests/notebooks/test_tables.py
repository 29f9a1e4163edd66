"""In a browser, a wide table scrolls in its own frame, and no id is broken into two lines."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import sync_playwright

from private_s3.evidence.report import browser, notebook_html
from tests.unit.private_s3.test_tables import ARN, html


@pytest.mark.skipif(not browser.find(), reason="no browser is installed here")
@pytest.mark.parametrize("width", [1200, 400])
def test_in_a_browser_a_wide_table_scrolls_by_itself_and_no_id_is_parted(
    tmp_path: Path, width: int
) -> None:
    rows = [(f"the caller {ARN}", "vpce-0d01b921bedef09ab", f"as {ARN}", "PASS")]
    output = nbformat.v4.new_output("display_data", {"text/html": html(rows, ["a", "b", "c", "d"])})
    cell = nbformat.v4.new_code_cell("", outputs=[output])
    path = tmp_path / "change-1/plan/10_x.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), path)
    made = path.with_suffix(".html")
    made.write_text(notebook_html.page(path) or "", encoding="utf-8")
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser.find(), args=arguments)
        page = started.new_page(viewport={"width": width, "height": 600})
        page.goto(made.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        box, inside = page.evaluate(
            "(b => [b.clientWidth, b.scrollWidth])(document.querySelector('.output .scroll'))"
        )
        assert box < inside
        # As many lines as a word has, and whether it stays in its cell.
        words = page.evaluate(
            """[...document.querySelectorAll('.output td > span')].map(word => {
              const [own, cell] = [word, word.closest('td')].map(e => e.getBoundingClientRect());
              const tops = [...word.getClientRects()].map(line => line.top);
              return [word.innerText, new Set(tops).size, own.right <= cell.right];
            })"""
        )
        started.close()
    whole = [ARN, "vpce-0d01b921bedef09ab", ARN, "PASS"]
    assert words == [[word, 1, True] for word in whole]

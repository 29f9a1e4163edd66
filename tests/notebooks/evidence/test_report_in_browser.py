"""A real browser shows the pages of a change whole, and asks for nothing to do so."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from private_s3.evidence import report
from private_s3.evidence.report import browser
from tests.support import small_change as small

FOUND = browser.find()
pytestmark = pytest.mark.skipif(not FOUND, reason="no browser here (Debian: chromium)")
HOSTILE = "<script>alert(1)</script></style>" + "x" * 300


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = small.applied(tmp_path_factory.mktemp("changes") / "change-1", text=HOSTILE)
    report.write(made)
    return made


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=FOUND, args=arguments)
        yield started
        started.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page in a browser without a network, which takes note of everything that goes wrong."""
    context = chromium.new_context(offline=True)
    opened, wrong = context.new_page(), []
    opened.on("request", lambda r: r.url.startswith(("file:", "data:")) or wrong.append(r.url))
    opened.on("console", lambda m: m.type in ("error", "warning") and wrong.append(m.text))
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("dialog", lambda dialog: wrong.append(dialog.message))
    yield opened
    context.close()
    assert not wrong


def names(folder: Path) -> list[Path]:
    return [folder / "report.html", *sorted(folder.glob("*/*.html"))]


@pytest.mark.parametrize("width", [1200, 400])
def test_every_page_fits_and_shows_its_headings_and_pictures(
    folder: Path, page: Page, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for path in names(folder):
        page.goto(path.as_uri())
        wide = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        assert wide[0] <= wide[1], f"{path.name} at {width}"
        headings = page.locator("h1, h2").all()
        assert headings
        assert all(heading.is_visible() for heading in headings)
        pictures = page.evaluate("[...document.images].map(i => i.complete && i.naturalWidth)")
        assert all(pictures)
        assert page.locator("script").count() == 0


def test_a_report_has_pictures_and_leads_to_the_notebooks(folder: Path, page: Page) -> None:
    page.goto((folder / "report.html").as_uri())
    assert page.locator("img").count() == 2
    for anchor in page.locator("nav a").all():
        assert page.locator(anchor.get_attribute("href") or "none").count() == 1
    links = [a.get_attribute("href") for a in page.locator("main section a").all()]
    assert links
    assert all((folder / str(link)).is_file() for link in links)


def test_words_have_enough_contrast_in_light_and_in_dark(folder: Path, page: Page) -> None:
    script = """() => {
      const rgb = c => c.match(/\\d+(\\.\\d+)?/g).slice(0, 3).map(Number);
      const light = c => rgb(c).map(v => v / 255).map(
        v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4
      ).reduce((sum, v, n) => sum + v * [.2126, .7152, .0722][n], 0);
      const behind = e => {
        for (; e; e = e.parentElement) {
          const c = getComputedStyle(e).backgroundColor;
          if (c !== "rgba(0, 0, 0, 0)") return c;
        }
        return "rgb(255, 255, 255)";
      };
      const all = [...document.querySelectorAll("p, td, th, dt, dd, a, .mark, pre, pre span")];
      return Math.min(...all.map(e => {
        const [one, other] = [light(getComputedStyle(e).color), light(behind(e))];
        return (Math.max(one, other) + .05) / (Math.min(one, other) + .05);
      }));
    }"""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for path in names(folder):
            page.goto(path.as_uri())
            assert page.evaluate(script) >= 4.5, f"{path.name}, {scheme}"


def test_the_report_is_printed(folder: Path) -> None:
    assert (folder / "report.pdf").read_bytes().startswith(b"%PDF-")


def test_a_print_does_not_tell_where_it_was_made(tmp_path: Path) -> None:
    folder = small.applied(tmp_path / "change-1")
    report.write(folder)
    printed = (folder / "report.pdf").read_bytes()
    assert printed.startswith(b"%PDF-")
    assert b"file:" not in printed and str(tmp_path).encode() not in printed
    assert b"plan/30_inspect_route_diff.html" in (folder / "report.html").read_bytes()

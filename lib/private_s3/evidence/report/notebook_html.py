"""Shows an executed notebook as one page: nothing in it acts, whatever the notebook holds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import mistune
from markupsafe import Markup, escape
from pygments import highlight  # type: ignore[import-untyped]
from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]
from pygments.lexers import PythonLexer  # type: ignore[import-untyped]

from private_s3.evidence import executed
from private_s3.evidence.report.blocks import Picture
from private_s3.evidence.report.page import flowing, picture, render, text_of

TEMPLATE = "notebook.html.j2"
# Also as clean() has made it visible.
_COLOURS = re.compile(r"(?:\x1b|\\x1b)\[[0-9;]*[A-Za-z]")
# What our tables emphasize, and its colour here.
_TONES = {"PASS": "good", "FAIL": "bad", "UNCERTAIN": "doubt", "SKIPPED": "quiet"}
_TONES |= {"+": "good", "-": "bad"}
_TABLE_TAGS = frozenset({"table", "thead", "tbody", "tr", "th", "td", "span"})


@dataclass(frozen=True)
class Shown:
    """One output, or one cell: its kind, and what is shown of it."""

    kind: str  # prose, code, table, picture, text or error
    content: Any
    outputs: list[Shown] = field(default_factory=list)
    number: int | None = None


def page(path: Path) -> str | None:
    """The notebook as a page, always the same for the same notebook; None if it cannot be read."""
    try:
        notebook = json.loads(path.read_bytes())
        cells = [_cell(cell, path) for cell in notebook["cells"]]
        run = executed.read(path)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    headings = (re.match(r"# +(.+)", c.content[0]) for c in cells if c.kind == "prose")
    title = next((found[1] for found in headings if found), path.stem)
    change, pass_name = path.parent.parent.name, path.parent.name
    return render(
        TEMPLATE,
        title=title,
        change=change,
        pass_name=pass_name,
        name=path.name,
        times=[time[:19].replace("T", " ") for time in (run.started, run.ended)],
        cells=cells,
    )


def pictures(path: Path | None) -> list[Picture]:
    """Every picture that a notebook shows; none of one that cannot be read."""
    return [found for output in _outputs(path) if (found := _picture(output))]


def errors(path: Path | None) -> list[list[str]]:
    """The lines of every error that a notebook shows."""
    return [
        [str(output.get("ename", "")), *str(output.get("evalue", "")).split("\n")]
        for output in _outputs(path)
        if output.get("output_type") == "error"
    ]


def _outputs(path: Path | None) -> Iterator[Mapping[str, Any]]:
    try:
        cells = json.loads(path.read_bytes())["cells"] if path else []
        yield from [output for cell in cells for output in cell.get("outputs", ())]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return


def _cell(cell: Mapping[str, Any], path: Path) -> Shown:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return Shown("prose", (source, _prose(source, path)))
    if cell["cell_type"] != "code":
        return Shown("text", source)
    outputs = [shown for output in cell.get("outputs", ()) if (shown := _output(output))]
    return Shown("code", _code(source), outputs, cell.get("execution_count"))


def _output(output: Mapping[str, Any]) -> Shown | None:
    """What is shown of an output: a picture, one of our tables, else its plain text."""
    kind, data = output["output_type"], output.get("data", {})
    if kind == "stream":
        return Shown("text", _plain(output["text"]))
    if kind == "error":
        return Shown("error", _plain("\n".join(output["traceback"])))
    if found := _picture(output):
        return Shown("picture", found)
    if (table := _table("".join(data.get("text/html", "")))) is not None:
        return Shown("table", table)
    return Shown("text", _plain(data["text/plain"])) if "text/plain" in data else None


def _picture(output: Mapping[str, Any]) -> Picture | None:
    if "image/png" not in output.get("data", {}):
        return None
    return picture(output["data"]["image/png"], output.get("metadata", {}).get("image/png"))


def _plain(text: Any) -> str:
    return _COLOURS.sub("", "".join(text))


def _code(source: str) -> Markup:
    # Of what the highlighter makes, every text is escaped.
    return Markup(highlight(text_of(source), PythonLexer(), HtmlFormatter(nowrap=True)))


class _Tables(HTMLParser):
    """Takes tables apart, and puts them together from their tags and texts alone."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.plain = True

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.plain = self.plain and tag in _TABLE_TAGS
        self.parts.append(f"<{tag}>")

    def handle_endtag(self, tag: str) -> None:
        self.plain = self.plain and tag in _TABLE_TAGS
        self.parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if self.parts[-1:] == ["<span>"] and data in _TONES:
            self.parts[-1] = f'<span class="mark {_TONES[data]}">'
        self.parts.append(str(flowing(data)))

    def handle_comment(self, data: str) -> None:
        self.plain = False

    def handle_decl(self, decl: str) -> None:
        self.plain = False

    def handle_pi(self, data: str) -> None:
        self.plain = False

    def unknown_decl(self, data: str) -> None:
        self.plain = False


def _table(html: str) -> Markup | None:
    """A table as ours are, without its attributes; None for any other markup."""
    if not html.lstrip().startswith("<table"):
        return None
    parser = _Tables()
    parser.feed(html)
    parser.close()
    return Markup("".join(parser.parts)) if parser.plain else None


class _Prose(mistune.HTMLRenderer):
    """Markdown without markup, pictures, or links to anything but what lies beside it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(escape=True)
        self.folder = folder

    def link(self, text: str, url: str, title: str | None = None) -> str:
        beside = re.fullmatch(r"([\w-]+)\.ipynb", url)
        if beside and (self.folder / url).is_file():
            return f'<a href="{escape(beside[1])}.html">{text}</a>'
        return text if beside or url == text else f"{text} ({escape(url)})"

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return f"[{text}]"


def _prose(source: str, path: Path) -> Markup:
    made = mistune.create_markdown(renderer=_Prose(path.parent), plugins=["table"])
    return Markup(made(text_of(source)))

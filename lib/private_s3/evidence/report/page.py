"""Makes pages that are one file, load nothing, run nothing, and show everything as text."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from private_s3.clean import clean
from private_s3.evidence.report.blocks import Link, Mark, Picture, Turn

# Ids of AWS and times, which no line break is to part.
_WHOLE = re.compile(
    r"\b(?:[a-z]{1,8}-(?:[0-9a-f]{17}|[0-9a-f]{8})|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?: UTC)?)\b"
)
# Where a long word, such as an ARN, may be parted, and after how much it must be.
_PARTS = re.compile(r"[^:/_=&?,.]{1,40}[:/_=&?,.]*|[:/_=&?,.]{1,40}")
_LONG = 24
_PNG = b"\x89PNG\r\n\x1a\n"


def picture(data: Any, about: Any) -> Picture | None:
    """The PNG of a notebook's output; None for anything that is not one."""
    try:
        content = base64.b64decode("".join(data), validate=False)
    except (binascii.Error, TypeError, ValueError):
        return None
    if not content.startswith(_PNG):
        return None
    about = about if isinstance(about, Mapping) else {}
    width = about.get("width")
    text = Markup(base64.b64encode(content).decode("ascii"))
    return Picture(text, str(about.get("alt", "")), width if isinstance(width, int) else None)


def render(template: str, **values: Any) -> str:
    """A page made from one of our templates."""
    return _environment().get_template(template).render(**values)


def text_of(value: Any) -> Any:
    """What a page shows of a value: texts without secrets, control characters made visible."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return clean(value).encode("utf-8", "backslashreplace").decode("utf-8")
    return value


def flowing(text: str) -> Markup:
    """A text that fits into a narrow column: ids and times stay whole, long words need not."""
    words = re.split(r"(\s+)", text_of(text))
    shown = "".join(
        "<wbr>".join(
            escape(part) for part in (_PARTS.findall(word) if len(word) > _LONG else [word])
        )
        for word in words
    )
    return Markup(_WHOLE.sub(r'<span class="id">\g<0></span>', shown))


def css_string(text: str) -> Markup:
    """A text as a CSS string that ends neither the string nor the style sheet."""
    kept = (c if c.isascii() and (c.isalnum() or c in "-. ") else f"\\{ord(c):x} " for c in text)
    return Markup(f'"{"".join(kept)}"')


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("private_s3.evidence.report"),
        autoescape=True,
        finalize=text_of,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(css_string=css_string, flowing=flowing)
    made.tests["mark"] = lambda cell: isinstance(cell, Mark)
    made.tests["turn"] = lambda cell: isinstance(cell, Turn)
    made.tests["link"] = lambda cell: isinstance(cell, Link)
    return made

"""Draws the way of each instance to S3: its hops in a row, and where it ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from private_s3.figures import (
    DPI,
    FILL,
    INK,
    LINE,
    MARGIN,
    QUIET,
    SHARED,
    TITLE_SIZE,
    WIDTH,
    joined,
    present,
    wrapped,
)
from private_s3.network import name
from private_s3.path.walk import Hop, first_blocker

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

# Lengths in inches.
SIZE, HEAD_SIZE = 8.0, 9.0
BOX, GAP, TALL, END = 0.615, 0.075, 0.62, 0.5
HEAD, BELOW, BETWEEN = 0.24, 0.22, 0.2
ROOM = WIDTH - 2 * MARGIN
FIRST = "first"
# The sign and the word of each kind of hop: neither colour nor line is needed to tell them apart.
WORDS = {"blocked": "blocked", "uncertain": "not known", FIRST: "ends here"}
LOOKS: dict[str, dict[str, Any]] = {
    "open": {"fc": FILL, "ec": QUIET, "lw": 0.9},
    "blocked": {"fc": "white", "ec": SHARED, "lw": 1.1, "ls": "--"},
    "uncertain": {"fc": "white", "ec": "#bdbdbd", "lw": 0.9, "hatch": "////"},
    FIRST: {"fc": "white", "ec": SHARED, "lw": 2.8},
}
# And of the arrow behind it.
LINES: dict[str, dict[str, Any]] = {
    "open": {"color": INK, "lw": 1.8},
    "uncertain": {"color": INK, "lw": 1.1, "ls": "--"},
    FIRST: {"color": QUIET, "lw": 1.1, "ls": ":"},
}
CORNER = "round,pad=0,rounding_size=0.05"
# So many names stand in the title for one kind of end.
NAMED = 4


def show(
    hops: Sequence[Hop],
    instances: Sequence[InstanceTypeDef] = (),
    *,
    bucket: str = "",
    planned: bool = False,
) -> None:
    """Displays the picture with its alternative text, in its own size and sharpness.

    `instances` are asked for their names; with `planned`, the hops are a prediction.
    """
    figure = draw(hops, instances, bucket=bucket, planned=planned)
    present(figure, alt_text(hops, instances, bucket=bucket, planned=planned))


def draw(
    hops: Sequence[Hop],
    instances: Sequence[InstanceTypeDef] = (),
    *,
    bucket: str = "",
    planned: bool = False,
) -> Figure:
    """A row of boxes per instance, an arrow through them, and why the first of them is closed."""
    rows, names = _rows(hops), _names(hops, instances)
    sentence = finding(hops, instances, bucket=bucket, planned=planned)
    title = wrapped(sentence, ROOM, TITLE_SIZE, "bold")
    reasons = {
        one: wrapped(text, ROOM, SIZE) if (text := _reason(row, one)) else []
        for one, row in rows.items()
    }
    down = MARGIN + 0.22 * len(title) + 0.16
    tops = {}
    for one in rows:
        tops[one] = down
        down += HEAD + TALL + BETWEEN + (BELOW + LINE * len(reasons[one])) * bool(reasons[one])
    height = down - BETWEEN + MARGIN
    with mpl.rc_context({"font.family": "DejaVu Sans", "hatch.color": "#bdbdbd"}):
        figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(height, 0))
        axes.axis("off")
        _text(axes, MARGIN, MARGIN, title, size=TITLE_SIZE, weight="bold", va="top")
        for one, row in rows.items():
            _text(axes, MARGIN, tops[one] + 0.08, [names[one]], size=HEAD_SIZE, weight="bold")
            _row(axes, tops[one] + HEAD, row)
            if reasons[one]:
                y = tops[one] + HEAD + TALL + BELOW
                _text(axes, MARGIN, y, reasons[one], va="top")
    return figure


def finding(
    hops: Sequence[Hop],
    instances: Sequence[InstanceTypeDef] = (),
    *,
    bucket: str = "",
    planned: bool = False,
) -> str:
    """What the picture shows, in one sentence."""
    names = _names(hops, instances, short=True)
    ends: dict[str, list[str]] = {}
    for one, row in _rows(hops).items():
        ends.setdefault(_end(row, one), []).append(names[one])
    clauses = [f"of {_list(who)} {end}" for end, who in ends.items()]
    start = "As planned, the" if planned else "The"
    return f"{start} private way to {bucket or 'S3'} " + "; that ".join(clauses)


def alt_text(
    hops: Sequence[Hop],
    instances: Sequence[InstanceTypeDef] = (),
    *,
    bucket: str = "",
    planned: bool = False,
) -> str:
    """All that the picture says, for those who cannot see it."""
    title, names = finding(hops, instances, bucket=bucket, planned=planned), _names(hops, instances)
    told = []
    for one, row in _rows(hops).items():
        alike: dict[str, list[str]] = {}
        for kind, hop in zip(_kinds(row, one), row, strict=True):
            alike.setdefault(WORDS.get(kind, kind), []).append(hop.hop)
        kinds = "; ".join(f"{joined(which)}: {word}" for word, which in alike.items())
        told.append(f"{names[one]}: {kinds}. {_reason(row, one)}".strip().rstrip("."))
    return ". ".join([title, *told]) + "."


def _rows(hops: Sequence[Hop]) -> dict[str, list[Hop]]:
    """The hops of each instance, by its id."""
    rows: dict[str, list[Hop]] = {}
    for hop in hops:
        rows.setdefault(hop.instance, []).append(hop)
    return rows


def _names(
    hops: Sequence[Hop], instances: Sequence[InstanceTypeDef], *, short: bool = False
) -> dict[str, str]:
    """What each instance is called; in short, by its name alone if it is the only one of it."""
    given = {one["InstanceId"]: name(one) for one in instances}
    called = {one: given.get(one, "") for one in _rows(hops)}
    alone = {text for text in called.values() if [*called.values()].count(text) == 1}
    return {
        one: text if short and text and text in alone else f"{text} {one}".strip()
        for one, text in called.items()
    }


def _list(names: Sequence[str]) -> str:
    return f"{len(names)} instances" if len(names) > NAMED else joined([*names])


def _end(row: Sequence[Hop], instance_id: str) -> str:
    """How the way of an instance ends, in words."""
    if blocker := first_blocker(row, instance_id):
        return f"ends at the {blocker.hop}"
    doubtful = any(hop.verdict == "uncertain" for hop in row)
    return "is not known to be open" if doubtful else "is open"


def _reason(row: Sequence[Hop], instance_id: str) -> str:
    """Why the way ends where it does, or else why it is not known that it does not."""
    blocker = first_blocker(row, instance_id)
    doubtful = (hop for hop in row if hop.verdict == "uncertain")
    shown = blocker or next(doubtful, None)
    return f"{shown.hop}: {shown.reason}" if shown else ""


def _kinds(row: Sequence[Hop], instance_id: str) -> list[str]:
    """What each hop is drawn as: its verdict, but for the first that is blocked."""
    blocker = first_blocker(row, instance_id)
    return [FIRST if hop is blocker else hop.verdict for hop in row]


def _row(axes: Axes, top: float, row: Sequence[Hop]) -> None:
    """The boxes of one instance and the arrow, which says how far its packets are known to get."""
    way, x, y = "open", MARGIN, top + TALL / 2
    for kind, hop in zip(_kinds(row, row[0].instance), row, strict=True):
        if x > MARGIN:
            _line(axes, x - GAP, x, y, way)
        _box(axes, x, top, hop.hop, kind)
        way = kind if kind == FIRST or (kind, way) == ("uncertain", "open") else way
        x += BOX + GAP
    end = WIDTH - MARGIN - END
    _line(axes, x - GAP, end, y, way, arrow="-|>")
    axes.add_patch(FancyBboxPatch((end, top), END, TALL, CORNER, **LOOKS["open"]))
    _text(axes, end + END / 2, y, ["S3"], size=HEAD_SIZE, weight="bold", ha="center")


def _line(axes: Axes, x: float, end: float, y: float, way: str, *, arrow: str = "-") -> None:
    style: dict[str, Any] = {"arrowstyle": arrow, "mutation_scale": 10, **LINES[way]}
    line = FancyArrowPatch((x, y), (end, y), shrinkA=0, shrinkB=0, **style)
    line.set_gid(f"way {way}")
    axes.add_patch(line)


def _box(axes: Axes, x: float, top: float, text: str, kind: str) -> None:
    patch = FancyBboxPatch((x, top), BOX, TALL, CORNER, gid=kind, **LOOKS[kind])
    axes.add_patch(patch)
    plate = {"fc": "white", "ec": "none", "pad": 0.6} if kind == "uncertain" else None
    weight = "bold" if kind == FIRST else "normal"
    _text(
        axes, x + BOX / 2, top + TALL / 2, text.split(" "), ha="center", weight=weight, bbox=plate
    )
    if kind == "open":
        return
    color = QUIET if kind == "uncertain" else SHARED
    below = top + TALL + BELOW / 2
    _text(axes, x + BOX / 2, below, [WORDS[kind]], ha="center", weight=weight, color=color)
    if kind == FIRST:
        axes.plot([x + BOX], [top], "X", color=SHARED, ms=10, mec="white", mew=1.2, gid="end")


def _text(axes: Axes, x: float, y: float, lines: Sequence[str], **style: Any) -> None:
    """Text as it is: a dollar in a name is no formula."""
    style = {"size": SIZE, "va": "center", "color": INK, "parse_math": False, **style}
    axes.text(x, y, "\n".join(lines), **style)

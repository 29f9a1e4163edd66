"""Draws the one picture: subnets, their route tables, and where S3 traffic goes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import mean
from textwrap import wrap
from typing import Any, NamedTuple

import matplotlib as mpl
import pandas as pd
from IPython.display import Image, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from private_s3.network import NOWHERE

# Lengths in inches. A column is its left edge and its width: that of a whole id, and no less.
SUBNET, TABLE, TARGET = (0.0, 1.84), (2.2, 1.62), (4.48, 1.72)
PANEL, GAP, MARGIN, LINE, BETWEEN = 6.2, 0.4, 0.2, 0.165, 0.17
DPI, SHOWN_DPI = 144, 96
# Blue and grey differ for every kind of colour vision; weight and a word say the same as blue.
INK, QUIET, FILL, NEW = "#1f1f1f", "#707070", "#f4f4f4", "#0b5cad"
KINDS = {
    "vpce": ("gateway endpoint", ["then S3"]),
    "nat": ("NAT gateway", ["then internet, then S3"]),
    "igw": ("internet gateway", ["then internet, then S3"]),
    "tgw": ("transit gateway", []),
    "eni": ("network interface", []),
    NOWHERE: (NOWHERE, ["no route leads to S3"]),
}


class Row(NamedTuple):
    """A row of `network.subnets_frame`."""

    subnet: str
    id: str
    route_table: str
    association: str
    s3_goes_to: str
    instances: str


@dataclass
class Box:
    """One box: its column, its name in bold, and what else it says."""

    column: tuple[float, float]
    name: str
    rest: list[str]
    y: float = 0.0

    @property
    def lines(self) -> list[tuple[str, str, float]]:
        """Text, weight and size of each line."""
        bold = [(text, "bold", 9.0) for text in wrap(self.name, 20)]
        return bold + [(text, "normal", 8.0) for text in self.rest]

    @property
    def height(self) -> float:
        return LINE * len(self.lines) + 0.13


def reach(before: pd.DataFrame, after: pd.DataFrame, *, planned: bool = False) -> Figure:
    """Where each subnet's S3 traffic goes, before and after; one panel if that is the same.

    The frames are those of `network.subnets_frame`; with `planned`, the second is a prediction.
    """
    later = "after, as planned" if planned else "after"
    panels = {"": after} if _rows(before) == _rows(after) else {"before": before, later: after}
    width = 2 * MARGIN + len(panels) * (PANEL + GAP) - GAP
    title = wrap(finding(before, after, planned=planned), int(9.6 * width), break_on_hyphens=False)
    top = MARGIN + 0.22 * len(title) + (0.5 if len(panels) > 1 else 0.2)
    subnets = _subnets(before, after, top)
    layouts = [_layout(_rows(frame), subnets, top) for frame in panels.values()]
    bottom = max(box.y + box.height / 2 for boxes in layouts for box in boxes.values())
    with mpl.rc_context({"font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(width, bottom + MARGIN), dpi=DPI, facecolor="white")
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(bottom + MARGIN, 0))
        axes.axis("off")
        axes.text(MARGIN, MARGIN, "\n".join(title), size=11, weight="bold", color=INK, va="top")
        for number, (name, frame) in enumerate(panels.items()):
            left = MARGIN + number * (PANEL + GAP)
            axes.text(left, top - 0.18, name, size=10, color=INK)
            known = _steps(_rows(before if name == later else frame))
            _draw(axes, left, _steps(_rows(frame)), known, layouts[number])
    return figure


def finding(before: pd.DataFrame, after: pd.DataFrame, *, planned: bool = False) -> str:
    """What the picture shows, in one sentence."""
    was = {row.id: row.s3_goes_to for row in _rows(before)}
    same: dict[str, list[str]] = {}
    changed: dict[str, list[str]] = {}
    for row in _rows(after):
        group = same if was.get(row.id) == row.s3_goes_to else changed
        group.setdefault(row.s3_goes_to, []).append(row.subnet or row.id)
    goes = ("will go" if planned else "now goes") if changed else "goes"
    clauses = [f"of {_list(names)} {goes} {_way(to)}" for to, names in (changed or same).items()]
    sentence = "S3 traffic " + "; that ".join(clauses)
    others = [name for names in same.values() for name in names]
    if changed and others:
        verb = "is" if len(others) == 1 else "are"
        sentence += f"; {_list(others, 'other subnets')} {verb} unchanged"
    return sentence


def alt_text(before: pd.DataFrame, after: pd.DataFrame, *, planned: bool = False) -> str:
    """All that the picture says, for those who cannot see it."""
    title = finding(before, after, planned=planned)
    if _rows(before) == _rows(after):
        return f"{title}. {_words(after)}"
    return f"{title}. Before: {_words(before)} After: {_words(after)}"


def show(before: pd.DataFrame, after: pd.DataFrame, *, planned: bool = False) -> None:
    """Displays the picture with its alternative text, in its own size and sharpness."""
    present(reach(before, after, planned=planned), alt_text(before, after, planned=planned))


def present(figure: Figure, alt: str) -> None:
    """Displays a figure so that it says the same to those who cannot see it."""
    png = io.BytesIO()
    figure.savefig(png, format="png")
    width = round(figure.get_figwidth() * SHOWN_DPI)
    display(Image(png.getvalue(), format="png", width=width, alt=alt))  # type: ignore[no-untyped-call]


def _rows(frame: pd.DataFrame) -> list[Row]:
    return [Row(*map(str, values)) for values in frame.itertuples(index=False)]


def _subnets(before: pd.DataFrame, after: pd.DataFrame, top: float) -> dict[str, Box]:
    """A box per subnet, in the same place in both panels, in an order that crosses few lines."""
    rows = list({row.id: row for row in [*_rows(before), *_rows(after)]}.values())
    texts = [text for row in rows for text in (row.s3_goes_to, row.route_table)]
    rows.sort(key=lambda row: (texts.index(row.s3_goes_to), texts.index(row.route_table)))
    boxes = {}
    for row in rows:
        label = "instances" if "," in row.instances else "instance"
        inside = wrap(f"{label} {row.instances}", 24) if row.instances else []
        boxes[row.id] = Box(SUBNET, row.subnet, [row.id, *inside])
    _spread(boxes.values(), top)
    return boxes


def _layout(rows: list[Row], subnets: Mapping[str, Box], top: float) -> dict[str, Box]:
    """The boxes of one panel; tables and targets stand beside those that lead to them."""
    tables, targets = {}, {}
    for label in {row.route_table: row for row in rows}:
        users = [row for row in rows if row.route_table == label]
        name, _, table_id = label.rpartition(" ")
        main = ["main table"] if any(row.association == "main table" for row in users) else []
        y = mean(subnets[row.id].y for row in users)
        tables[label] = Box(TABLE, name, [table_id, *main], y)
    _spread(tables.values(), top)
    for target in {row.s3_goes_to: row for row in rows}:
        kind, then = KINDS.get(target.partition("-")[0], ("another target", []))
        target_id = [] if target == NOWHERE else wrap(target, 24)
        y = mean(
            tables[table].y for table in {r.route_table for r in rows if r.s3_goes_to == target}
        )
        targets[target] = Box(TARGET, kind, [*target_id, *then], y)
    _spread(targets.values(), top)
    return {**{row.id: subnets[row.id] for row in rows}, **tables, **targets}


def _spread(boxes: Iterable[Box], top: float) -> None:
    """Moves boxes down until none touches another."""
    for box in sorted(boxes, key=lambda box: box.y):
        box.y = max(box.y, top + box.height / 2)
        top = box.y + box.height / 2 + BETWEEN


def _steps(rows: list[Row]) -> dict[tuple[str, str], str]:
    """The steps of S3 traffic, from box to box, with the line style of each."""
    joins = {
        (row.id, row.route_table): "--" if row.association == "main table" else "-" for row in rows
    }
    return joins | {(row.route_table, row.s3_goes_to): "-" for row in rows}


def _draw(
    axes: Axes,
    left: float,
    steps: Mapping[tuple[str, str], str],
    known: Iterable[tuple[str, str]],
    boxes: Mapping[str, Box],
) -> None:
    """One panel; what is not yet known is heavy and says so."""
    seen = {NOWHERE, *(key for step in known for key in step)}
    for step, style in steps.items():
        start, end = boxes[step[0]], boxes[step[1]]
        _line(axes, left, start, end, style, new=step not in known)
    for key, box in boxes.items():
        _box(axes, left + box.column[0], box, new=key not in seen)


def _line(axes: Axes, left: float, start: Box, end: Box, style: str, *, new: bool) -> None:
    x, end_x = left + sum(start.column), left + end.column[0]
    middle = (x + end_x) / 2
    points = [(x, start.y), (middle, start.y), (middle, end.y), (end_x, end.y)]
    path = Path(points, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
    color, weight = (NEW, 2.6) if new else (QUIET, 1.1)
    arrow: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 9 + weight, "fill": False}
    axes.add_patch(FancyArrowPatch(path=path, color=color, lw=weight, ls=style, **arrow))
    if new:
        _word(axes, middle - 0.03, (start.y + end.y) / 2, "now", "center")


def _box(axes: Axes, x: float, box: Box, *, new: bool) -> None:
    y = box.y - box.height / 2
    weight, edge = (2.6, NEW) if new else (0.9, QUIET)
    look = ("white", "--") if box.name == NOWHERE else (FILL, "-")
    corner = "round,pad=0,rounding_size=0.05"
    patch = FancyBboxPatch((x, y), box.column[1], box.height, corner, fc=look[0], ls=look[1])
    patch.set(edgecolor=edge, linewidth=weight)
    axes.add_patch(patch)
    for text, bold, size in box.lines:
        y += LINE
        axes.text(x + 0.09, y + 0.025, text, size=size, weight=bold, color=INK)
    if new:
        _word(axes, x + box.column[1] - 0.09, y - 0.012, "new", "right")


def _word(axes: Axes, x: float, y: float, word: str, align: str) -> None:
    plate = {"fc": "white", "ec": "none", "pad": 1.2} if word == "now" else None
    style: dict[str, Any] = {"size": 8, "weight": "bold", "color": NEW, "va": "center"}
    axes.text(x, y, word, ha=align, bbox=plate, **style)


def _list(names: list[str], many: str = "subnets") -> str:
    if len(names) > 4:
        return f"{len(names)} {many}"
    return joined(names)


def joined(names: list[str]) -> str:
    """Names as a sentence lists them."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _way(target: str) -> str:
    return target if target == NOWHERE else f"through {target}"


def _words(frame: pd.DataFrame) -> str:
    """One sentence per route table."""
    users: dict[tuple[str, str], list[str]] = {}
    for row in _rows(frame):
        inside = f" (with {row.instances})" if row.instances else ""
        key = row.route_table, row.s3_goes_to
        users.setdefault(key, []).append(f"{row.subnet} {row.id}".strip() + inside)
    return " ".join(
        f"Route table {table}, used by {', '.join(subnets)}: S3 {_way(target)}."
        for (table, target), subnets in users.items()
    )

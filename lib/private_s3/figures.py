"""Draws the one picture: subnets, route tables, and the way of S3 traffic to the bucket."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from statistics import mean
from textwrap import wrap
from typing import Any, NamedTuple

import matplotlib as mpl
import pandas as pd
from IPython.display import Image, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from matplotlib.textpath import text_to_path

from private_s3.network import NOWHERE

# Lengths in inches. A column is its left edge and its width: that of a whole id, and no less.
MARGIN, GAP, LINE, BETWEEN, HEAD = 0.2, 0.35, 0.165, 0.17, 0.3
SUBNET, TABLE, TARGET, BUCKET = (0.2, 1.84), (2.46, 1.62), (4.54, 1.72), (6.72, 1.72)
WIDTH = sum(BUCKET) + MARGIN
PAD, TITLE_SIZE, DPI, SHOWN_DPI = 0.09, 11.0, 144, 96
# Blue, brown and grey differ for every kind of colour vision; each is also said in a word.
INK, QUIET, FILL, NEW, SHARED = "#1f1f1f", "#707070", "#f4f4f4", "#0b5cad", "#8a4500"
# By the kind of a target: what it is called, what is said of it, and the line to the bucket.
KINDS: dict[str, tuple[str, list[str], str]] = {
    "vpce": ("gateway endpoint", ["then privately"], "-"),
    "nat": ("NAT gateway", ["then over the internet"], "-"),
    "igw": ("internet gateway", ["then over the internet"], "-"),
    "tgw": ("transit gateway", ["beyond it: not known"], ":"),
    "eni": ("network interface", ["beyond it: not known"], ":"),
    NOWHERE: (NOWHERE, ["no route leads to S3"], ""),
}
OTHER = "another target", ["beyond it: not known"], ":"
END = "the bucket"
# So many names of instances stand in a box.
NAMED = 5
# Names of the instances that are not of the change, by the id of their subnet.
Others = Mapping[str, Sequence[str]]


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
    """One box: its column, its name in bold, what else it says, and with whom it is shared.

    What is not of the change is `foreign`.
    """

    column: tuple[float, float]
    name: str
    rest: list[str]
    y: float = 0.0
    shared: str = ""
    foreign: bool = False

    @cached_property
    def lines(self) -> list[tuple[str, float, str, str]]:
        """Text, size, weight and colour of each line."""
        looks = [(self.name, 9.0, "bold", INK), *((text, 8.0, "normal", INK) for text in self.rest)]
        looks.append((self.shared, 8.0, "bold", SHARED))
        room = self.column[1] - 2 * PAD
        return [
            (line, size, weight, color)
            for text, size, weight, color in looks
            for line in (wrapped(text, room, size, weight, hyphens=True) if text else [])
        ]

    @property
    def height(self) -> float:
        return LINE * len(self.lines) + 0.13


def reach(
    before: pd.DataFrame,
    after: pd.DataFrame,
    *,
    planned: bool = False,
    bucket: str = "",
    others: Others | None = None,
) -> Figure:
    """Where each subnet's S3 traffic goes, before and after; one panel if that is the same.

    The frames are those of `network.subnets_frame`; with `planned`, the second is a prediction.
    `others` are the instances that are not of the change.
    """
    later = "after, as planned" if planned else "after"
    panels = {"": after} if _rows(before) == _rows(after) else {"before": before, later: after}
    sentence = finding(before, after, planned=planned, others=others)
    title = wrapped(sentence, WIDTH - 2 * MARGIN, TITLE_SIZE, "bold")
    subnets = _subnets(before, after, others or {})
    layouts = [_layout(_rows(frame), subnets, bucket) for frame in panels.values()]
    heights = [max(box.y + box.height / 2 for box in boxes.values()) for boxes in layouts]
    head = HEAD if len(panels) > 1 else 0.0
    down = MARGIN + 0.22 * len(title) + 0.1
    height = down + sum(heights) + (head + GAP) * len(panels) - GAP + MARGIN
    with mpl.rc_context({"font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(height, 0))
        axes.axis("off")
        text: dict[str, Any] = {"weight": "bold", "color": INK, "va": "top", "parse_math": False}
        axes.text(MARGIN, MARGIN, "\n".join(title), size=TITLE_SIZE, **text)
        for name, frame, boxes, tall in zip(panels, panels.values(), layouts, heights, strict=True):
            axes.text(MARGIN, down + 0.18, name, size=10, color=INK)
            known = _steps(_rows(before if name == later else frame))
            _draw(axes, down + head, _steps(_rows(frame)), known, boxes)
            down += head + tall + GAP
    return figure


def finding(
    before: pd.DataFrame,
    after: pd.DataFrame,
    *,
    planned: bool = False,
    others: Others | None = None,
) -> str:
    """What the picture shows, in one sentence."""
    rows, was = _rows(after), {row.id: row.s3_goes_to for row in _rows(before)}
    same: dict[str, list[str]] = {}
    changed: dict[str, list[str]] = {}
    for row in rows:
        group = same if was.get(row.id) == row.s3_goes_to else changed
        group.setdefault(row.s3_goes_to, []).append(row.subnet or row.id)
    goes = ("will go" if planned else "now goes") if changed else "goes"
    clauses = [f"of {_list(names)} {goes} {_way(to)}" for to, names in (changed or same).items()]
    sentence = "S3 traffic " + "; that ".join(clauses)
    if sharing := _sharing(rows, others or {}):
        verb = "shares" if len(sharing) == 1 else "share"
        sentence += f"; {_list(sharing, 'others')}, not of the change, {verb} its route table"
    unchanged = [name for names in same.values() for name in names]
    if changed and unchanged:
        verb = "is" if len(unchanged) == 1 else "are"
        sentence += f"; {_list(unchanged, 'other subnets')} {verb} unchanged"
    return sentence


def alt_text(
    before: pd.DataFrame,
    after: pd.DataFrame,
    *,
    planned: bool = False,
    bucket: str = "",
    others: Others | None = None,
) -> str:
    """All that the picture says, for those who cannot see it."""
    title = finding(before, after, planned=planned, others=others)
    end = f" The bucket is {bucket}." if bucket else ""
    if _rows(before) == _rows(after):
        return f"{title}. {_words(after, others or {})}{end}"
    was, will = (_words(frame, others or {}) for frame in (before, after))
    return f"{title}. Before: {was} After: {will}{end}"


def show(
    before: pd.DataFrame,
    after: pd.DataFrame,
    *,
    planned: bool = False,
    bucket: str = "",
    others: Others | None = None,
) -> None:
    """Displays the picture with its alternative text, in its own size and sharpness."""
    figure = reach(before, after, planned=planned, bucket=bucket, others=others)
    alt = alt_text(before, after, planned=planned, bucket=bucket, others=others)
    present(figure, alt)


def present(figure: Figure, alt: str) -> None:
    """Displays a figure so that it says the same to those who cannot see it."""
    png = io.BytesIO()
    figure.savefig(png, format="png")
    width = round(figure.get_figwidth() * SHOWN_DPI)
    display(Image(png.getvalue(), format="png", width=width, alt=alt))  # type: ignore[no-untyped-call]


def _rows(frame: pd.DataFrame) -> list[Row]:
    return [Row(*map(str, values)) for values in frame.itertuples(index=False)]


def _sharers(rows: Iterable[Row]) -> set[str]:
    """Ids of the subnets without an instance of the change that follow a route table of one."""
    tables = {row.route_table for row in rows if row.instances}
    return {row.id for row in rows if row.route_table in tables and not row.instances}


def _sharing(rows: Sequence[Row], others: Others) -> list[str]:
    """Who is not of the change, and yet has its way: subnets, and instances beside those of it."""
    sharers = _sharers(rows)
    subnets = [row.subnet or row.id for row in rows if row.id in sharers]
    return subnets + [name for row in rows if row.instances for name in others.get(row.id, ())]


def _subnets(before: pd.DataFrame, after: pd.DataFrame, others: Others) -> dict[str, Box]:
    """A box per subnet, in the same place in both panels, in an order that crosses few lines."""
    rows = list({row.id: row for row in [*_rows(before), *_rows(after)]}.values())
    sharers = _sharers(rows)
    texts = [text for row in rows for text in (row.s3_goes_to, row.route_table)]
    rows.sort(key=lambda row: (texts.index(row.s3_goes_to), texts.index(row.route_table)))
    boxes = {}
    for row in rows:
        label = "instances" if "," in row.instances else "instance"
        inside = [f"{label} {row.instances}"] if row.instances else []
        box = boxes[row.id] = Box(SUBNET, row.subnet, [row.id, *inside])
        names = _few(others.get(row.id, ()))
        if row.id in sharers:
            box.foreign, box.shared = True, f"shares the route table{names and f': {names}'}"
        elif row.instances and names:
            box.shared = f"shared with {names}"
    _spread(boxes.values(), 0.0)
    return boxes


def _few(names: Sequence[str]) -> str:
    """So many names as a box has room for."""
    if len(names) > NAMED:
        names = [*names[: NAMED - 1], f"{len(names) - NAMED + 1} more"]
    return joined([*names]) if names else ""


def _layout(rows: list[Row], subnets: Mapping[str, Box], bucket: str) -> dict[str, Box]:
    """The boxes of one panel; what traffic comes to stands beside what leads there."""
    tables, targets = {}, {}
    for label in {row.route_table: row for row in rows}:
        users = [row for row in rows if row.route_table == label]
        name, _, table_id = label.rpartition(" ")
        main = ["main table"] if any(row.association == "main table" for row in users) else []
        y = mean(subnets[row.id].y for row in users)
        tables[label] = Box(TABLE, name, [table_id, *main], y)
    _spread(tables.values(), 0.0)
    for target in {row.s3_goes_to: row for row in rows}:
        kind, then, _ = _kind(target)
        target_id = [] if target == NOWHERE else [target]
        y = mean(
            tables[table].y for table in {r.route_table for r in rows if r.s3_goes_to == target}
        )
        targets[target] = Box(TARGET, kind, [*target_id, *then], y)
    _spread(targets.values(), 0.0)
    ways = [box.y for target, box in targets.items() if _kind(target)[2]]
    y = mean(ways or [box.y for box in targets.values()])
    end = {END: Box(BUCKET, "S3 bucket" if bucket else "S3", [bucket], y)}
    _spread(end.values(), 0.0)
    return {**{row.id: subnets[row.id] for row in rows}, **tables, **targets, **end}


def _kind(target: str) -> tuple[str, list[str], str]:
    return KINDS.get(target.partition("-")[0], OTHER)


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
    ways = {(row.route_table, row.s3_goes_to): "-" for row in rows}
    ends = {(row.s3_goes_to, END): style for row in rows if (style := _kind(row.s3_goes_to)[2])}
    return joins | ways | ends


def _draw(
    axes: Axes,
    down: float,
    steps: Mapping[tuple[str, str], str],
    known: Iterable[tuple[str, str]],
    boxes: Mapping[str, Box],
) -> None:
    """One panel; what is not yet known is heavy and says so."""
    seen = {NOWHERE, END, *(key for step in known for key in step)}
    for step, style in steps.items():
        start, end = boxes[step[0]], boxes[step[1]]
        _line(axes, down, start, end, style, new=step not in known)
    for key, box in boxes.items():
        _box(axes, down, box, new=key not in seen)


def _line(axes: Axes, down: float, start: Box, end: Box, style: str, *, new: bool) -> None:
    x, end_x, y, end_y = sum(start.column), end.column[0], down + start.y, down + end.y
    middle = (x + end_x) / 2
    points = [(x, y), (middle, y), (middle, end_y), (end_x, end_y)]
    path = Path(points, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
    color, weight = (NEW, 2.6) if new else (QUIET, 1.1)
    arrow: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 9 + weight, "fill": False}
    look: dict[str, Any] = {"color": color, "lw": weight, "ls": style, "gid": end.name}
    axes.add_patch(FancyArrowPatch(path=path, **look, **arrow))
    if new:
        _word(axes, middle - 0.03, (y + end_y) / 2, "now")


def _box(axes: Axes, down: float, box: Box, *, new: bool) -> None:
    x, y = box.column[0], down + box.y - box.height / 2
    wide, edge = (2.6, NEW) if new else (1.6, SHARED) if box.foreign else (0.9, QUIET)
    look = ("white", "--") if box.name == NOWHERE else (FILL, "-")
    corner = "round,pad=0,rounding_size=0.05"
    patch = FancyBboxPatch((x, y), box.column[1], box.height, corner, fc=look[0], ls=look[1])
    patch.set(edgecolor=edge, linewidth=wide)
    axes.add_patch(patch)
    if new:
        _word(axes, x + box.column[1] - 0.3, y, "new")
    for text, size, weight, color in box.lines:
        y += LINE
        style: dict[str, Any] = {"size": size, "weight": weight, "color": color}
        axes.text(x + PAD, y + 0.025, text, parse_math=False, **style)


def _word(axes: Axes, x: float, y: float, word: str) -> None:
    """A word on a line or an edge."""
    plate = {"fc": "white", "ec": "none", "pad": 1.2}
    style: dict[str, Any] = {"size": 8, "weight": "bold", "color": NEW, "va": "center"}
    axes.text(x, y, word, ha="center", bbox=plate, **style)


def wrapped(
    text: str, width: float, size: float, weight: str = "normal", *, hyphens: bool = False
) -> list[str]:
    """Lines no wider than so many inches; a word that is wider than that is broken."""
    # The narrowest letter is more than a quarter of its size wide.
    most = int(width * 72 / (size / 4)) + 1
    for characters in range(min(len(text), most), 0, -1):
        lines = wrap(text, characters, break_on_hyphens=hyphens)
        if all(inches(line, size, weight) <= width for line in lines):
            return lines
    return [text]


@lru_cache(maxsize=4096)  # to wrap a text, its words are measured again and again
def inches(text: str, size: float, weight: str = "normal") -> float:
    """How wide text is drawn; hinting makes it a little wider than its outlines are."""
    font = FontProperties(family="DejaVu Sans", size=size, weight=weight)
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return 1.02 * width / 72


def _list(names: list[str], many: str = "subnets") -> str:
    if len(names) > 4:
        return f"{len(names)} {many}"
    return joined(names)


def joined(names: list[str]) -> str:
    """Names as a sentence lists them."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _way(target: str) -> str:
    return target if target == NOWHERE else f"through {target}"


def _words(frame: pd.DataFrame, others: Others) -> str:
    """One sentence per route table."""
    rows = _rows(frame)
    sharers = _sharers(rows)
    users: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        near = others.get(row.id) if row.instances or row.id in sharers else None
        notes = [
            f"with {row.instances}" if row.instances else "",
            f"shared with {joined([*near])}" if near and row.instances else "",
            f"not of the change{f', with {joined([*near])}' if near else ''}"
            if row.id in sharers
            else "",
        ]
        about = f" ({'; '.join(filter(None, notes))})" if any(notes) else ""
        key = row.route_table, row.s3_goes_to
        users.setdefault(key, []).append(f"{row.subnet} {row.id}".strip() + about)
    return " ".join(
        f"Route table {table}, used by {', '.join(subnets)}: S3 {_way(target)}."
        for (table, target), subnets in users.items()
    )

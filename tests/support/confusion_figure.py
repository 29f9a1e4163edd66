"""Draws what was planted against what the doctor named first, with the figures within the file.

Run as a program, it measures all cases and writes the picture.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

import rehearsal
from private_s3.figures import (
    DPI,
    FILL,
    INK,
    MARGIN,
    NEW,
    PAD,
    SHARED,
    TITLE_SIZE,
    inches,
    wrapped,
)
from tests import PROJECT
from tests.support.confusion import CASES, NUMBERED, ORDER, Case, Ward

PICTURE = PROJECT / "runbooks/confusion_matrix.png"
NOTHING = "nothing"
# Lengths in inches.
CELL, HEAD, SIZE, SMALL = 0.29, 0.62, 9.0, 8.0
LATER = 1.5  # how wide the last column is
KEY = "figures"

Figures = dict[str, Any]
Named = tuple[Case, tuple[int | None, ...]]  # what was planted, and what the doctor named


def figures(diagnoses: Iterable[Named]) -> Figures:
    """What the picture shows: how often was named what, when it was to be named first, or later."""
    first: Counter[tuple[str, str]] = Counter()
    later: dict[str, Counter[str]] = {}
    planted: Counter[int] = Counter()
    exact = 0
    for case, found in diagnoses:
        named = [*map(str, found)]
        due, *others = map(str, case.visible or (NOTHING,))
        first[due, next(iter(named), NOTHING)] += 1
        for other in others:
            later.setdefault(other, Counter())["found" if other in named else "missed"] += 1
        for other in map(str, case.hidden):
            later.setdefault(other, Counter())["hidden"] += 1
        planted[len(case.planted)] += 1
        exact += {*case.visible} == {*found}
    return {
        "diagnoses": planted.total(),
        "healthy": planted[0],
        "alone": planted[1],
        "pairs": planted[2],
        "right": sum(count for (due, named), count in first.items() if due == named),
        "exact": exact,
        "first": {f"{due} {named}": count for (due, named), count in sorted(first.items())},
        "later": {one: dict(sorted(counts.items())) for one, counts in sorted(later.items())},
    }


def title(found: Figures) -> str:
    """What the picture shows, in one sentence."""
    later = found["later"].values()
    seen = sum(one.get("found", 0) for one in later)
    due = seen + sum(one.get("missed", 0) for one in later)
    return (
        f"The first blocker is the right one in {found['right']} of {found['diagnoses']} diagnoses "
        f"({found['healthy']} healthy accounts, {found['alone']} with one cause, {found['pairs']} "
        f"with two); of two causes the later one is named too in {seen} of {due}"
    )


def draw(found: Figures) -> Figure:
    """A row for what was to be named first, a column for what was; the later of two at the end."""
    rows = [NOTHING, *map(str, ORDER)]
    labels = {NOTHING: "nothing: a healthy account"}
    labels |= {str(n): f"{n}  {NUMBERED[n].name}" for n in ORDER}
    left = MARGIN + max(inches(text, SIZE) for text in labels.values()) + 3 * PAD
    right = left + CELL * len(rows) + LATER
    lines = wrapped(title(found), right - 2 * MARGIN, TITLE_SIZE, "bold")
    top = MARGIN + 0.22 * len(lines) + HEAD
    height = top + CELL * len(rows) + 0.62
    with mpl.rc_context({"font.family": "DejaVu Sans"}):
        figure = Figure(figsize=(right, height), dpi=DPI, facecolor="white")
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, right), ylim=(height, 0))
        axes.axis("off")
        _text(axes, MARGIN, MARGIN, "\n".join(lines), size=TITLE_SIZE, weight="bold", va="top")
        middle = left + CELL * len(rows) / 2
        _text(axes, middle, top - 0.46, "named first", size=SMALL, ha="center")
        _text(axes, left + CELL * len(rows) + LATER / 2, top - 0.31, "as the later", ha="center")
        _text(axes, left + CELL * len(rows) + LATER / 2, top - 0.14, "of two", ha="center")
        for place, name in enumerate(rows):
            y = top + CELL * (place + 0.5)
            if place % 2:
                band = Rectangle(
                    (MARGIN, y - CELL / 2), right - 2 * MARGIN, CELL, fc=FILL, zorder=0
                )
                axes.add_patch(band)
            _text(axes, MARGIN + PAD, y, labels[name])
            short = "-" if name == NOTHING else name
            _text(axes, left + CELL * (place + 0.5), top - 0.14, short, ha="center")
            _row(axes, found, rows, name, left, y)
            _later(axes, found["later"].get(name, {}), left + CELL * len(rows) + LATER / 2, y)
        _text(axes, MARGIN + PAD, height - 0.38, _key(found), size=SMALL)
    return figure


def _row(axes: Axes, found: Figures, rows: Sequence[str], due: str, left: float, y: float) -> None:
    for place, named in enumerate(rows):
        x = left + CELL * (place + 0.5)
        if count := found["first"].get(f"{due} {named}", 0):
            color = NEW if due == named else SHARED
            half = CELL * 0.43
            corner = (x - half, y - half)
            axes.add_patch(Rectangle(corner, 2 * half, 2 * half, fc=color, ec="none"))
            _text(axes, x, y, str(count), ha="center", color="white", weight="bold", size=SMALL)
        else:
            axes.plot([x], [y], marker="o", ms=1.2, color="#c9c9c9", mew=0)


def _later(axes: Axes, counts: dict[str, int], x: float, y: float) -> None:
    seen = counts.get("found", 0)
    due = seen + counts.get("missed", 0)
    hidden = counts.get("hidden", 0)
    told = f"{seen} of {due}" if due else ""
    told += f"{', ' if told else ''}{hidden} unseen" if hidden else ""
    wrong = seen < due
    _text(axes, x, y, told or "-", ha="center", color=SHARED if wrong else INK, size=SMALL)


def _key(found: Figures) -> str:
    hidden = sum(one.get("hidden", 0) for one in found["later"].values())
    return (
        "Rows are in the order in which a request meets the causes; blue: right, brown: wrong.\n"
        f"Unseen ({hidden} in all): nothing can show the one cause while the other is there."
    )


def _text(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    style = {"size": SIZE, "va": "center_baseline", "color": INK, "parse_math": False, **style}
    axes.text(x, y, text, **style)


def write(found: Figures, path: Path = PICTURE) -> None:
    """Writes the picture, with its figures within."""
    draw(found).savefig(path, metadata={KEY: json.dumps(found, sort_keys=True)})


def read(path: Path = PICTURE) -> Figures:
    """The figures that a picture shows."""
    with Image.open(path) as picture:
        return dict(json.loads(picture.info[KEY]))


def measured(ward: Ward, cases: Iterable[Case] = CASES) -> Iterable[Named]:
    """What the doctor names in each case."""
    for case in cases:
        yield case, ward.outcome(case).named
        if not case.planted:
            ward.reset()


def main() -> None:
    with rehearsal.start() as account, TemporaryDirectory() as folder:
        found = figures(measured(Ward(account, Path(folder))))
    write(found)
    print(title(found))


if __name__ == "__main__":
    main()

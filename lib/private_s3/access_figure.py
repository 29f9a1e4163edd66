"""Draws the access matrix: who can do what with the bucket from where, before and after."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path

from private_s3.access import COLUMNS, DATA, Cell, Row, State
from private_s3.figures import (
    DPI,
    FILL,
    INK,
    LINE,
    MARGIN,
    NEW,
    PAD,
    QUIET,
    TITLE_SIZE,
    inches,
    joined,
    present,
    wrapped,
)

REPAIR = COLUMNS[-1]
# How far a state is from being refused.
RANK: dict[State, int] = {"no way": 0, "denied": 0, "depends": 1, "allowed": 2}
# Each state has a shape of its own; colour says only what is new.
BROKEN = Path.make_compound_path(*(Path.arc(at - 17, at + 17) for at in range(0, 360, 60)))
MARKS: dict[State, dict[str, Any]] = {
    "allowed": {"marker": "o", "ms": 9, "mew": 0},
    "denied": {"marker": "x", "ms": 8, "mew": 1.9},
    "depends": {"marker": r"$\mathbf{?}$", "ms": 9, "mew": 0.2},
    "no way": {"marker": BROKEN, "ms": 8.5, "mew": 1.3, "mfc": "none"},
}
KEY = {"depends": "depends on what nobody could read", "no way": "no way to S3"}
# Lengths in inches. A name is wrapped at NAME; the column is as wide as its names, and no less.
NAME, LEAST, CELL, APART = 2.9, 2.0, 0.92, 0.14
HEAD, BAND, ROW, BOX = 0.36, 0.25, 0.31, (0.74, 0.235)
SIZE, KEY_SIZE = 9.0, 8.0
# The title has so many characters for a list of names, without what does not tell them apart.
LISTED = 60
NEEDLESS = re.compile(r"(?<!from) i-[0-9a-f]{8,}\b|(?<=^you), .*")
VERBS = ("lose", "may lose", "gain", "may gain")
ACCESS, MEANS = "access to the data", "the means to administer the bucket"

# States that a cell shows, and what it says of them.
Entry = tuple[tuple[State, ...], str]


def show(rows: Sequence[Row], *, planned: bool = False) -> None:
    """Displays the picture with its alternative text, in its own size and sharpness."""
    present(draw(rows, planned=planned), alt_text(rows, planned=planned))


def draw(rows: Sequence[Row], *, planned: bool = False) -> Figure:
    """A line per row and a cell per column; a changed cell is outlined and shows both states."""
    names = {row.who: wrapped(row.who, NAME, SIZE) for row in rows}
    widest = max([LEAST, *(inches(line, SIZE) for name in names.values() for line in name)])
    left = MARGIN + widest + 3 * PAD
    centres = {name: left + CELL * (n + 0.5) for n, name in enumerate(COLUMNS)}
    centres[REPAIR] += APART
    right = centres[REPAIR] + CELL / 2
    title = wrapped(finding(rows, planned=planned), right - MARGIN, TITLE_SIZE, "bold")
    heads = MARGIN + 0.22 * len(title) + HEAD
    y, bands, lines = heads + 0.14, [], []
    for where in dict.fromkeys(row.where for row in rows):
        label = wrapped(where, right - MARGIN - 2 * PAD, SIZE, "bold")
        bands.append((y, label))
        y += BAND + LINE * (len(label) - 1)
        for row in (row for row in rows if row.where == where):
            height = ROW + LINE * (len(names[row.who]) - 1)
            lines.append((y, height, row))
            y += height
        y += 0.08
    key = _key(rows, planned, right - MARGIN - PAD)
    height = y + 0.24 * (1 + max([0, *(line for _, line, _ in key)])) + MARGIN
    with mpl.rc_context({"font.family": "DejaVu Sans", "mathtext.fontset": "dejavusans"}):
        figure = Figure(figsize=(right + MARGIN, height), dpi=DPI, facecolor="white")
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, right + MARGIN), ylim=(height, 0))
        axes.axis("off")
        _text(axes, MARGIN, MARGIN, title, size=TITLE_SIZE, weight="bold", va="top")
        _heads(axes, centres, heads)
        for top, label in bands:
            tall = LINE * len(label) + 0.06
            axes.add_patch(Rectangle((MARGIN, top), right - MARGIN, tall, fc=FILL, zorder=0))
            _text(axes, MARGIN + PAD, top + tall / 2, label, weight="bold")
        for top, tall, row in lines:
            axes.plot([MARGIN, right], [top + tall] * 2, color="#dcdcdc", lw=0.6, zorder=0)
            _text(axes, MARGIN + PAD, top + tall / 2, names[row.who])
            for name, x in centres.items():
                pair = (row.before[name].state, row.after[name].state)
                _cell(axes, x, top + tall / 2, pair if row.changed(name) else pair[1:])
        for x, line, entry in key:
            _entry(axes, MARGIN + PAD + x, y + 0.2 + 0.24 * line, *entry)
    return figure


def finding(rows: Sequence[Row], *, planned: bool = False) -> str:
    """What the picture shows, in one sentence; a row is one caller in one place."""
    if not rows:
        return "No caller is known"
    clauses = _changes(rows, planned) or _standing(rows, planned)
    kept = [row for row in rows if _rank(row.before, REPAIR) == _rank(row.after, REPAIR) == 2]
    clauses += _clause(rows, kept, "keep", MEANS, planned)
    if not any(_rank(row.after, REPAIR) == 2 for row in rows):
        clauses.append(f"nobody is known to hold {MEANS}")
    # Of how many, and access to what, is said once.
    first, _, rest = "; ".join(clauses).partition(ACCESS)
    again = {f" of {len(rows)} rows": "", f"some {ACCESS}": "some of it", f"no {ACCESS}": "none"}
    for long, short in (again | {ACCESS: "it"}).items():
        rest = rest.replace(long, short)
    sentence = first + ACCESS + rest
    return sentence[0].upper() + sentence[1:]


def alt_text(rows: Sequence[Row], *, planned: bool = False) -> str:
    """All that the picture says, for those who cannot see it."""
    return ". ".join([finding(rows, planned=planned), *map(_words, rows)]) + "."


def _changes(rows: Sequence[Row], planned: bool) -> list[str]:
    """A clause for each kind of change; none if nothing changes."""
    if not any(row.changed(column) for row in rows for column in COLUMNS):
        return []
    data, repair = _turns(rows, *DATA), _turns(rows, REPAIR)
    emptied = [row for row in data["lose"] if not any(_rank(row.after, c) for c in DATA)]
    limited = [row for row in data["lose"] if any(_rank(row.after, c) for c in DATA)]
    clauses = _clause(rows, emptied, "lose", f"all {ACCESS}", planned)
    clauses += _clause(rows, limited, "lose", f"some {ACCESS}", planned)
    for verb in VERBS[1:]:
        clauses += _clause(rows, data[verb], verb, ACCESS, planned)
    never = [verb for verb in ("lose", "gain") if not data[verb] + data[f"may {verb}"]]
    if never:
        verbs = [f"will {verb}" if planned else f"{verb}s" for verb in never]
        clauses.append(f"nobody {' or '.join(verbs)} {ACCESS if len(never) == 2 else 'any'}")
    for verb in VERBS:
        clauses += _clause(rows, repair[verb], verb, MEANS, planned)
    return clauses


def _standing(rows: Sequence[Row], planned: bool) -> list[str]:
    """What there is, where nothing changes."""
    best = [max(_rank(row.after, column) for column in DATA) for row in rows]
    clauses = ["nothing will change" if planned else "nothing changes"]
    kinds = {2: ("have", ACCESS), 1: ("may have", ACCESS), 0: ("have", f"no {ACCESS}")}
    for rank, (verb, what) in kinds.items():
        found = [row for row, reached in zip(rows, best, strict=True) if reached == rank]
        clauses += _clause(rows, found, verb, what, planned=False)
    return clauses


def _turns(rows: Sequence[Row], *columns: str) -> dict[str, list[Row]]:
    """The rows by what becomes of them in these columns; a row that has it both ways is in both."""
    turns: dict[str, list[Row]] = {verb: [] for verb in VERBS}
    for row in rows:
        steps = {_rank(row.after, column) - _rank(row.before, column) for column in columns}
        for sign, verb in ((-1, "lose"), (1, "gain")):
            if 2 * sign in steps:
                turns[verb].append(row)
            elif sign in steps:
                turns[f"may {verb}"].append(row)
    return turns


def _rank(cells: Mapping[str, Cell], column: str) -> int:
    return RANK[cells[column].state]


def _clause(
    rows: Sequence[Row], found: Sequence[Row], verb: str, what: str, planned: bool
) -> list[str]:
    """How many rows, which, and what they do; no clause for none."""
    if not found:
        return []
    if not verb.startswith("may"):
        one = "has" if verb == "have" else f"{verb}s"
        verb = f"will {verb}" if planned else one if len(found) == 1 else verb
    number = "1 row" if len(rows) == 1 else f"{len(found)} of {len(rows)} rows"
    listed: list[str] = []
    for name in (_short(row, rows) for row in found):
        # Where a row is a group, its name is a list already.
        if ", " not in name and len(joined([*listed, name])) <= LISTED:
            listed.append(name)
    # Who loses something must be told, so that some names are better than none.
    if listed and len(listed) < len(found):
        more = f"{len(found) - len(listed)} more"
        listed = [*listed, more] if "lose" in verb else []
    return [f"{number} {verb} {what}" + (f": {joined(listed)}" if listed else "")]


def _short(row: Row, rows: Sequence[Row]) -> str:
    """Who a row is about, in no more words than tell it from the others."""
    name = NEEDLESS.sub("", row.who)
    if len({other.who for other in rows if NEEDLESS.sub("", other.who) == name}) > 1:
        name = row.who
    places = sum(other.who == row.who for other in rows)
    return name if places == 1 else f"{name} ({row.where})"


def _words(row: Row) -> str:
    """A row in words: the columns that fare alike together."""
    alike: dict[str, list[str]] = {}
    for column in COLUMNS:
        before, after = row.before[column].state, row.after[column].state
        fate = f"from {before} to {after}" if row.changed(column) else after
        alike.setdefault(fate, []).append(column)
    fates = "; ".join(f"{joined(columns)} {fate}" for fate, columns in alike.items())
    return f"{row.who}, {row.where}: {fates}"


def _key(rows: Sequence[Row], planned: bool, width: float) -> list[tuple[float, int, Entry]]:
    """What stands under the cells, each with its place and line: only what is in the picture."""
    pairs = [
        (row.before[column].state, row.after[column].state) for row in rows for column in COLUMNS
    ]
    entries: list[Entry] = [
        ((state,), KEY.get(state, state)) for state in MARKS if any(state in pair for pair in pairs)
    ]
    both = "before and as planned" if planned else "before and after"
    entries += [(pair, both) for pair in pairs if pair[0] != pair[1]][:1]
    placed, x, line = [], 0.0, 0
    for states, word in entries:
        wide = (0.24 if len(states) == 1 else BOX[0] + PAD) + inches(word, KEY_SIZE)
        if x and x + wide > width:
            x, line = 0.0, line + 1
        placed.append((x, line, (states, word)))
        x += wide + 0.2
    return placed


def _heads(axes: Axes, centres: Mapping[str, float], y: float) -> None:
    """The names of the columns, and which of them the title calls data."""
    for name, x in centres.items():
        _text(axes, x, y, [name], ha="center")
    first, last = centres[DATA[0]], centres[DATA[-1]]
    axes.plot([first - BOX[0] / 2, last + BOX[0] / 2], [y - 0.14] * 2, color=QUIET, lw=0.8)
    _text(axes, (first + last) / 2, y - 0.24, ["data"], size=KEY_SIZE, ha="center")


def _entry(axes: Axes, x: float, y: float, states: Sequence[State], word: str) -> None:
    wide = 0.2 if len(states) == 1 else BOX[0]
    _cell(axes, x + wide / 2, y, states)
    _text(axes, x + wide + 0.05, y, [word], size=KEY_SIZE)


def _cell(axes: Axes, x: float, y: float, states: Sequence[State]) -> None:
    """One mark, or where there are two, both in a heavy outline."""
    if len(states) == 1:
        _mark(axes, x, y, states[0], INK if states[0] == "allowed" else QUIET)
        return
    wide, tall = BOX
    corner = "round,pad=0,rounding_size=0.05"
    box = FancyBboxPatch((x - wide / 2, y - tall / 2), wide, tall, corner, fc="white", ec=NEW, lw=2)
    axes.add_patch(box)
    _mark(axes, x - 0.2, y, states[0], QUIET)
    arrow: dict[str, Any] = {"arrowstyle": "-|>", "color": NEW, "lw": 1.2, "mutation_scale": 8}
    axes.add_patch(FancyArrowPatch((x - 0.09, y), (x + 0.09, y), shrinkA=0, shrinkB=0, **arrow))
    _mark(axes, x + 0.2, y, states[1], NEW)


def _mark(axes: Axes, x: float, y: float, state: State, color: str) -> None:
    axes.plot([x], [y], ls="none", color=color, gid=state, **MARKS[state])


def _text(axes: Axes, x: float, y: float, lines: Sequence[str], **style: Any) -> None:
    """Text as it is: a dollar in a name is no formula."""
    style = {"size": SIZE, "va": "center_baseline", "color": INK, "parse_math": False, **style}
    axes.text(x, y, "\n".join(lines), **style)

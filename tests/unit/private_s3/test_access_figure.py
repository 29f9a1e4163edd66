"""The picture of the access matrix says what the rows say, and nothing in it is cut or hidden."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from functools import cache
from itertools import combinations

import IPython.display
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch

from private_s3 import access_figure, figures
from private_s3.access import COLUMNS, Cell, Row, State
from private_s3.network import SUBNET_COLUMNS

STATES: dict[str, State] = {"a": "allowed", "d": "denied", "?": "depends", "n": "no way"}
ENDPOINT, OUTSIDE, SERVICE = "through the endpoint", "from outside", "AWS service"


def row(who: str, where: str, before: str, after: str = "") -> Row:
    """A row from a letter per column: a(llowed), d(enied), ? or n(o way)."""
    was, will = (
        {name: Cell(STATES[letter], "") for name, letter in zip(COLUMNS, letters, strict=True)}
        for letters in (before, after or before)
    )
    return Row(who, where, was, will)


APP = row("app-1 i-0fa19c86cefac009f", ENDPOINT, "nnnnd", "aaaad")
STAY = row("role break-glass", OUTSIDE, "aaaaa")
YOU = row("you, operator", OUTSIDE, "aaaaa", "dddda")
KEYS = [
    row("keys copied from app-1 i-0fa19c86cefac009f", ENDPOINT, "nnnnd", "ddddd"),
    row("keys copied from app-1 i-0fa19c86cefac009f", OUTSIDE, "aaaad", "ddddd"),
]
MANY = [
    APP,
    row("neighbour-1 i-0aa1c0de12ab34cd5, neighbour-2 i-0b", ENDPOINT, "nnnnn", "aaddd"),
    *KEYS,
    YOU,
    STAY,
    row("root", OUTSIDE, "aaaaa", "dddda"),
    row("role ci-deployer", OUTSIDE, "daadd", "ddddd"),
    row("role auditor", OUTSIDE, "a?ddd", "d?ddd"),
    row("role AWSReservedSSO_AdministratorAccess_0123456789abcdef", OUTSIDE, "aaaaa", "dddda"),
    row("account 210987654321", OUTSIDE, "????d", "ddddd"),
    row("logging.s3.amazonaws.com", SERVICE, "ddadd"),
    row("batch-1 i-0cc1c0de12ab34cd5", "no way to S3", "nnnnn"),
    row("anybody, unsigned", OUTSIDE, "ddddd"),
]
WIDE = [
    row(f"role {'W' * n}$\\no$", f"{OUTSIDE} {n % 3} {'M' * 3 * n}", "a?dna", "an?da")
    for n in range(30)
]
CASES = {
    "many": MANY,
    "nothing changes": [replace(one, before=one.after) for one in MANY],
    "thirty wide rows": WIDE,
    "one row": [APP],
    "one row of one state": [row("root", OUTSIDE, "ddddd")],
    "no row": [],
}
every_case = pytest.mark.parametrize("case", CASES)


@cache
def drawn(case: str) -> Figure:
    """The picture of a case, drawn once for all tests."""
    return access_figure.draw(CASES[case])


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def outlines(figure: Figure) -> list[FancyBboxPatch]:
    return [patch for patch in figure.axes[0].patches if isinstance(patch, FancyBboxPatch)]


def marks(figure: Figure) -> list[Line2D]:
    return [line for line in figure.axes[0].lines if line.get_gid() in access_figure.MARKS]


@every_case
def test_nothing_overlaps_a_text_or_leaves_the_picture(case: str) -> None:
    figure = access_figure.draw(CASES[case], planned=True)
    renderer = FigureCanvasAgg(figure).get_renderer()
    written = [text.get_window_extent(renderer) for text in figure.axes[0].texts]
    drawn = [one.get_window_extent(renderer) for one in [*outlines(figure), *marks(figure)]]
    margin = figures.MARGIN * figures.DPI - 1
    for extent in [*written, *drawn]:
        assert extent.x0 >= margin and extent.x1 <= figure.bbox.x1 - margin
        assert extent.y0 >= 0 and extent.y1 <= figure.bbox.y1
    assert all(text.get_fontsize() >= 8 for text in figure.axes[0].texts)
    assert not any(one.overlaps(two) for one, two in combinations(written, 2))
    assert not any(text.overlaps(mark) for text in written for mark in drawn)


@every_case
def test_every_name_is_written_whole_in_its_place(case: str) -> None:
    written = "".join("".join(texts(drawn(case))).split())
    for one in CASES[case]:
        place, name = ("".join(text.split()) for text in (one.where, one.who))
        assert 0 <= written.index(place) < written.rindex(name)


def test_rows_of_one_place_stand_together_though_they_come_apart() -> None:
    written = access_figure.draw([YOU, APP, STAY]).axes[0].texts
    height = {text.get_text(): text.get_position()[1] for text in written}
    order = [OUTSIDE, YOU.who, STAY.who, ENDPOINT, APP.who]
    assert sorted(order, key=lambda text: height[text]) == order


@every_case
def test_the_changed_cells_are_outlined_and_no_others(case: str) -> None:
    figure = drawn(case)
    changed = sum(one.changed(column) for one in CASES[case] for column in COLUMNS)
    # One more is in the key.
    assert len(outlines(figure)) == changed + bool(changed)
    assert all(outline.get_linewidth() >= 2 for outline in outlines(figure))


def test_an_outline_stands_around_both_states_of_its_own_cell() -> None:
    figure = access_figure.draw([STAY, row("you", OUTSIDE, "aaaaa", "a?aaa")])
    column = next(text for text in figure.axes[0].texts if text.get_text() == "read")
    line = next(text for text in figure.axes[0].texts if text.get_text() == "you")
    box = outlines(figure)[0].get_window_extent()
    centre = figure.axes[0].transData.transform((column.get_position()[0], line.get_position()[1]))
    assert np.allclose(centre, [(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2])
    inside = [
        mark
        for mark in marks(figure)
        if box.contains(*mark.get_transform().transform(mark.get_xydata())[0])
    ]
    assert [mark.get_gid() for mark in inside] == ["allowed", "depends"]


def test_each_state_has_a_shape_of_its_own_that_no_colour_is_needed_for() -> None:
    shapes = {}
    for state, look in access_figure.MARKS.items():
        figure = Figure(figsize=(0.3, 0.3), dpi=96)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.axis("off")
        axes.plot([0], [0], color="black", **look)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        shapes[state] = np.asarray(canvas.buffer_rgba())[..., 0] < 128
    assert set(shapes) == set(STATES.values())
    for one, two in combinations(shapes.values(), 2):
        # So much of what either covers, the other does not.
        assert (one ^ two).sum() > 0.5 * (one | two).sum()


def test_marks_are_those_of_the_states() -> None:
    figure = access_figure.draw([row("you", OUTSIDE, "ad?na")])
    drawn = Counter(mark.get_gid() for mark in marks(figure))
    # Each once more in the key.
    assert drawn == {"allowed": 3, "denied": 2, "depends": 2, "no way": 2}
    for mark in marks(figure):
        assert mark.get_marker() is access_figure.MARKS[mark.get_gid()]["marker"]


def test_the_key_explains_what_is_there_and_nothing_else() -> None:
    assert texts(access_figure.draw([YOU]))[-3:] == ["allowed", "denied", "before and after"]
    assert texts(access_figure.draw([YOU], planned=True))[-1] == "before and as planned"
    assert texts(access_figure.draw([row("root", OUTSIDE, "nnnnn")]))[-2:] == [
        "root",
        "no way to S3",
    ]


NOBODY = "nobody is known to hold the means to administer the bucket"
KEEPS = "keeps the means to administer the bucket: role break-glass"


@pytest.mark.parametrize(
    "rows, sentence",
    [
        ([], "No caller is known"),
        (
            [APP, STAY],
            f"1 of 2 rows gains access to the data: app-1; nobody loses any; 1 {KEEPS}",
        ),
        (
            [*KEYS, STAY],
            "1 of 3 rows loses all access to the data: keys copied from app-1 (from outside); "
            f"nobody gains any; 1 {KEEPS}",
        ),
        (
            [YOU, row("role ci", OUTSIDE, "aaaad", "aaddd"), APP, STAY],
            "1 of 4 rows loses all access to the data: you; 1 loses some of it: role ci; "
            "1 gains it: app-1; "
            "2 keep the means to administer the bucket: you and role break-glass",
        ),
        (
            [row("a", OUTSIDE, "aaaad", "???ad"), row("b", OUTSIDE, "ddddd", "?dddd"), STAY],
            f"1 of 3 rows may lose access to the data: a; 1 may gain it: b; 1 {KEEPS}",
        ),
        (
            [row("a", OUTSIDE, "?dddd", "adddd"), row("b", OUTSIDE, "?dddd", "ddddd"), STAY],
            f"1 of 3 rows may lose access to the data: b; 1 may gain it: a; 1 {KEEPS}",
        ),
        (
            [row("a", OUTSIDE, "adddd", "dadda")],
            "1 row loses some access to the data: a; 1 row gains it: a; "
            "1 row gains the means to administer the bucket: a",
        ),
        (
            [row("a", OUTSIDE, "aaaaa", "aaaad"), row("b", OUTSIDE, "aaaaa", "aaaa?")],
            "Nobody loses or gains access to the data; 1 loses the means to administer the bucket: "
            f"a; 1 may lose the means to administer the bucket: b; {NOBODY}",
        ),
        ([KEYS[0]], f"Nobody loses or gains access to the data; {NOBODY}"),
        (
            [STAY, row("a", OUTSIDE, "d?ddd"), row("b", OUTSIDE, "nnnnn")],
            "Nothing changes; 1 of 3 rows has access to the data: role break-glass; "
            f"1 may have it: a; 1 has none: b; 1 {KEEPS}",
        ),
        (
            [row("a", OUTSIDE, "ddddd")],
            f"Nothing changes; 1 row has no access to the data: a; {NOBODY}",
        ),
        (
            MANY,
            "5 of 14 rows lose all access to the data: keys copied from app-1 (from outside), you, "
            "root and 2 more; 1 loses some of it: role auditor; 1 may lose it: account "
            "210987654321; 2 gain it; 4 keep the means to administer the bucket",
        ),
    ],
)
def test_title_is_the_finding(rows: list[Row], sentence: str) -> None:
    assert access_figure.finding(rows) == sentence
    assert texts(access_figure.draw(rows))[0].replace("\n", " ") == sentence
    assert access_figure.alt_text(rows).startswith(sentence)


def test_a_prediction_is_called_one() -> None:
    assert access_figure.finding([YOU, APP, STAY], planned=True) == (
        "1 of 3 rows will lose all access to the data: you; 1 will gain it: app-1; "
        "2 will keep the means to administer the bucket: you and role break-glass"
    )
    nothing = access_figure.finding([STAY], planned=True)
    assert nothing.startswith("Nothing will change; 1 row has access to the data")
    assert "nobody will gain any" in access_figure.finding([YOU], planned=True)


def test_names_in_the_title_tell_apart_those_whom_they_name() -> None:
    twins = [row(f"app i-0000000{number}", OUTSIDE, "aaaaa", "ddddd") for number in (1, 2)]
    assert "app i-00000001 and app i-00000002" in access_figure.finding(twins)
    group = row("role a, role b and 3 more", OUTSIDE, "aaaaa", "ddddd")
    assert ": you and 1 more;" in access_figure.finding([group, YOU])
    unnamed = row("keys copied from i-00000001", OUTSIDE, "aaaaa", "ddddd")
    assert "keys copied from i-00000001" in access_figure.finding([unnamed])


@every_case
def test_alternative_text_names_every_row_and_every_change(case: str) -> None:
    rows = CASES[case]
    alt = access_figure.alt_text(rows)
    for one in rows:
        words = alt.split(f"{one.who}, {one.where}: ", 1)[1].split(". ")[0]
        fates = {}
        for part in words.rstrip(".").split("; "):
            for column in COLUMNS:
                if column in part.split(" from ")[0].replace(",", "").split():
                    fates[column] = part
        for column in COLUMNS:
            before, after = one.before[column].state, one.after[column].state
            fate = f"from {before} to {after}" if before != after else f" {after}"
            assert fates[column].endswith(fate)
            assert (" from " in fates[column]) == one.changed(column)


def test_show_gives_the_alternative_text_and_a_fixed_size(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[IPython.display.Image] = []
    monkeypatch.setattr(figures, "display", shown.append)
    access_figure.show(MANY, planned=True)
    _, metadata = shown[0]._repr_mimebundle_()
    assert metadata["image/png"]["alt"] == access_figure.alt_text(MANY, planned=True)
    # As wide as a page of a notebook at most, and printed on A4 no text is under 6 points.
    assert 600 < metadata["image/png"]["width"] < 900
    assert access_figure.draw(MANY).get_facecolor() == (1, 1, 1, 1)


@every_case
def test_the_picture_is_the_same_byte_for_byte_when_drawn_again(case: str) -> None:
    pictures = []
    for figure in (drawn(case), access_figure.draw(CASES[case])):
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=48)  # a third of its size, drawn the same way
        pictures.append(png.getvalue())
    assert pictures[0] == pictures[1]


def test_it_looks_as_the_other_picture_does() -> None:
    rows = pd.DataFrame(
        [("a", "subnet-1", "t rtb-1", "explicit", "nowhere", "i")], columns=list(SUBNET_COLUMNS)
    )
    one, other = access_figure.draw([APP]), figures.reach(rows, rows)
    titles = [figure.axes[0].texts[0] for figure in (one, other)]
    looks = [
        (text.get_fontsize(), text.get_weight(), text.get_color(), text.get_fontfamily())
        for text in titles
    ]
    assert looks[0] == looks[1]
    assert one.dpi == other.dpi
    # Opaque, so that it reads on a dark page, too.
    assert one.get_facecolor() == other.get_facecolor() == (1, 1, 1, 1)

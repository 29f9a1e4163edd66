"""The picture of the ways says what the hops say, and nothing in it is cut or hidden."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache
from itertools import combinations, pairwise
from typing import Any

import IPython.display
import matplotlib.image
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.transforms import Bbox

from private_s3 import figures
from private_s3.path import figure as path_figure
from private_s3.path.walk import HOPS, Hop

VERDICTS: dict[str, Any] = {"o": "open", "b": "blocked", "?": "uncertain"}
LONG = (
    "could not read the DNS attributes of vpc-0123456789abcdef0: AWS answered "
    "UnauthorizedOperation: You are not authorized to perform this operation. User: "
    "arn:aws:sts::123456789012:assumed-role/operator/rehearsal is not authorized to perform: "
    "ec2:DescribeVpcAttribute because no identity-based policy allows it"
)


def row(number: int, letters: str, reason: str = "") -> list[Hop]:
    """The hops of an instance from a letter each: o(pen), b(locked) or ?."""
    return [
        Hop(f"i-{number:017x}", hop, VERDICTS[letter], reason or f"why of {hop} {number}", None)
        for hop, letter in zip(HOPS, letters, strict=True)
    ]


OPEN, CLOSED, DOUBTFUL = "ooooooooooo", "ooobooooboo", "oo?oooooooo"
ONE = row(1, CLOSED)
FOUR = [*ONE, *row(2, OPEN), *row(3, "oo?oob??obo"), *row(4, DOUBTFUL, LONG)]
CASES = {
    "one": ONE,
    "four": FOUR,
    "one that is open": row(1, OPEN),
    "nothing is known": row(1, "???????????", LONG),
    "everything is closed": row(1, "bbbbbbbbbbb"),
    "long words": row(1, CLOSED, "W" * 300 + " $\\no$"),
    "eight": [hop for number in range(8) for hop in row(number, CLOSED)],
    "none": [],
}
every_case = pytest.mark.parametrize("case", CASES)
NAMED: list[Any] = [
    {"InstanceId": f"i-{number:017x}", "Tags": [{"Key": "Name", "Value": text}]}
    for number, text in enumerate(("", "app-1", "app-2", "worker", "worker"))
]


@cache
def drawn(case: str) -> Figure:
    """The picture of a case, drawn once for all tests."""
    return path_figure.draw(CASES[case], NAMED, bucket="rehearsal-private-data")


@cache
def extents(case: str) -> tuple[list[Bbox], list[Bbox]]:
    """Where the texts and the boxes of the picture of a case stand, in pixels."""
    figure = drawn(case)
    renderer = FigureCanvasAgg(figure).get_renderer()
    written = [text.get_window_extent(renderer) for text in figure.axes[0].texts]
    return written, [box.get_window_extent(renderer) for box in boxes(figure)]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def boxes(figure: Figure) -> list[FancyBboxPatch]:
    return [patch for patch in figure.axes[0].patches if isinstance(patch, FancyBboxPatch)]


def arrows(figure: Figure) -> list[FancyArrowPatch]:
    return [patch for patch in figure.axes[0].patches if isinstance(patch, FancyArrowPatch)]


def kinds(figure: Figure) -> list[str]:
    """What the boxes are drawn as, without those of S3 itself."""
    return [str(box.get_gid()) for box in boxes(figure) if box.get_gid()]


@every_case
def test_nothing_overlaps_a_text_or_leaves_the_picture(case: str) -> None:
    figure = drawn(case)
    written, framed = extents(case)
    margin = figures.MARGIN * figures.DPI - 1
    for extent in [*written, *framed]:
        assert extent.x0 >= margin and extent.x1 <= figure.bbox.x1 - margin
        assert extent.y0 >= 0 and extent.y1 <= figure.bbox.y1
    assert all(text.get_fontsize() >= 8 for text in figure.axes[0].texts)
    assert not any(one.overlaps(two) for one, two in combinations(written, 2))
    assert not any(one.overlaps(two) for one, two in combinations(framed, 2))


@every_case
def test_each_hop_has_a_box_with_its_name_within(case: str) -> None:
    written, framed = extents(case)
    inside = []
    for frame in framed:
        found = [
            text
            for text, extent in zip(texts(drawn(case)), written, strict=True)
            if frame.fully_containsx(extent.x0)
            and frame.fully_containsx(extent.x1)
            and frame.fully_containsy(extent.y0)
            and frame.fully_containsy(extent.y1)
        ]
        assert len(found) == 1
        inside.append(found[0].replace("\n", " "))
    assert inside == [*HOPS, "S3"] * len({hop.instance for hop in CASES[case]})


@every_case
def test_the_picture_fits_a_notebook(case: str) -> None:
    figure = drawn(case)
    assert round(figure.get_figwidth() * figures.SHOWN_DPI) <= 830
    assert (figure.dpi, figure.get_facecolor()) == (figures.DPI, (1, 1, 1, 1))


def test_each_hop_is_drawn_as_what_it_is() -> None:
    letters = {"open": "o", "blocked": "b", "first": "f", "uncertain": "?"}
    found = "".join(letters[kind] for kind in kinds(drawn("four")))
    assert found == "ooofooooboo" + OPEN + "oo?oof??obo" + DOUBTFUL


def test_the_first_blocker_is_told_by_line_sign_and_word() -> None:
    figure = drawn("one")
    looks = {box.get_gid(): box for box in boxes(figure)}
    widths = {kind: box.get_linewidth() for kind, box in looks.items()}
    assert widths["first"] > 2 * widths["blocked"] > widths["open"]
    assert looks["first"].get_linestyle() != looks["blocked"].get_linestyle()
    (sign,) = [line for line in figure.axes[0].lines if line.get_gid() == "end"]
    ((x, y),) = sign.get_xydata()
    first = looks["first"]
    assert (x, y) == (first.get_x() + first.get_width(), first.get_y())
    assert [text for text in texts(figure) if text in path_figure.WORDS.values()] == [
        "ends here",
        "blocked",
    ]


def test_what_is_not_known_is_hatched_and_said() -> None:
    figure = path_figure.draw(row(1, DOUBTFUL))
    assert [bool(box.get_hatch()) for box in boxes(figure)] == [
        *(c == "?" for c in DOUBTFUL),
        False,
    ]
    assert texts(figure).count("not known") == 1


@pytest.mark.parametrize(
    ("letters", "ways"),
    [
        (OPEN, ["way open"] * 11),
        (CLOSED, ["way open"] * 3 + ["way first"] * 8),
        (DOUBTFUL, ["way open"] * 2 + ["way uncertain"] * 9),
        ("oo?oboooooo", ["way open"] * 2 + ["way uncertain"] * 2 + ["way first"] * 7),
        ("obo?ooooooo", ["way open"] * 1 + ["way first"] * 10),
    ],
)
def test_the_line_is_whole_only_as_far_as_packets_are_known_to_get(
    letters: str, ways: list[str]
) -> None:
    found = arrows(path_figure.draw(row(1, letters)))
    assert [arrow.get_gid() for arrow in found] == ways
    styles = {arrow.get_gid(): (arrow.get_linestyle(), arrow.get_linewidth()) for arrow in found}
    assert all(one != two for one, two in combinations(styles.values(), 2))


def test_the_lines_join_the_boxes_in_their_order() -> None:
    figure = drawn("one")
    ends = [arrow._posA_posB for arrow in arrows(figure)]  # type: ignore[attr-defined]
    for (box, following), (start, end) in zip(pairwise(boxes(figure)), ends, strict=True):
        middle = box.get_y() + box.get_height() / 2
        assert start == pytest.approx((box.get_x() + box.get_width(), middle))
        assert end == pytest.approx((following.get_x(), middle))


def test_the_reason_is_told_whole_and_no_other() -> None:
    written = " ".join(" ".join(texts(drawn("four"))).split())
    assert "route table: why of route table 1" in written
    assert "gateway endpoint: why" not in written
    assert "security group: why of security group 3" in written
    assert f"name resolution: {LONG}" in written


@pytest.mark.parametrize(
    ("hops", "says"),
    [
        (ONE, "The private way to S3 of app-1 ends at the route table"),
        (row(2, OPEN), "The private way to S3 of app-2 is open"),
        (row(2, DOUBTFUL), "The private way to S3 of app-2 is not known to be open"),
        (
            FOUR,
            "The private way to S3 of app-1 ends at the route table; that of app-2 is open; that "
            "of worker i-00000000000000003 ends at the security group; that of worker "
            "i-00000000000000004 is not known to be open",
        ),
        (
            [*ONE, *row(2, CLOSED)],
            "The private way to S3 of app-1 and app-2 ends at the route table",
        ),
        (CASES["eight"], "The private way to S3 of 8 instances ends at the route table"),
        (row(9, OPEN), "The private way to S3 of i-00000000000000009 is open"),
    ],
)
def test_the_title_is_the_finding(hops: Sequence[Hop], says: str) -> None:
    assert path_figure.finding(hops, NAMED) == says
    assert texts(path_figure.draw(hops, NAMED))[0].replace("\n", " ") == says


def test_the_bucket_and_a_plan_are_told() -> None:
    said = path_figure.finding(row(1, OPEN), NAMED, bucket="data", planned=True)
    assert said == "As planned, the private way to data of app-1 is open"


def test_the_alternative_text_says_all_that_is_drawn() -> None:
    said = path_figure.alt_text(FOUR, NAMED, bucket="data")
    assert said.startswith(path_figure.finding(FOUR, NAMED, bucket="data") + ". ")
    assert (
        "app-1 i-00000000000000001: instance, interface, name resolution, longest prefix, security "
        "group, network ACL out, network ACL back, endpoint policy and Region: open; route table: "
        "ends here; gateway endpoint: blocked. route table: why of route table 1."
    ) in said
    assert "name resolution: not known" in said and LONG in said


def test_what_is_shown_is_opaque_has_its_size_and_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    monkeypatch.setattr(figures, "display", shown.append)
    path_figure.show(ONE, NAMED, bucket="data")
    (image,) = shown
    assert isinstance(image, IPython.display.Image)
    pixels = matplotlib.image.imread(io.BytesIO(image.data))
    assert pixels.shape[1] == round(figures.WIDTH * figures.DPI) and image.width <= 830
    assert np.all(pixels[..., 3] == 1)
    assert image.alt == path_figure.alt_text(ONE, NAMED, bucket="data")


def test_the_picture_is_the_same_each_time() -> None:
    def png() -> bytes:
        buffer = io.BytesIO()
        path_figure.draw(ONE, NAMED).savefig(buffer, format="png", metadata={"Software": None})
        return buffer.getvalue()

    assert png() == png()

"""The picture says what the frames say, and nothing in it is cut or hidden."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import IPython.display
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.transforms import Bbox

from private_s3 import figures
from private_s3.network import SUBNET_COLUMNS

# Zeros are the widest digits, so these are the widest ids there are.
ENDPOINT, NAT, GATEWAY = (f"{kind}-{'0' * 17}" for kind in ("vpce", "nat", "igw"))


def frame(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    """A frame of subnets from (subnet, route table, target, instances)."""
    full = []
    for number, (subnet, table, target, instances) in enumerate(rows):
        table_id = f"rtb-{'0' * 16}{sum(map(ord, table)) % 10}"
        association = "main table" if table == "main" else "explicit"
        subnet_id = f"subnet-{number:0>17}"
        full.append((subnet, subnet_id, f"{table} {table_id}", association, target, instances))
    return pd.DataFrame(full, columns=list(SUBNET_COLUMNS))


# The widest letters that a name of a bucket, and of an instance, can have.
BUCKET, WIDE = "m" * 63, "W" * 40
FIRST = "subnet-00000000000000000"
BEFORE = frame(("app-a", "private-a", "nowhere", "app-1"), ("app-b", "main", "nowhere", ""))
AFTER = frame(("app-a", "private-a", ENDPOINT, "app-1"), ("app-b", "main", "nowhere", ""))


def large(endpoint: str) -> pd.DataFrame:
    """Twelve subnets with long names, many instances, and every kind of target."""
    instances = "app-1, app-2, worker-3, worker-4, a-very-long-name-of-an-instance"
    zones = "abc"
    return frame(
        *((f"data-{zone}", "main", "nowhere", "") for zone in zones),
        *((f"private-{zone}", f"private-{zone}", endpoint, instances) for zone in zones),
        *((f"public-ap-northeast-1{zone}-frontend", "public", GATEWAY, "") for zone in zones),
        ("", "", NAT, ""),
        ("transit", "transit", f"tgw-{'0' * 17}", ""),
        ("wide", "wide", f"arn:aws:networkmanager::123456789012:core-network/{'0' * 30}", ""),
    )


CASES = {
    "new endpoint": (BEFORE, AFTER),
    "endpoint removed": (AFTER, BEFORE),
    "nothing changed": (AFTER, AFTER),
    "twelve subnets": (large(NAT), large(ENDPOINT)),
    "fewer before": (AFTER.head(1), AFTER),
    "fewer after": (AFTER, AFTER.head(1)),
}
# Two subnets on the route table of the instance, and one that is not.
SHARED = [("app-a", "private-a", "app-1"), ("app-c", "private-a", ""), ("app-b", "main", "")]
SHARED_BEFORE = frame(*((name, table, "nowhere", inside) for name, table, inside in SHARED))
SHARED_AFTER = frame(
    *(
        (name, table, ENDPOINT if table == "private-a" else "nowhere", inside)
        for name, table, inside in SHARED
    )
)
OTHERS = {FIRST: ["neighbour-1", "reporter-1"], f"subnet-{2:0>17}": ["sibling-1"]}
CASES["a shared route table"] = SHARED_BEFORE, SHARED_AFTER
every_case = pytest.mark.parametrize("case", CASES)


@cache
def drawn(case: str) -> Figure:
    """The picture of a case, drawn once for all tests."""
    return figures.reach(*CASES[case])


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def boxes(figure: Figure) -> list[Bbox]:
    patches = figure.axes[0].patches
    return [patch.get_window_extent() for patch in patches if isinstance(patch, FancyBboxPatch)]


@every_case
def test_every_id_is_written_whole(case: str) -> None:
    written = "".join(texts(drawn(case)))
    for row in CASES[case][1].itertuples():
        assert str(row.id) in written
        assert str(row.route_table).split()[-1] in written
        assert str(row.s3_goes_to) in written


@every_case
def test_no_text_leaves_its_box_or_the_picture(case: str) -> None:
    many = {FIRST: [WIDE, "i-2", "i-3", "i-4", "i-5", "i-6"]}
    figure = figures.reach(*CASES[case], bucket=BUCKET, others=many)
    renderer = FigureCanvasAgg(figure).get_renderer()
    framed = boxes(figure)
    for text in figure.axes[0].texts:
        extent = text.get_window_extent(renderer)
        assert text.get_fontsize() >= 8
        assert extent.x1 <= figure.bbox.x1 and extent.y0 >= 0 and extent.y1 <= figure.bbox.y1
        if text.get_text() in ("", "new"):  # "new" stands on the edge of its box
            continue
        for box in framed:
            if box.overlaps(extent):
                assert box.x0 < extent.x0 and extent.x1 < box.x1
                assert box.y0 < extent.y0 and extent.y1 < box.y1


@every_case
def test_boxes_do_not_touch(case: str) -> None:
    assert not any(one.overlaps(two) for one, two in combinations(boxes(drawn(case)), 2))


@every_case
def test_no_text_lies_on_another(case: str) -> None:
    figure = figures.reach(*CASES[case], bucket=BUCKET, others=OTHERS)
    renderer = FigureCanvasAgg(figure).get_renderer()
    written = [text for text in figure.axes[0].texts if text.get_text()]
    extents = [text.get_window_extent(renderer) for text in written]
    assert not any(one.overlaps(two) for one, two in combinations(extents, 2))


@pytest.mark.parametrize(
    "before, after, sentence",
    [
        (BEFORE, AFTER, f"S3 traffic of app-a now goes through {ENDPOINT}; app-b is unchanged"),
        (AFTER, BEFORE, "S3 traffic of app-a now goes nowhere; app-b is unchanged"),
        (AFTER, AFTER, f"S3 traffic of app-a goes through {ENDPOINT}; that of app-b goes nowhere"),
        (
            large(NAT),
            large(ENDPOINT),
            f"S3 traffic of private-a, private-b and private-c now goes through {ENDPOINT}; "
            "9 other subnets are unchanged",
        ),
        (
            SHARED_BEFORE,
            SHARED_AFTER,
            f"S3 traffic of app-a and app-c now goes through {ENDPOINT}; "
            "app-c, not of the change, shares its route table; app-b is unchanged",
        ),
    ],
)
def test_title_is_the_finding(before: pd.DataFrame, after: pd.DataFrame, sentence: str) -> None:
    assert figures.finding(before, after) == sentence
    assert texts(figures.reach(before, after))[0].replace("\n", " ") == sentence
    assert figures.alt_text(before, after).startswith(sentence)


def test_what_is_new_says_so_in_words_and_weight() -> None:
    figure = figures.reach(BEFORE, AFTER)
    # The way to the endpoint, and from there to the bucket.
    assert (texts(figure).count("new"), texts(figure).count("now")) == (1, 2)
    heavy = [patch for patch in figure.axes[0].patches if patch.get_linewidth() > 2]
    assert sorted(type(patch).__name__ for patch in heavy) == [
        "FancyArrowPatch",
        "FancyArrowPatch",
        "FancyBboxPatch",
    ]


def arrows_into(figure: Figure, name: str) -> list[FancyArrowPatch]:
    patches = figure.axes[0].patches
    return [one for one in patches if isinstance(one, FancyArrowPatch) and one.get_gid() == name]


def test_the_way_ends_at_the_bucket_and_none_leads_there_from_nowhere() -> None:
    figure = figures.reach(BEFORE, AFTER, bucket="the-bucket")
    written = texts(figure)
    assert written.count("the-bucket") == written.count("S3 bucket") == 2
    assert len(arrows_into(figure, "S3 bucket")) == 1
    blocked = figures.reach(BEFORE, BEFORE, bucket="the-bucket")
    assert texts(blocked).count("the-bucket") == 1
    assert not arrows_into(blocked, "S3 bucket")
    assert "S3" in texts(figures.reach(BEFORE, BEFORE))


@pytest.mark.parametrize(
    "target, style, words",
    [
        (ENDPOINT, "-", "then privately"),
        (NAT, "-", "then over the internet"),
        (GATEWAY, "-", "then over the internet"),
        (f"tgw-{'0' * 17}", ":", "beyond it: not known"),
        (f"pcx-{'0' * 17}", ":", "beyond it: not known"),
    ],
)
def test_how_traffic_goes_on_to_the_bucket_is_said(target: str, style: str, words: str) -> None:
    way = frame(("app-a", "private-a", target, "app-1"))
    figure = figures.reach(way, way, bucket="the-bucket")
    assert words in texts(figure)
    assert [arrow.get_linestyle() for arrow in arrows_into(figure, "S3 bucket")] == [style]


def test_what_shares_the_way_without_being_of_the_change_is_marked_in_words() -> None:
    figure = figures.reach(SHARED_BEFORE, SHARED_AFTER, others=OTHERS)
    written = " ".join(texts(figure))
    assert written.count("shared with neighbour-1 and reporter-1") == 2
    assert written.count("shares the route table") == 2
    assert "sibling-1" not in written
    marked = [one for one in figure.axes[0].patches if one.get_linewidth() == 1.6]
    assert len(marked) == 2  # the subnet app-c in both panels, and not app-a
    title = figures.finding(SHARED_BEFORE, SHARED_AFTER, others=OTHERS)
    assert "app-c, neighbour-1 and reporter-1, not of the change, share its route table" in title
    alt = figures.alt_text(SHARED_BEFORE, SHARED_AFTER, others=OTHERS)
    assert "(with app-1; shared with neighbour-1 and reporter-1)" in alt
    assert "app-c subnet-00000000000000001 (not of the change)" in alt


def test_instances_beside_those_of_a_shared_subnet_are_named_there() -> None:
    others = {f"subnet-{1:0>17}": ["reporter-1"]}
    written = " ".join(texts(figures.reach(SHARED_BEFORE, SHARED_AFTER, others=others)))
    assert "shares the route table: reporter-1" in written
    alt = figures.alt_text(SHARED_BEFORE, SHARED_AFTER, others=others)
    assert "app-c subnet-00000000000000001 (not of the change, with reporter-1)" in alt


def test_of_many_other_instances_a_box_names_some_and_counts_the_rest() -> None:
    others = {FIRST: [f"worker-{number}" for number in range(1, 31)]}
    written = " ".join(texts(figures.reach(BEFORE, AFTER, others=others)))
    assert "worker-4 and 26 more" in written
    assert "30 others, not of the change" in figures.finding(BEFORE, AFTER, others=others)
    assert "worker-30" in figures.alt_text(BEFORE, AFTER, others=others)


def test_a_name_with_dollars_is_no_formula() -> None:
    rows = frame(("$a$", "$b$", "nowhere", "$c$"))
    written = figures.reach(rows, rows, bucket="the-bucket").axes[0].texts
    assert not any(text.get_parse_math() for text in written if "$" in text.get_text())


def test_a_table_added_to_a_present_endpoint_is_a_new_way_and_no_new_endpoint() -> None:
    rows = ("app-a", "private-a", ENDPOINT, ""), ("app-b", "private-b", NAT, "app-2")
    before, after = frame(*rows), frame(rows[0], ("app-b", "private-b", ENDPOINT, "app-2"))
    written = texts(figures.reach(before, after))
    assert "now" in written
    assert "new" not in written


def test_what_did_not_change_is_one_panel_without_emphasis() -> None:
    written = texts(figures.reach(AFTER, AFTER))
    assert not {"before", "after", "new", "now"} & set(written)
    assert written.count("app-a") == 1
    assert {"before", "after"} <= set(texts(figures.reach(BEFORE, AFTER)))


def test_frames_that_differ_in_type_alone_are_equal() -> None:
    written = texts(figures.reach(AFTER.astype(object), AFTER.astype("string")))
    assert "before" not in written


def test_alternative_text_says_all_that_the_picture_says() -> None:
    alt = figures.alt_text(BEFORE, AFTER)
    before, after = alt.split("Before: ")[1].split("After: ")
    assert "app-a subnet-00000000000000000 (with app-1): S3 nowhere" in before
    assert f"app-a subnet-00000000000000000 (with app-1): S3 through {ENDPOINT}" in after
    assert "app-b subnet-00000000000000001: S3 nowhere" in after
    assert figures.alt_text(BEFORE, AFTER, bucket="the-bucket").endswith(
        "The bucket is the-bucket."
    )


def test_show_gives_the_alternative_text_and_a_fixed_size(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[IPython.display.Image] = []
    monkeypatch.setattr(figures, "display", shown.append)
    figures.show(BEFORE, AFTER)
    _, metadata = shown[0]._repr_mimebundle_()
    assert metadata["image/png"]["alt"] == figures.alt_text(BEFORE, AFTER)
    # As wide as a page: it is not made smaller, neither in a narrow window nor on paper.
    assert metadata["image/png"]["width"] == round(figures.WIDTH * 96) < 840
    assert figures.reach(BEFORE, AFTER).get_facecolor() == (1, 1, 1, 1)


def test_a_prediction_is_called_one() -> None:
    written = texts(figures.reach(BEFORE, AFTER, planned=True))
    assert f"S3 traffic of app-a will go through {ENDPOINT}" in written[0].replace("\n", " ")
    assert "after, as planned" in written
    assert "now goes" not in figures.alt_text(BEFORE, AFTER, planned=True)

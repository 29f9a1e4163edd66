"""The picture says what the frames say, and nothing in it is cut or hidden."""

from __future__ import annotations

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
every_case = pytest.mark.parametrize("before, after", CASES.values(), ids=CASES.keys())


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def boxes(figure: Figure) -> list[Bbox]:
    patches = figure.axes[0].patches
    return [patch.get_window_extent() for patch in patches if isinstance(patch, FancyBboxPatch)]


@every_case
def test_every_id_is_written_whole(before: pd.DataFrame, after: pd.DataFrame) -> None:
    written = "".join(texts(figures.reach(before, after)))
    for row in after.itertuples():
        assert str(row.id) in written
        assert str(row.route_table).split()[-1] in written
        assert str(row.s3_goes_to) in written


@every_case
def test_no_text_leaves_its_box_or_the_picture(before: pd.DataFrame, after: pd.DataFrame) -> None:
    figure = figures.reach(before, after)
    renderer = FigureCanvasAgg(figure).get_renderer()
    for text in figure.axes[0].texts:
        extent = text.get_window_extent(renderer)
        assert text.get_fontsize() >= 8
        assert extent.x1 <= figure.bbox.x1 and extent.y0 >= 0 and extent.y1 <= figure.bbox.y1
        for box in boxes(figure):
            if box.contains(extent.x0, (extent.y0 + extent.y1) / 2):
                assert extent.x1 < box.x1 and extent.y0 > box.y0 and extent.y1 < box.y1


@every_case
def test_boxes_do_not_touch(before: pd.DataFrame, after: pd.DataFrame) -> None:
    assert not any(
        one.overlaps(two) for one, two in combinations(boxes(figures.reach(before, after)), 2)
    )


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
    ],
)
def test_title_is_the_finding(before: pd.DataFrame, after: pd.DataFrame, sentence: str) -> None:
    assert figures.finding(before, after) == sentence
    assert texts(figures.reach(before, after))[0].replace("\n", " ") == sentence
    assert figures.alt_text(before, after).startswith(sentence)


def test_what_is_new_says_so_in_words_and_weight() -> None:
    figure = figures.reach(BEFORE, AFTER)
    assert texts(figure).count("new") == texts(figure).count("now") == 1
    heavy = [patch for patch in figure.axes[0].patches if patch.get_linewidth() > 2]
    assert {type(patch) for patch in heavy} == {FancyArrowPatch, FancyBboxPatch}
    assert len(heavy) == 2


def test_a_table_added_to_a_present_endpoint_is_a_new_way_and_no_new_endpoint() -> None:
    rows = ("app-a", "private-a", ENDPOINT, ""), ("app-b", "private-b", NAT, "app-2")
    before, after = frame(*rows), frame(rows[0], ("app-b", "private-b", ENDPOINT, "app-2"))
    written = texts(figures.reach(before, after))
    assert "now" in written
    assert "new" not in written


def test_what_did_not_change_is_one_panel_without_emphasis() -> None:
    written = texts(figures.reach(AFTER, AFTER))
    assert not {"before", "after", "new", "now"} & set(written)
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


def test_show_gives_the_alternative_text_and_a_fixed_size(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[IPython.display.Image] = []
    monkeypatch.setattr(figures, "display", shown.append)
    figures.show(BEFORE, AFTER)
    _, metadata = shown[0]._repr_mimebundle_()
    assert metadata["image/png"]["alt"] == figures.alt_text(BEFORE, AFTER)
    assert metadata["image/png"]["width"] == round(13.2 * 96)
    assert figures.reach(BEFORE, AFTER).get_facecolor() == (1, 1, 1, 1)


def test_a_prediction_is_called_one() -> None:
    written = texts(figures.reach(BEFORE, AFTER, planned=True))
    assert f"S3 traffic of app-a will go through {ENDPOINT}" in written[0].replace("\n", " ")
    assert "after, as planned" in written
    assert "now goes" not in figures.alt_text(BEFORE, AFTER, planned=True)

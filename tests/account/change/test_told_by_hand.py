"""Step 50 by hand: somebody runs the script on the instance, and brings what it printed."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from private_s3.errors import CheckFailed
from private_s3.evidence import manifest
from private_s3.evidence.verify import ok, verify
from private_s3.folder import change_folder
from tests.support.forging import edit
from tests.support.notebook_runs import CHECK
from tests.support.ways_in import answer, ask, facts, folder
from tests.support.world import World

pytestmark = pytest.mark.usefixtures("impatient", "unprinted")


@pytest.fixture
def by_hand(asking: World) -> World:
    return World(asking.account, asking.folder, {**asking.values, "check_by": "manual"})


def test_while_planning_who_was_not_asked_by_hand_yet_is_uncertain(by_hand: World) -> None:
    (check,) = ask(by_hand).checks()
    app = by_hand.id("app-1")
    assert (check.name, check.state) == (f"{app} can be asked", "UNCERTAIN")
    assert check.detail.startswith("not asked yet: ")
    answer(by_hand, "plan", "app-1")
    told = {one.name: (one.state, one.detail) for one in ask(by_hand).checks()}
    assert told[f"list from {app}"] == ("SKIPPED", "timeout: told by hand")
    assert told[f"identity from {app}"][1].startswith(f"succeeded: told by hand: {app} ")


def test_an_apply_pass_says_where_the_script_is_and_where_the_answers_belong(
    by_hand: World,
) -> None:
    with pytest.raises(CheckFailed) as caught:
        ask(by_hand, by_hand.plan())
    where, app = folder(by_hand, "apply"), by_hand.id("app-1")
    assert str(where / "check.sh") in caught.value.answer
    assert str(where / f"{app}.jsonl") in caught.value.answer
    assert str(where / f"{app}.jsonl") in caught.value.remedy
    assert "run this step again" in caught.value.remedy and str(caught.value).count("\n") == 2


def test_answers_to_the_plan_pass_are_none_to_the_apply_pass(by_hand: World) -> None:
    ask(by_hand)
    answer(by_hand, "plan", "app-1")
    digest = by_hand.plan()
    with pytest.raises(CheckFailed, match="not asked yet"):
        ask(by_hand, digest)
    app = by_hand.id("app-1")
    shutil.copy(folder(by_hand, "plan") / f"{app}.jsonl", folder(by_hand, "apply"))
    with pytest.raises(CheckFailed, match="it was printed by the script"):
        ask(by_hand, digest)


def test_answers_of_another_instance_are_refused(by_hand: World) -> None:
    ask(by_hand)
    where = folder(by_hand, "plan")
    answer(by_hand, "plan", "sibling-1")
    (where / f"{by_hand.id('sibling-1')}.jsonl").rename(where / f"{by_hand.id('app-1')}.jsonl")
    (check,) = ask(by_hand).checks()
    assert f"it was printed on {by_hand.id('sibling-1')}" in check.detail


def test_a_wrong_answer_by_hand_fails_with_how_to_ask_again_and_is_asked_once(
    by_hand: World,
) -> None:
    """Nothing is applied here, so that the list times out; AWS would have a minute to act."""
    world = World(by_hand.account, by_hand.folder, {**by_hand.values, "settle_seconds": 60})
    digest = world.apply()
    try:
        with pytest.raises(CheckFailed):
            ask(world, digest)
        answer(world, "apply", "app-1")
        path = folder(world, "apply") / f"{world.id('app-1')}.jsonl"
        lines = path.read_text().splitlines()
        path.write_text("\n".join(_timed_out(line) for line in lines))
        begun = time.monotonic()
        checks = {one.name: one for one in ask(world, digest).checks()}
        assert time.monotonic() - begun < 20
        failed = checks[f"list from {world.id('app-1')}"]
        assert failed.state == "FAIL" and "told by hand" in failed.detail
        assert "run the script on the instance again" in failed.remedy
        assert facts(world, digest)["asked"] == 1
        path.write_text("\n".join(lines))
        assert {one.state for one in ask(world, digest).checks()} == {"PASS"}
    finally:
        world.undo()


def _timed_out(line: str) -> str:
    found = json.loads(line)
    if found.get("probe") == "list":
        found.update(exit=255, stdout="", stderr="Connect timeout on endpoint URL: x")
    return json.dumps(found)


@pytest.fixture
def told(by_hand: World, quick: None) -> tuple[World, Path]:
    """A sealed folder whose one observation was told by hand."""
    assert by_hand.notebook(CHECK).error is None
    answer(by_hand, "plan", "app-1")
    assert by_hand.notebook(CHECK).error is None
    where = change_folder(by_hand.parameters())
    manifest.seal(where)
    found = verify(where)
    assert ok(found), "\n".join(map(str, found))
    notes = [str(one) for one in found if "told by hand" in str(one)]
    assert len(notes) == 1 and by_hand.id("app-1") in notes[0]
    return by_hand, where


def test_whoever_seals_vouches_for_no_other_answers_than_were_read(
    told: tuple[World, Path],
) -> None:
    world, where = told
    app = world.id("app-1")
    answers = folder(world, "plan") / f"{app}.jsonl"
    original, known = answers.read_bytes(), where / f"facts/plan/{CHECK}.json"
    facts_of_it = known.read_bytes()
    lies: dict[str, Callable[[], Any]] = {
        "is not the file that was read": lambda: answers.write_bytes(original + b"\n"),
        "the facts go by it: it was printed on": lambda: answers.write_bytes(
            original.replace(app.encode(), world.id("sibling-1").encode())
        ),
        "missing; the facts go by it": answers.unlink,
        "tells something else than the facts": lambda: _edit_seen(
            known, lambda seen: seen[0].update(detail=seen[0]["detail"].replace("told by hand", ""))
        ),
        "though the facts go by it: other-region was not asked": lambda: _edit_seen(
            known, lambda seen: seen.pop()
        ),
        "tells what i-00000001 saw, and names no file of it": lambda: _edit_seen(
            known, lambda seen: seen.append({**seen[0], "instance_id": "i-00000001"})
        ),
        "tells what instances saw, and not by which files": lambda: edit(
            known, lambda found: found.pop("by_hand")
        ),
        "its parameters of another way": lambda: edit(
            known, lambda found: found["run"]["parameters"].update(check_by="ssm")
        ),
        "where this pass has no answers by hand": lambda: edit(
            known, lambda found: found["by_hand"].update(folder="by_hand/apply/0123456789ab")
        ),
        "is not the script that the facts tell of": lambda: (
            answers.parent / "check.sh"
        ).write_text("echo all is well\n"),
    }
    script = (answers.parent / "check.sh").read_bytes()
    for said, lie in lies.items():
        lie()
        manifest.seal(where)
        failed = [str(one) for one in verify(where) if one.state == "FAIL"]
        assert any(said in one for one in failed), (said, failed)
        answers.write_bytes(original)
        known.write_bytes(facts_of_it)
        (answers.parent / "check.sh").write_bytes(script)
        if "check.sh" in " ".join(manifest.seal(where)["findings"]):
            break  # an earlier seal has the script otherwise, and that is told for good
        assert ok(verify(where)), said
    assert said == [*lies][-1]


def _edit_seen(path: Path, change: Callable[[Any], Any]) -> None:
    edit(path, lambda found: change(found["observations"]))


def test_what_was_told_is_in_the_report_as_such(by_hand: World) -> None:
    assert by_hand.notebook(CHECK).error is None
    answer(by_hand, "plan", "app-1")
    assert by_hand.notebook(CHECK).error is None
    where = change_folder(by_hand.parameters())
    manifest.seal(where)
    assert "told by hand" in (where / "report.html").read_text()
    first = json.loads((where / f"plan/{CHECK}.ipynb").read_text())
    shown = json.dumps(first["cells"])
    assert "END-OF-THE-CHECKS" in shown
    assert "END-OF-THE-CHECKS" not in (where / f"plan/{CHECK}-2.ipynb").read_text()

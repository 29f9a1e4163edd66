"""Where a step is in its runbook: what is missing before it, whether it is done, what follows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from private_s3 import approval, steps
from private_s3.errors import BadInput, PlanChanged
from private_s3.evidence import manifest
from private_s3.journal import Journal
from private_s3.parameters import Parameters
from private_s3.plan import Change, Plan
from private_s3.record import Record
from tests.support import readings as worlds

FIND, ENDPOINT, ROUTES, POLICY, CHECK = (
    "10_find_vpc",
    "20_create_gateway_endpoint",
    "30_inspect_route_diff",
    "40_apply_bucket_policy",
    "50_check_from_instance",
)
ALL = [FIND, ENDPOINT, ROUTES, POLICY, CHECK]
BACK = "90_roll_back"
PLAN = Plan("rehearsal", worlds.ACCOUNT, worlds.REGION, (Change("a", "b", None, "c"),))
EMPTY = Plan("rehearsal", worlds.ACCOUNT, worlds.REGION, ())
UNDO = Plan("rehearsal", worlds.ACCOUNT, worlds.REGION, (Change("a", "b", "c", None),), undo=True)


@pytest.fixture
def parameters(tmp_path: Path) -> Parameters:
    return worlds.parameters(changes_dir=str(tmp_path))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports take a browser seconds, and are not looked at here."""
    monkeypatch.setattr(manifest.report, "write", lambda folder: None)


def ran(parameters: Parameters, step: str, time: str = "2026-01-02T03:04:05", **more: Any) -> None:
    """Puts there what a step that came to its end leaves behind."""
    run = {"started": time, "ended": time, "parameters": parameters.model_dump()}
    path = Path(parameters.changes_dir) / "rehearsal/facts"
    path /= "apply" if parameters.applying else "plan"
    path.mkdir(parents=True, exist_ok=True)
    facts = {"run": run, "checks": [], "aws_calls": {}, "plan": PLAN.digest, **more}
    (path / f"{step}.json").write_text(json.dumps(facts))


def approved(parameters: Parameters, plan: Plan = PLAN) -> Parameters:
    approval.keep(Path(parameters.changes_dir) / "rehearsal", plan, {})
    return parameters.model_copy(update={"approved_plan": plan.digest})


def in_jupyterlab(monkeypatch: pytest.MonkeyPatch, parameters: Parameters, copy: str) -> Path:
    path = Path(parameters.changes_dir) / "rehearsal" / copy
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    monkeypatch.setenv("JPY_SESSION_NAME", str(path))
    return path


def test_a_step_says_which_it_is(parameters: Parameters) -> None:
    assert steps.position(parameters, FIND).markdown == "Step 1 of 5, plan pass."
    assert steps.position(approved(parameters), BACK).markdown == "Step 1 of 1, apply pass."


def test_a_step_out_of_order_names_and_links_what_is_missing(parameters: Parameters) -> None:
    ran(parameters, FIND)
    text = steps.position(parameters, ROUTES).markdown
    assert f"Not done yet in this pass: [{ENDPOINT}]({ENDPOINT}.ipynb)." in text
    assert FIND not in text


def test_what_the_other_pass_has_done_does_not_count(parameters: Parameters) -> None:
    ran(parameters, FIND)
    assert FIND in steps.position(approved(parameters), ENDPOINT).markdown


def test_a_step_that_was_done_says_so(parameters: Parameters) -> None:
    ran(parameters, FIND)
    text = steps.position(parameters, FIND).markdown
    assert "**It was done at 2026-01-02 03:04 UTC.**" in text


@pytest.mark.parametrize(
    "fault",
    [
        {"error": {"kind": "AwsRefused", "lines": []}},
        {"checks": [{"name": "x", "state": "FAIL"}]},
        {"run": {"started": "", "ended": "", "parameters": {"bucket": "another"}}},
    ],
)
def test_a_step_that_failed_or_had_other_parameters_is_not_done(
    parameters: Parameters, fault: dict[str, Any]
) -> None:
    ran(parameters, FIND, **fault)
    assert not steps.done(parameters, FIND)


def test_a_step_that_did_not_come_to_its_end_is_not_done(parameters: Parameters) -> None:
    ran(parameters, FIND)
    path = Path(parameters.changes_dir) / "rehearsal/facts/plan" / f"{FIND}.json"
    facts = json.loads(path.read_text())
    del facts["aws_calls"]
    path.write_text(json.dumps(facts))
    assert not steps.done(parameters, FIND)


def test_remarks_may_differ_between_two_runs(parameters: Parameters) -> None:
    ran(parameters, FIND)
    assert steps.done(parameters.model_copy(update={"ticket": "T-2", "note": "again"}), FIND)


def test_each_step_leads_to_the_next(parameters: Parameters) -> None:
    assert steps.onward(parameters, FIND, "").markdown == f"Next: [{ENDPOINT}]({ENDPOINT}.ipynb)"


def test_the_last_step_of_the_plan_pass_leads_to_the_command(parameters: Parameters) -> None:
    approved(parameters)
    text = steps.onward(parameters, CHECK, PLAN.digest)
    assert f"`private-s3 apply {PLAN.digest} -f PARAMETERS`" in text.markdown
    assert repr(text).endswith(f"private-s3 apply {PLAN.digest} -f PARAMETERS")


def test_the_plan_of_an_undo_leads_to_the_undo(parameters: Parameters) -> None:
    approved(parameters, UNDO)
    text = steps.onward(parameters, BACK, UNDO.digest).markdown
    assert f"private-s3 undo {UNDO.digest}" in text


def test_nothing_follows_an_empty_plan_or_the_last_step_of_all(parameters: Parameters) -> None:
    approved(parameters, EMPTY)
    assert "is empty" in steps.onward(parameters, CHECK, EMPTY.digest).markdown
    last = "This was the last step; the change folder holds its evidence."
    assert steps.onward(approved(parameters), CHECK, PLAN.digest).markdown == last
    assert steps.onward(parameters, "80_audit_drift", "").markdown == "Nothing follows."


def test_in_jupyterlab_the_plan_pass_leads_to_the_copies_of_the_apply_pass(
    parameters: Parameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_jupyterlab(monkeypatch, parameters, f"plan/{CHECK}.ipynb")
    approved(parameters)
    text = steps.onward(parameters, CHECK, PLAN.digest).markdown
    assert f"[{FIND}](../apply/{FIND}.ipynb)" in text
    assert PLAN.digest in text


def test_in_jupyterlab_the_end_leads_to_what_takes_the_change_back(
    parameters: Parameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_jupyterlab(monkeypatch, parameters, f"apply/{CHECK}.ipynb")
    text = steps.onward(approved(parameters), CHECK, PLAN.digest).markdown
    assert text.endswith(f"To take it back: [{BACK}](../plan/{BACK}.ipynb)")
    in_jupyterlab(monkeypatch, parameters, f"apply/{BACK}.ipynb")
    undone = steps.onward(approved(parameters, UNDO), BACK, UNDO.digest).markdown
    assert "take it back" not in undone


def test_a_copy_leads_to_one_that_is_not_sealed(
    parameters: Parameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = in_jupyterlab(monkeypatch, parameters, f"plan/{ENDPOINT}.ipynb")
    manifest.seal(sealed.parent.parent)
    in_jupyterlab(monkeypatch, parameters, f"plan/{FIND}-2.ipynb")
    text = steps.onward(parameters, FIND, "").markdown
    assert text == f"Next: [{ENDPOINT}]({ENDPOINT}-2.ipynb)"


def test_a_sealed_copy_is_not_run(parameters: Parameters, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = in_jupyterlab(monkeypatch, parameters, f"plan/{FIND}.ipynb")
    Record(parameters, FIND)
    manifest.seal(copy.parent.parent)
    with pytest.raises(BadInput, match=f"(?s)is sealed.*open plan/{FIND}-2.ipynb"):
        Record(parameters, FIND)


def test_a_copy_of_the_apply_pass_needs_a_digest(
    parameters: Parameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_jupyterlab(monkeypatch, parameters, f"apply/{FIND}.ipynb")
    with pytest.raises(
        PlanChanged, match=r"(?s)`approved_plan`.*is empty.*type there.*plan/50_check"
    ):
        Record(parameters, FIND)
    Record(approved(parameters), FIND)


def test_a_copy_of_the_plan_pass_refuses_a_digest(
    parameters: Parameters, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_jupyterlab(monkeypatch, parameters, f"plan/{ENDPOINT}.ipynb")
    with pytest.raises(PlanChanged, match=f"(?s)is not empty.*apply/{FIND}.ipynb"):
        Record(approved(parameters), ENDPOINT)


def test_a_notebook_elsewhere_in_jupyterlab_is_not_held_to_a_pass(
    parameters: Parameters, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / f"notebooks/{FIND}.ipynb"))
    Record(approved(parameters), FIND)


def test_a_session_begins_with_the_first_step_that_is_not_done(parameters: Parameters) -> None:
    assert steps.to_do(parameters, ALL) == ("plan", FIND)
    ran(parameters, FIND)
    assert steps.to_do(parameters, ALL) == ("plan", ENDPOINT)


def test_a_session_goes_on_with_the_apply_pass_and_ends(parameters: Parameters) -> None:
    for step in ALL:
        ran(parameters, step)
    plan = approved(parameters)
    assert steps.to_do(parameters, ALL) == ("apply", FIND)
    for step in ALL:
        ran(plan, step)
    assert steps.to_do(parameters, ALL) is None


def test_nothing_is_to_be_applied_of_an_empty_plan(parameters: Parameters) -> None:
    approved(parameters, EMPTY)
    for step in ALL:
        ran(parameters, step, plan=EMPTY.digest)
    assert steps.to_do(parameters, ALL) is None


def test_after_an_undo_the_change_is_to_be_planned_anew(parameters: Parameters) -> None:
    plan = approved(parameters)
    for step in ALL:
        ran(parameters, step)
        ran(plan, step)
    approved(parameters, UNDO)
    journal = Journal(Path(parameters.changes_dir) / "rehearsal")
    journal.append("complete", step=BACK, plan=UNDO.digest, caller="", left="")
    assert steps.to_do(parameters, ALL) == ("plan", FIND)
    ran(parameters, BACK, "2099-01-01T00:00:00", plan=UNDO.digest)
    ran(parameters.model_copy(update={"approved_plan": UNDO.digest}), BACK, "2099-01-01T00:00:01")
    assert steps.to_do(parameters, [BACK]) is None
    journal.append("complete", step=CHECK, plan=PLAN.digest, caller="", left="")


def test_the_digest_that_was_typed_is_carried_on(parameters: Parameters) -> None:
    assert steps.carried(parameters, FIND) == ""
    assert steps.carried(parameters, ENDPOINT) == ""
    ran(approved(parameters), FIND)
    assert steps.carried(parameters, ENDPOINT) == PLAN.digest
    assert steps.carried(parameters, ROUTES) == ""

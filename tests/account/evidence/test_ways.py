"""However a change was run - by hand, in stages, or without success - its folder verifies."""

from __future__ import annotations

import shutil
from pathlib import Path

import papermill
import pytest
from traitlets.config import Config

from private_s3.cli import main
from private_s3.evidence.verify import Finding, ok, verify
from private_s3.folder import change_folder
from tests import PROJECT
from tests.support.notebook_runs import ENDPOINT, FIND, POLICY
from tests.support.sealed import make_key, vouch
from tests.support.world import World

pytestmark = pytest.mark.usefixtures("in_process", "unprinted")


def by_hand(world: World, step: str, elsewhere: Path, digest: str = "") -> None:
    """Runs a notebook as JupyterLab does: nothing of it but its facts gets into the folder."""
    papermill.execute_notebook(
        PROJECT / f"notebooks/{step}.ipynb",
        elsewhere / "out.ipynb",
        world.parameters(approved_plan=digest).model_dump(),
        kernel_name="python3",
        progress_bar=False,
        config=Config({"KernelManager": {"transport": "ipc"}}),
    )


def told(findings: list[Finding]) -> str:
    return "\n".join(map(str, findings))


def test_notebooks_run_by_hand_leave_a_folder_that_seals_and_verifies(
    world: World, tmp_path: Path
) -> None:
    folder = change_folder(world.parameters())
    for step in (FIND, ENDPOINT):
        by_hand(world, step, tmp_path)
    digest = next(folder.glob("plans/*.json")).stem
    for step in (FIND, ENDPOINT, POLICY):
        by_hand(world, step, tmp_path, digest)
    assert not [*folder.glob("*/*.ipynb")]
    key = make_key(tmp_path / "key")
    allowed = vouch(tmp_path / "allowed", "operator@example.com", key)
    shown = world.cli("seal", "-f", "params/rehearsal.yaml", "--sign-with", str(key))
    assert shown.exit_code == 0, shown.output
    assert "Sealed and signed" in shown.output
    found = verify(folder, allowed)
    assert ok(found), told(found)
    assert "operator@example.com" in told(found)
    assert "nobody is recorded" in told(found)
    page = (folder / "report.html").read_text()
    assert digest in page


def test_stages_on_several_machines_seal_one_after_the_other(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planner, the approver and the pipeline that applies each sign with a key of their own."""
    from click.testing import CliRunner

    names = ("planner", "approver", "pipeline")
    keys = {name: make_key(tmp_path / name) for name in names}
    vouched = [vouch(tmp_path / f"{name}.allowed", name, key) for name, key in keys.items()]
    allowed = tmp_path / "allowed"
    allowed.write_text("".join(path.read_text() for path in vouched))
    runbook = tmp_path / "short.yaml"
    runbook.write_text(f"title: Two steps\nnotebooks: [{FIND}, {ENDPOINT}]\n")

    def stage(name: str, *command: str) -> Path:
        before = [path for path in tmp_path.glob("machine-*") if path.is_dir()]
        here = tmp_path / f"machine-{name}"
        if before:
            shutil.move(before[0], here)
        options = ["-f", "params/rehearsal.yaml", "-p", f"changes_dir={here}"]
        done = CliRunner().invoke(main, [*command, *options, "--sign-with", str(keys[name])])
        assert done.exit_code == 0, done.output
        return here / "rehearsal"

    short, digest_to = ("--runbook", str(runbook)), ("--digest-to", f"{tmp_path}/digest")
    folder = stage("planner", "plan", *short, *digest_to)
    assert ok(verify(folder, allowed)), told(verify(folder, allowed))
    digest = (tmp_path / "digest").read_text().strip()
    folder = stage("approver", "approve", digest, "--by", "ann@example.com")
    assert ok(verify(folder, allowed)), told(verify(folder, allowed))
    folder = stage("pipeline", "apply", digest, *short)
    found = verify(folder, allowed)
    assert ok(found), told(found)
    assert all(name in told(found) for name in names)
    assert len([*folder.glob("seals/*.json")]) == 2
    # Whoever knows only one of them does not take the seals of the others.
    assert not ok(verify(folder, vouched[0]))


def test_a_run_that_fails_is_sealed_with_its_failure(world: World) -> None:
    world.account.plant("DescribeRouteTables", code="UnauthorizedOperation", message="no", times=0)
    shown = world.cli("plan", "-f", "params/rehearsal.yaml")
    assert shown.exit_code == 4, shown.output
    assert "Sealed without a signature" in shown.output
    folder = change_folder(world.parameters())
    found = verify(folder)
    assert ok(found), told(found)
    assert "UnauthorizedOperation" in (folder / "report.html").read_text()


def test_what_is_refused_before_anything_is_written_leaves_no_folder(world: World) -> None:
    shown = world.cli("apply", "0123456789ab", "-f", "params/rehearsal.yaml", "-p", "bucket=X")
    assert shown.exit_code == 2
    assert not change_folder(world.parameters()).exists()

"""The runbook by hand: a real browser drives a session in JupyterLab, which is killed and resumed.

What a notebook shows is read from JupyterLab, and what was done from the account.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner
from playwright.sync_api import Browser

import rehearsal
from private_s3.cli import main
from tests import PROJECT
from tests.support import jupyterlab
from tests.support.jupyterlab import STEPS, Lab, Notebook, Session
from tests.support.notebook_runs import ENDPOINT, FIND, POLICY, ROUTES, UNDO, Eye, unlike

pytestmark = pytest.mark.skipif(not jupyterlab.FOUND, reason="no browser here (Debian: chromium)")
# App-1 alone is asked, and what fails fails for good.
QUICK = ("-p", "check_also=[break-glass]", "-p", "settle_seconds=0")
PLAN, APPLY = (
    {step: f"{name}/{step}.ipynb" for step in (*STEPS, UNDO)} for name in ("plan", "apply")
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with jupyterlab.chromium() as started:
        yield started


@contextmanager
def opened(
    browser: Browser, account: rehearsal.Account, changes: Path, autosave: int | None = None
) -> Iterator[tuple[Session, Lab]]:
    """A session, and a browser before it that finds nothing wrong; it is ended as by Ctrl-C."""
    environment = account.environment()
    with jupyterlab.session(changes, environment, *QUICK, autosave=autosave) as session:
        context = browser.new_context(viewport=jupyterlab.VIEWPORT)
        lab = Lab(context.new_page(), changes.parent)
        lab.page.goto(session.url)
        yield session, lab
        assert lab.wrong == []
        context.close()
        assert session.end() == 0, session.said
        require_nothing_left(session, changes)


def require_nothing_left(session: Session, changes: Path) -> None:
    """All that a session leaves is its folder, in which all is sealed and every copy was run."""
    assert [path.name for path in changes.iterdir()] == ["rehearsal"]
    folder = changes / "rehearsal"
    inside = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    manifest = folder / "manifest.json"
    sealed = json.loads(manifest.read_text())["files"] if manifest.exists() else ["run.lock"]
    assert {*inside} - {"manifest.json"} == {*sealed}
    assert not list(folder.rglob(".*"))
    for path in folder.glob("*/*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        assert any(cell.get("execution_count") for cell in cells), f"{path} was not run"
    assert not list((session.home / "tmp").iterdir())
    assert not list((session.home / "run").glob("kernel*"))
    assert not (PROJECT / "notebooks/.ipynb_checkpoints").exists()


def writes(account: rehearsal.Account) -> list[str]:
    """How the operator has changed the account; scripts are run on instances in any pass."""
    calls = [call for call in account.calls() if call["write"] and call["who"] == "operator"]
    return [call["operation"] for call in calls if call["operation"] != "SendCommand"]


def require_run(notebook: Notebook) -> None:
    """It was run from its first cell to its last, and nothing has failed."""
    assert not notebook.errors, notebook
    assert not notebook.not_run, notebook
    counts = [cell["execution_count"] for cell in notebook.code]
    assert counts == list(range(counts[0], counts[0] + len(counts))), notebook
    held = {"PASS"} if notebook.path.startswith("apply/") else {"PASS", "SKIPPED"}
    assert {state for state, number in notebook.results.items() if number} <= held, notebook.results
    assert sum(notebook.results.values()) >= 2


def failure(notebook: Notebook) -> list[str]:
    """The lines of the one error that it shows."""
    assert len(notebook.errors) == 1, notebook
    return notebook.errors[0].splitlines()


# -- the whole way --------------------------------------------------------------------------------


@dataclass
class Person:
    """Runs each notebook in its turn, types the digest, and has bad luck twice."""

    session: Session
    lab: Lab
    account: rehearsal.Account
    folder: Path
    digest: str = ""

    def run(self, path: str) -> Notebook:
        if path in (APPLY[FIND], APPLY[UNDO]):
            self.lab.type_parameter("approved_plan", self.digest)
        if path == APPLY[ENDPOINT]:
            self.reload_while_it_runs()
        if path == APPLY[POLICY]:
            self.lose_the_kernel_once_it_has_written()
        notebook = self.lab.run()
        if path in (PLAN[ENDPOINT], PLAN[UNDO]):
            (self.digest,) = notebook.digests
        return notebook

    def reload_while_it_runs(self) -> None:
        """Loads the page again while the endpoint is being made, and lets the kernel go on."""
        kernel = self.lab.at(APPLY[ENDPOINT]).kernel_id
        self.account.plant("CreateVpcEndpoint", delay=3)
        self.lab.begin()
        self.lab.wait("the endpoint is being made", lambda: "CreateVpc" in self.journal())
        self.lab.page.reload()
        facts = self.folder / "facts/apply" / f"{ENDPOINT}.json"
        self.lab.wait("the kernel has gone on", lambda: "aws_calls" in facts.read_text())
        notebook = self.lab.at(APPLY[ENDPOINT])
        assert notebook.kernel_id == kernel
        assert notebook.not_run  # what the kernel has said meanwhile, nobody has heard
        assert writes(self.account) == ["CreateVpcEndpoint"]

    def lose_the_kernel_once_it_has_written(self) -> None:
        """Kills the kernel between the write and the reading that is to follow."""
        kernel = self.lab.at(APPLY[POLICY]).kernel_id
        self.lab.click(self.lab.cell("after").locator(".jp-InputPrompt"))
        notebook = self.lab.begin("Run All Above Selected Cell")()
        assert "after" in notebook.not_run and "applied" not in notebook.not_run
        assert writes(self.account) == ["CreateVpcEndpoint", "PutBucketPolicy"]
        self.session.kernel(kernel).kill()
        # Until it is asked something, JupyterLab does not notice that there is another kernel.
        told = self.lab.page.locator(".jp-Dialog", has_text="Kernel Restarting")
        self.lab.click(told.get_by_role("button", name="Ok"))

    def journal(self) -> str:
        path = self.folder / "journal.jsonl"
        return path.read_text() if path.exists() else ""


def test_a_change_is_made_and_taken_back_by_hand(
    chromium: Browser, account: rehearsal.Account, tmp_path: Path
) -> None:
    eye, folder = Eye(account), tmp_path / "changes/rehearsal"
    before = eye.snapshot()
    with opened(chromium, account, folder.parent, autosave=1) as (session, lab):
        person = Person(session, lab, account, folder)
        for notebook in lab.walk([PLAN[step] for step in STEPS], person.run):
            require_run(notebook)
            assert notebook.digests == ({person.digest} if person.digest else set())
        assert writes(account) == []
        assert unlike(before, eye.snapshot()) == []

        lab.follow("next")
        for notebook in lab.walk([APPLY[step] for step in STEPS], person.run):
            require_run(notebook)
            assert notebook.digests == {person.digest}
            twice = notebook.path in (APPLY[ENDPOINT], APPLY[POLICY])
            assert not twice or "already done" in notebook.text("applied")
            done = "It was done at" in notebook.text("begin")
            assert done == (notebook.path == APPLY[ENDPOINT])
        # What the instances are let do is tried by writing a file, which is deleted again.
        made = ["CreateVpcEndpoint", "PutBucketPolicy"]
        assert writes(account) == [*made, "PutObject", "DeleteObject"]

        lab.open(PLAN[UNDO])
        for notebook in lab.walk([PLAN[UNDO], APPLY[UNDO]], person.run):
            require_run(notebook)
            assert person.digest in notebook.digests
        assert writes(account)[4:] == ["PutBucketPolicy", "DeleteVpcEndpoints"]
        assert unlike(before, eye.snapshot()) == []

    ran = [*STEPS, UNDO]
    assert names(folder) == sorted([*(PLAN[step] for step in ran), *(APPLY[step] for step in ran)])
    verified = CliRunner().invoke(main, ["verify", str(folder)])
    assert verified.exit_code == 0, verified.output
    assert ".ipynb" not in verified.output  # nor is there anything to notice of the notebooks
    assert account.errors() == []


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*.ipynb"))


# -- gates ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lab(
    chromium: Browser, shared: rehearsal.Account, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    """A session in which no step is ever done, so that tests can share it."""
    changes = tmp_path_factory.mktemp("gates") / "changes"
    with opened(chromium, shared, changes) as (session, lab):
        notebook = lab.at(PLAN[FIND])
        assert session.kernel(notebook.kernel_id).cmdline()[0] == sys.executable
        yield lab


def test_a_session_opens_the_first_notebook_beside_its_table_of_contents(lab: Lab) -> None:
    lab.open(PLAN[FIND])
    headings = lab.page.locator(".jp-tocItem-content:visible").all_inner_texts()
    assert headings[:3] == ["Find the VPC", "1. Bind to the account", "2. Find the instances"]


@pytest.mark.parametrize(
    "path, digest, answer, remedy",
    [
        (
            APPLY[FIND],
            "",
            "This is the apply pass, and `approved_plan` in the parameters cell is empty.",
            "type there the digest of the approved plan",
        ),
        (
            PLAN[ENDPOINT],
            "0123456789ab",
            "This is the plan pass, and `approved_plan` in the parameters cell is not empty.",
            f"empty it; a plan is applied in {APPLY[FIND]}",
        ),
    ],
)
def test_a_copy_without_the_digest_that_it_needs_does_nothing(
    lab: Lab, shared: rehearsal.Account, path: str, digest: str, answer: str, remedy: str
) -> None:
    asked = len(shared.calls())
    lab.open(path)
    lab.type_parameter("approved_plan", digest)
    notebook = lab.begin()()
    lines = failure(notebook)
    assert lines[0] == f"Could not run {path}; AWS was not asked for anything."
    assert lines[1] == answer
    assert lines[2].startswith(f"Next: {remedy}")
    assert notebook.not_run == [cell["id"] for cell in notebook.code[2:]]
    assert len(shared.calls()) == asked


def test_a_step_out_of_turn_names_the_steps_that_are_missing_and_leads_to_them(lab: Lab) -> None:
    lab.open(PLAN[POLICY])
    said = lab.begin()().text("begin")
    links = ", ".join(f"[{step}]({step}.ipynb)" for step in (FIND, ENDPOINT, ROUTES))
    assert f"**Not done yet in this pass: {links}.** Run that first." in said
    lab.follow("begin")
    lab.at(PLAN[FIND])


# -- to go on -------------------------------------------------------------------------------------


def test_a_session_goes_on_where_the_last_was_ended_and_leaves_alone_what_was_sealed(
    chromium: Browser, shared: rehearsal.Account, tmp_path: Path
) -> None:
    folder = tmp_path / "changes/rehearsal"
    with opened(chromium, shared, folder.parent) as (_, lab):
        for notebook in lab.walk([PLAN[FIND], PLAN[ENDPOINT]], lambda _: lab.run()):
            require_run(notebook)
        first = notebook.digests
        again = lab.run()
        require_run(again)
        assert "It was done at" in again.text("begin") and again.digests == first
    assert writes(shared) == []
    assert names(folder) == [PLAN[FIND], PLAN[ENDPOINT]]

    sealed = (folder / PLAN[FIND]).read_bytes()
    with opened(chromium, shared, folder.parent) as (session, lab):
        lab.at(PLAN[ROUTES])
        for path in (PLAN[FIND], PLAN[ENDPOINT]):
            assert not lab.open(path).writable
            assert "Sealed, read-only." in lab.cell("sealed").inner_text()
            assert refusal(session, path) == 403
        lab.open(PLAN[FIND])
        assert failure(lab.begin()())[1].startswith("It is sealed: it is evidence")
        lab.follow("sealed")
        fresh = PLAN[FIND].replace(FIND, f"{FIND}-2")
        lab.at(fresh)
        notebook = lab.run()
        require_run(notebook)
        assert "It was done at" in notebook.text("begin")
        assert f"[{ROUTES}]" not in notebook.text("next")
    assert (folder / PLAN[FIND]).read_bytes() == sealed
    assert names(folder) == sorted([PLAN[FIND], fresh, PLAN[ENDPOINT]])
    assert writes(shared) == []


def refusal(session: Session, path: str) -> int:
    """With which status JupyterLab refuses to save a notebook; 200 if it does save it."""
    place = urlsplit(session.url)
    url = f"http://{place.netloc}/api/contents/{path}"
    body = json.dumps({"type": "file", "format": "text", "content": "not what was run"})
    headers = {"Authorization": f"token {parse_qs(place.query)['token'][0]}"}
    request = urllib.request.Request(url, body.encode(), headers, method="PUT")
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code

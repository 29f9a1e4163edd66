"""Drives a session in JupyterLab as a person does: a process, a browser, a mouse, a keyboard.

By itself it does the rehearsal, and makes pictures of it to look at.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Locator,
    Page,
    ViewportSize,
    sync_playwright,
)
from playwright.sync_api import Error as PlaywrightError

import rehearsal
from private_s3.evidence.report import browser
from private_s3.evidence.story import PASSES
from tests import PROJECT
from tests.support.notebook_runs import CHECK, ENDPOINT, FIND, POLICY, ROUTES, UNDO

FOUND = browser.find()
STEPS = (FIND, ENDPOINT, ROUTES, POLICY, CHECK)
VIEWPORT: ViewportSize = {"width": 1280, "height": 800}
T = TypeVar("T")
FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# What JupyterLab shows just now, or holds under a path. It is asked, not told: what is done is
# done with mouse and keyboard. Outputs hold pictures, which take long to hand over.
STATE = """([path, outputs]) => {
  const shell = window.jupyterapp?.shell;
  const widget = path
    ? [...(shell?.widgets("main") ?? [])].find(one => one.context?.path === path)
    : shell?.currentWidget;
  const context = widget?.context;
  if (!context?.isReady || !widget.content?.widgets) return null;
  const kernel = context.sessionContext.session?.kernel;
  return {
    path: context.path,
    kernel: kernel?.connectionStatus === "connected" ? kernel.status : "none",
    kernel_id: kernel?.id ?? "",
    dirty: context.model.dirty,
    saved: context.contentsModel.last_modified,
    writable: context.contentsModel.writable,
    cells: widget.content.widgets.map(cell => ({
      ...(outputs ? cell.model.sharedModel.toJSON() : {
        id: cell.model.id,
        cell_type: cell.model.type,
        metadata: cell.model.metadata,
        source: cell.model.sharedModel.getSource(),
        execution_count: cell.model.executionCount,
        outputs: [],
      }),
      running: cell.model.type === "code" && cell.model.executionState === "running",
    })),
  };
}"""
# JupyterLab's debugger asks every kernel whose state changes, also one that is just ended with its
# tab, and complains that it does not answer (packages/debugger/src/handler.ts).
OF_JUPYTERLAB = (
    "Could not restore the debugger state: "
    "Canceled future for debug_request message before replies were done"
)


@dataclass(frozen=True)
class Notebook:
    """A notebook in JupyterLab, as it is at one moment."""

    path: str
    kernel: str
    kernel_id: str
    dirty: bool
    saved: str
    writable: bool
    cells: list[dict[str, Any]]

    @property
    def code(self) -> list[dict[str, Any]]:
        return [cell for cell in self.cells if cell["cell_type"] == "code"]

    def cell(self, name: str) -> dict[str, Any]:
        return next(cell for cell in self.cells if cell["id"] == name)

    def text(self, name: str) -> str:
        """All that the outputs of a cell say, in their order."""
        return "\n".join(_text(output) for output in self.cell(name)["outputs"])

    @property
    def digests(self) -> set[str]:
        """The digests of plans that it shows."""
        shown = "\n".join(self.text(cell["id"]) for cell in self.code)
        return {*re.findall(r"(?:plan |approved_plan=)\**([0-9a-f]{12})", shown, re.IGNORECASE)}

    @property
    def results(self) -> dict[str, int]:
        """How many checks are in which state, as its table says."""
        names, numbers = self.text("results").splitlines()
        return dict(zip(names.split(), map(int, numbers.split()), strict=True))

    @property
    def errors(self) -> list[str]:
        """The errors that it shows, in words."""
        outputs = [output for cell in self.code for output in cell["outputs"]]
        return [_text(output) for output in outputs if output["output_type"] == "error"]

    @property
    def not_run(self) -> list[str]:
        """The code cells that were not run, by id."""
        return [cell["id"] for cell in self.code if not cell["execution_count"]]

    @property
    def begun(self) -> str:
        """When its first code cell was run last; empty if never."""
        return str(self.code[0]["metadata"].get("execution", {}).get("iopub.execute_input", ""))

    @property
    def is_running(self) -> bool:
        return self.kernel != "idle" or any(cell["running"] for cell in self.cells)

    def __str__(self) -> str:
        counts = {cell["id"]: cell["execution_count"] for cell in self.code}
        running = [cell["id"] for cell in self.code if cell["running"]]
        saved = "not saved" if self.dirty else f"saved {self.saved}"
        return (
            f"{self.path}, {saved}, its kernel {self.kernel}, running {running}, counts {counts}, "
            f"errors {self.errors}"
        )


def _text(output: Mapping[str, Any]) -> str:
    if output["output_type"] == "error":
        said = "\n".join([output["evalue"], *output["traceback"]])
        return re.sub(r"\x1b\[[0-9;]*m", "", said)
    data = output.get("data", {})
    text = output.get("text") or data.get("text/markdown") or data.get("text/plain", "")
    return text if isinstance(text, str) else "".join(text)


@dataclass(frozen=True)
class Session:
    """A `private-s3` process that has JupyterLab run on a change folder.

    `home` holds what JupyterLab and its kernels keep outside of that.
    """

    process: subprocess.Popen[bytes]
    home: Path

    @property
    def said(self) -> str:
        return (self.home / "said").read_text(encoding="utf-8")

    @property
    def url(self) -> str:
        """Where JupyterLab is, with its token; empty as long as it has not said so."""
        found = re.search(r"http://(localhost|127\.0\.0\.1)\S+token=\w+", self.said)
        return found[0] if found else ""

    def kernel(self, name: str) -> psutil.Process:
        """The process of a kernel, by its id."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        (found,) = (child for child in children if name in " ".join(child.cmdline()))
        return found

    def end(self, number: int = signal.SIGINT) -> int:
        """Ends it, as Ctrl-C does, and gives its exit code."""
        self.process.send_signal(number)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"The session has not ended. It said:\n{self.said}") from None


@contextmanager
def session(
    changes: Path, environment: Mapping[str, str], *options: str, autosave: int | None = None
) -> Iterator[Session]:
    """Runs `private-s3 open` where JupyterLab finds nothing of the user who runs this.

    `autosave`: every how many seconds JupyterLab saves, if not as often as a session has it.
    """
    # The sockets of kernels lie in it, and the path of a socket may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="lab-", dir="/tmp") as folder:
        home = Path(folder)
        places = {
            "JUPYTER_CONFIG_DIR": home / "config",
            "JUPYTER_DATA_DIR": home / "data",
            "JUPYTER_RUNTIME_DIR": home / "run",
            "IPYTHONDIR": home / "ipython",
            "TMPDIR": home / "tmp",
        }
        for place in places.values():
            place.mkdir()
        exposed = {"LabApp": {"expose_app_in_browser": True}}
        (home / "config/jupyter_lab_config.json").write_text(json.dumps(exposed))
        if autosave:
            settings = home / "config/lab/user-settings/@jupyterlab/docmanager-extension"
            settings.mkdir(parents=True)
            given = json.dumps({"autosaveInterval": autosave})
            (settings / "plugin.jupyterlab-settings").write_text(given)
        command = ["open", "-f", "params/rehearsal.yaml", "-p", f"changes_dir={changes}", *options]
        inherited = {name: value for name, value in os.environ.items() if name != "AWS_PROFILE"}
        with (home / "said").open("wb") as said:
            process = subprocess.Popen(
                [Path(sys.executable).with_name("private-s3"), *command, "--no-browser"],
                cwd=PROJECT,
                env={**inherited, **environment, **{n: str(path) for n, path in places.items()}},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
            )
        started = Session(process, home)
        try:
            wait_for("JupyterLab has said where it is", lambda: started.url, lambda: started.said)
            yield started
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(60)


def wait_for(
    what: str, condition: Callable[[], T | None], seen: Callable[[], Any], seconds: float = 60
) -> T:
    """What a condition gives, once that is something; fails with what was seen last."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"Not so within {seconds:.0f} s: {what}.\nLast seen: {seen()}")
        time.sleep(0.1)
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    arguments = [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=FOUND, args=arguments)
        yield started
        started.close()


class Lab:
    """JupyterLab in a browser, and the person before it.

    `wrong` is what the browser has complained of, and whom it has asked that is not on this
    machine.
    """

    def __init__(self, page: Page, pictures: Path) -> None:
        self.page, self._pictures = page, pictures
        self.wrong: list[str] = []
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self._note(f"{error} {error.stack}"))
        page.on("request", lambda request: self._require_near(request.url))
        page.on("dialog", lambda dialog: dialog.accept())  # before a reload

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._note(message.text)

    def _note(self, complaint: str) -> None:
        if complaint != OF_JUPYTERLAB:
            self.wrong.append(complaint)

    def _require_near(self, url: str) -> None:
        if not re.match(r"(http://(localhost|127\.0\.0\.1):|data:|blob:)", url):
            self._note(f"asked {url}")

    # -- to see -------------------------------------------------------------------------------

    def notebook(self, path: str = "", *, outputs: bool = True) -> Notebook | None:
        """The notebook in front, or the one of a path, if there is one."""
        seen = self.page.evaluate(STATE, [path, outputs])
        return Notebook(**seen) if seen else None

    def wait(self, what: str, condition: Callable[[], T | None], seconds: float = 60) -> T:
        """As wait_for; where that fails, with a picture of the page."""

        return wait_for(what, condition, self._seen, seconds)

    def _seen(self) -> str:
        path = self._pictures / f"failed-{time.time_ns()}.png"
        self.page.screenshot(path=path)
        return f"{self.notebook()}\nThe page: {path}\nIt complained: {self.wrong}"

    def at(self, path: str) -> Notebook:
        """The notebook of a path, once it is in front, and its kernel ready."""

        def ready() -> bool:
            notebook = self.notebook(outputs=False)
            return bool(notebook and notebook.path == path and notebook.kernel == "idle")

        self.wait(f"{path} is open, and its kernel ready", ready)
        return self._whole()

    def cell(self, name: str) -> Locator:
        """A cell of the notebook in front."""
        ids = [cell["id"] for cell in self._require().cells]
        return self.page.locator(".jp-NotebookPanel:visible .jp-Cell").nth(ids.index(name))

    def _require(self) -> Notebook:
        """The notebook in front, but for its outputs."""
        return self.wait("a notebook is in front", lambda: self.notebook(outputs=False))

    def _whole(self) -> Notebook:
        return self.wait("a notebook is in front", self.notebook)

    # -- to do --------------------------------------------------------------------------------

    def click(self, there: Locator) -> None:
        """Clicks; where nothing can be clicked, fails with a picture of the page."""
        try:
            there.click()
        except PlaywrightError as error:
            error.add_note(f"Last seen: {self._seen()}")
            raise

    def choose(self, menu: str, command: str) -> None:
        """Chooses a command in a menu."""
        self.click(self.page.locator(".lm-MenuBar-item", has_text=re.compile(f"^{menu}$")))
        label = re.compile(f"^{re.escape(command)}$")
        self.click(self.page.locator(".lm-Menu-itemLabel:visible", has_text=label))

    def begin(self, command: str = "Run All Cells") -> Callable[[], Notebook]:
        """Begins to run the notebook in front; what is given waits until that is over."""
        before = self._require().begun
        self.choose("Run", command)

        def over() -> bool:
            notebook = self._require()
            return not (notebook.is_running or notebook.begun in ("", before))

        def end() -> Notebook:
            self.wait("the run is over", over, 120)
            return self._whole()

        return end

    def run(self, command: str = "Run All Cells") -> Notebook:
        """Runs the notebook in front and saves it, and gives it as it is then."""
        self.begin(command)()
        return self.save()

    def save(self) -> Notebook:
        """Saves the notebook in front by hand, once JupyterLab has done so by itself.

        Meanwhile would be too early: a save by hand takes one by itself for somebody else's. And
        JupyterLab alone is not enough: it takes for saved what came while it was saving
        (jupyterlab/jupyterlab#17365).
        """

        def saved_since(time: str) -> Notebook | None:
            notebook = self._require()
            return None if notebook.dirty or notebook.saved == time else notebook

        before = self.wait("it is saved by itself", lambda: saved_since(""))
        self.page.keyboard.press("Control+s")
        self.wait("it is saved by hand", lambda: saved_since(before.saved))
        return self._whole()

    def follow(self, name: str) -> None:
        """Clicks the first link of a cell that is none of its headings."""
        self.click(self.cell(name).locator("a:not(.jp-InternalAnchorLink)").first)

    def open(self, path: str) -> Notebook:
        """Opens a notebook, as the file browser does."""
        script = "path => { window.jupyterapp.commands.execute('docmanager:open', {path}); }"
        self.page.evaluate(script, path)
        return self.at(path)

    def show(self, name: str) -> None:
        """Scrolls to a cell."""
        self.cell(name).evaluate("node => node.scrollIntoView({block: 'start'})")

    def close(self, path: str) -> None:
        """Closes the tab of a notebook, which ends its kernel."""
        tab = self.page.locator(f'.lm-DockPanel-tabBar .lm-TabBar-tab[title*="{path}"]')
        self.click(tab.locator(".lm-TabBar-tabCloseIcon"))
        self.wait(f"{path} is closed", lambda: not self.notebook(path, outputs=False))

    def type_parameter(self, name: str, text: str) -> None:
        """Types into a parameter that is an empty string, key by key."""
        line = self.cell("parameters").locator(".cm-line", has_text=re.compile(f"^{name}: "))
        self.click(line)
        self.page.keyboard.press("Home")
        for _ in f'{name}: str = "':
            self.page.keyboard.press("ArrowRight")
        self.page.keyboard.type(text)
        cell = self._require().cell("parameters")
        assert f'{name}: str = "{text}"' in cell["source"], cell["source"]

    def walk(self, paths: Sequence[str], run: Callable[[str], Notebook]) -> Iterator[Notebook]:
        """Runs notebooks, each opened by the link at the end of the one before; closes all behind.

        The first must be in front, the last stays there.
        """
        for before, path in zip(["", *paths], paths, strict=False):
            if before:
                self.follow("next")
            self.at(path)
            yield run(path)
            if before:
                self.close(before)


# -- pictures to look at --------------------------------------------------------------------------

# Cells that a picture is made of where a notebook has them: its top, tables, figures, its result.
SPOTS = (
    "title",
    "begin",
    "subnets",
    "planned",
    "difference",
    "figure",
    "matrix",
    "answers",
    "compared",
    "after",
    "check",
    "result",
)
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}


def picture(lab: Lab, notebook: Notebook, folder: Path) -> None:
    """Makes pictures of a notebook that was run, in both themes."""
    change = "theme => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"
    spots = [cell["id"] for cell in notebook.cells if cell["id"] in SPOTS]
    for name, theme in THEMES.items():
        lab.page.evaluate(change, theme)
        lab.page.locator(f"body[data-jp-theme-name='{theme}']").wait_for(state="attached")
        lab.page.locator("#jupyterlab-splash").wait_for(state="detached")
        for number, spot in enumerate(spots):
            lab.show(spot)
            step = notebook.path.removesuffix(".ipynb").replace("/", "-")
            lab.page.screenshot(path=folder / f"{step}-{number:02}-{spot}-{name}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description="Pictures of the rehearsal in JupyterLab.")
    parser.add_argument("--screenshots", type=Path, required=True, metavar="DIR")
    folder = parser.parse_args().screenshots.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as changes,
        rehearsal.start() as account,
        session(Path(changes), account.environment()) as started,
        chromium() as browser,
    ):
        lab = Lab(browser.new_page(viewport=VIEWPORT), folder)
        lab.page.goto(started.url)
        digest = ""

        def run(path: str) -> Notebook:
            nonlocal digest
            if path in (f"apply/{FIND}.ipynb", f"apply/{UNDO}.ipynb"):
                lab.type_parameter("approved_plan", digest)
            notebook = lab.run()
            if path.startswith("plan/"):
                digest = next(iter(notebook.digests), "")
            return notebook

        lab.at(f"plan/{FIND}.ipynb")
        for steps in (STEPS, [UNDO]):
            paths = [f"{name}/{step}.ipynb" for name in PASSES for step in steps]
            lab.open(paths[0])
            for notebook in lab.walk(paths, run):
                print(notebook, flush=True)
                picture(lab, notebook, folder)
        for complaint in lab.wrong:
            print("Wrong:", complaint)
    print(f"{len([*folder.glob('*.png')])} pictures in {folder}")


if __name__ == "__main__":
    main()

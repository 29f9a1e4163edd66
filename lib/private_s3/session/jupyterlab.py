"""Starts JupyterLab on the copies in a change folder, and waits until it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from private_s3 import steps
from private_s3.evidence.story import PASSES, notebooks
from private_s3.folder import change_folder
from private_s3.journal import lock
from private_s3.parameters import Parameters
from private_s3.session import copies
from private_s3.session.contents import PARAMETERS

CONFIGURATION = Path(__file__).parent
# What JupyterLab finds of an earlier layout: the table of contents, open beside the notebook.
TABLE_OF_CONTENTS = "@jupyterlab/toc:plugin"
LAYOUT = {
    "left": {
        "collapsed": False,
        "visible": True,
        "current": TABLE_OF_CONTENTS,
        "widgets": [TABLE_OF_CONTENTS],
    },
    "relativeSizes": [0.2, 0.8, 0],
}
WORKSPACE = {"data": {"layout-restorer:data": LAYOUT}, "metadata": {"id": "default"}}


def lay_out(parameters: Parameters, names: Sequence[str]) -> tuple[Path, bool]:
    """Puts there the copies that are to be run; gives the first, and whether all was done before.

    Where all is done, what is given is the copy that was run last.
    """
    folder = change_folder(parameters)
    next_step = steps.to_do(parameters, names)
    pass_name, first = next_step or ("apply", names[-1])
    rest = names[names.index(first) :] if next_step and pass_name == "plan" else []
    values = {**parameters.model_dump(), "approved_plan": ""}
    for step in rest:
        copies.make(copies.to_run(folder, pass_name, step), values)
    if next_step:
        return copies.to_run(folder, pass_name, first), False
    done = [path for name in PASSES for path in notebooks(folder, name, first)]
    return done[-1], True


def run(parameters: Parameters, first: Path, options: Sequence[str]) -> int:
    """JupyterLab on a copy, until it is ended; gives its exit code.

    Raises CheckFailed if another run of this change is at work.
    """
    folder = change_folder(parameters)
    with (
        lock(folder, "run.lock", "open a session"),
        tempfile.TemporaryDirectory(prefix="private-s3-") as scratch,
    ):
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *_options(folder, first, Path(scratch)), *options],
            env={
                **os.environ,
                PARAMETERS: json.dumps(parameters.model_dump()),
                "JUPYTER_CONFIG_PATH": str(CONFIGURATION),
            },
            cwd=folder,
            process_group=0,  # an interrupt comes to this process alone, which passes it on
        )
        with _ended_together(process):
            code = process.wait()
        copies.remove_unused(folder)
    return code


def _options(folder: Path, first: Path, scratch: Path) -> list[str]:
    """What makes JupyterLab a session on this folder, and leaves nothing else of it."""
    for pass_name in PASSES:  # a place for checkpoints, which are no evidence
        (scratch / pass_name).mkdir()
    (scratch / "default-37a8.jupyterlab-workspace").write_text(json.dumps(WORKSPACE))
    return [
        f"--ServerApp.root_dir={folder}",
        f"--LabApp.default_url=/lab/tree/{first.relative_to(folder).as_posix()}",
        "--ServerApp.contents_manager_class=private_s3.session.contents.Contents",
        f"--AsyncFileCheckpoints.root_dir={scratch}",
        f"--LabApp.workspaces_dir={scratch}",
        # No other user of this machine can read or drive the kernels; the server itself listens
        # on this machine only and asks for its token.
        "--KernelManager.transport=ipc",
        "--Application.log_level=ERROR",
        # As one does in a container.
        *(["--allow-root"] if os.getuid() == 0 else []),
    ]


@contextmanager
def _ended_together(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Ends JupyterLab where this process is to end, and lets it come to its own end first."""

    def pass_on(_number: int, _frame: FrameType | None) -> None:
        process.terminate()

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, pass_on) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

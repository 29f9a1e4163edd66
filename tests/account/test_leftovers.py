"""A test run that is killed leaves nothing on this machine.

What pytest itself keeps, its folder for temporary files, it removes in a later run; here that is
apart from all other temporary files, so that these can be told from it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests import PROJECT
from tests.support.processes import gone, running, until

LAST = f"sleep 4346.{os.getpid()}"  # as nobody else would


def network_of(pid: int) -> str:
    """The network namespace of a process; empty if it has ended."""
    try:
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    except OSError:
        return ""


def networks() -> set[str]:
    return {network_of(int(path.name)) for path in Path("/proc").glob("[0-9]*")}


@pytest.mark.parametrize("killed", ["the run", "the run and its workers"])
def test_a_run_that_is_killed_leaves_nothing(killed: str, tmp_path: Path) -> None:
    told, temporary = tmp_path / "told", tmp_path / "temporary"
    told.mkdir()
    temporary.mkdir()
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider"),
        *("--basetemp", str(tmp_path / "pytest"), "tests/account/lingering.py"),
    ]
    variables = {"LINGERING": f"{LAST}:{told}", "TMPDIR": str(temporary)}
    with subprocess.Popen(
        command, cwd=PROJECT, env={**os.environ, **variables}, stdout=subprocess.DEVNULL
    ) as run:
        try:
            assert until(lambda: len([*told.iterdir()]) == 2, seconds=90)
            assert until(lambda: len(running(LAST)) >= 4)
            family = psutil.Process(run.pid).children(recursive=True)
            own = [one for one in family if "rehearsal" in " ".join(one.cmdline())]
            theirs = {network_of(one.pid) for one in own} - {network_of(os.getpid()), ""}
            assert len(own) >= 4 and len(theirs) >= 2 and [*temporary.iterdir()]
            workers = psutil.Process(run.pid).children() if "workers" in killed else []
            for one in (run, *workers):
                one.kill()
        finally:
            run.kill()
    # A worker that is left alone gives the test that it runs some seconds to end.
    alive = lambda: [one for one in family if one.is_running()]  # noqa: E731
    assert until(lambda: not alive(), seconds=20), alive()
    assert gone(LAST) and gone(str(temporary))
    assert until(lambda: not networks() & theirs)
    assert until(lambda: not [*temporary.iterdir()]), [*temporary.iterdir()]

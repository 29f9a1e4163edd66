"""Runs the enumerations in full: `python -m tests.exhaustive [PART ...]`.

A part is a file beside this one. Broken off and begun again, it goes on where it was, as long as
the project is the same. The exit code is 1 if a part fails.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests import PROJECT

STATE = PROJECT / ".exhaustive"
FILES = {
    path.stem.removeprefix("test_"): path
    for path in sorted(Path(__file__).parent.glob("test_*.py"))
}


def main(parts: list[str]) -> int:
    """Runs the parts, and says of each how long it took and how many cases have passed."""
    if unknown := {*parts} - {*FILES}:
        print(f"There is no part {', '.join(sorted(unknown))}.\nThe parts: {' '.join(FILES)}")
        return 2
    said, failed = [], False
    for part in parts or FILES:
        begun, file = time.monotonic(), STATE / f"{part}.txt"
        code = _run(FILES[part], file)
        seconds = time.monotonic() - begun
        passed = len(file.read_text("utf-8").splitlines()) - 1 if file.exists() else 0
        failed = failed or code != 0
        state = f"failed with {code}" if code else "passed"
        said.append(f"{part:<20} {state:<14} {passed:>6} cases passed {seconds:>7.0f} s")
    print("\n".join(["", *said]))
    return int(failed)


def _run(path: Path, file: Path) -> int:
    """The exit code of pytest; 0 also where all has passed before."""
    command = [sys.executable, "-m", "pytest", "-n", "logical", "--dist", "worksteal"]
    command += ["--every", "--resume", str(file), str(path)]
    code = subprocess.run(command, cwd=PROJECT, check=False).returncode
    nothing_left = 5
    return 0 if code == nothing_left else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

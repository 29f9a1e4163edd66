"""Says in which versions everything ran."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib import metadata

from private_s3.folder import project_directory

PACKAGES = ("boto3", "botocore", "jupyterlab", "papermill", "private-s3-runbooks")


@cache
def versions() -> dict[str, str]:
    """The commit of this project, Python's version, and those of the packages that decide."""
    return {
        "commit": _commit(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in PACKAGES},
    }


def _commit() -> str:
    """The commit that is checked out, with `+changes` if the files are not as it has them."""
    try:
        changed = _git("status", "--porcelain", "--untracked-files=no")
        return _git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown: not in a git checkout"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(project_directory()), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

"""Prints a page to PDF with a browser of this machine, where there is one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
)
PATIENCE = 60  # seconds
# A page of ours asks for nothing; a browser by itself may.
_OFFLINE = (
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--proxy-server=http://127.0.0.1:9",
    "--proxy-bypass-list=<-loopback>",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--metrics-recording-only",
)


def find() -> str | None:
    """The path of a browser that can print, if there is one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def print_pdf(page: str, to: Path) -> bool:
    """Whether the page was printed; without a browser, or if it fails, there is no file.

    It is printed from a folder of its own: a PDF tells where its page lay.
    """
    browser = find()
    if not browser:
        return False
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        printed, source = Path(folder) / "page.pdf", Path(folder) / "page.html"
        source.write_text(page, encoding="utf-8")
        command = [
            browser,
            "--headless",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),  # it refuses root otherwise
            "--disable-gpu",
            "--disable-dev-shm-usage",  # small in containers
            f"--user-data-dir={folder}/profile",
            *_OFFLINE,
            "--no-pdf-header-footer",
            f"--print-to-pdf={printed}",
            source.resolve().as_uri(),
        ]
        if not _run(command) or not _is_pdf(printed):
            return False
        draft = to.with_name(f".{to.name}.{os.getpid()}")
        shutil.copyfile(printed, draft)
        draft.replace(to)
    return True


def _run(command: list[str]) -> bool:
    """Whether it ended well and in time; of a browser no process is left."""
    quiet = subprocess.DEVNULL
    try:
        started = subprocess.Popen(
            command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
        )
    except OSError:
        return False
    try:
        return started.wait(PATIENCE) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        _end(started)


def _end(started: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nothing of it is left
        os.killpg(started.pid, signal.SIGKILL)
    started.wait()


def _is_pdf(path: Path) -> bool:
    return path.is_file() and path.read_bytes()[:5] == b"%PDF-"

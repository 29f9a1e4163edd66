"""Lists the changes of a folder: what each is, how far it got, and whether its evidence holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from private_s3.clean import clean
from private_s3.evidence.manifest import MANIFEST, SIGNATURE
from private_s3.evidence.report.page import render
from private_s3.evidence.story import Story
from private_s3.evidence.verify import Finding, ok, verify
from private_s3.folder import write_text

INDEX = "index.html"
DEPTH = 2  # a rehearsal has a folder of its own, and its change within


@dataclass(frozen=True)
class Entry:
    """One change, as its folder tells; every field is a clean text."""

    folder: str
    change: str
    ticket: str
    state: str
    target: str
    when: str
    by: str
    sealed: str
    verified: str

    def cells(self) -> tuple[str, ...]:
        """The fields that people read, by COLUMNS."""
        return astuple(self)[1:]


COLUMNS = tuple(field.name for field in fields(Entry))[1:]


def changes(directory: Path, allowed_signers: Path | None = None) -> list[Entry]:
    """Every change below a folder, the latest first."""
    found = [(_last(Story(folder)), folder) for folder in _folders(directory, DEPTH)]
    ordered = [folder for _, folder in sorted(found, reverse=True)]
    return [_entry(directory, folder, allowed_signers) for folder in ordered]


def write(directory: Path, entries: list[Entry]) -> Path:
    """Writes `index.html` into the folder, with a link to the report of each change."""
    page = render(
        "index.html.j2",
        columns=COLUMNS,
        entries=[(one, (directory / one.folder / "report.html").exists()) for one in entries],
    )
    write_text(directory / INDEX, page)
    return directory / INDEX


def _folders(directory: Path, depth: int) -> Iterator[Path]:
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        if path.is_dir() and any((path / name).exists() for name in ("journal.jsonl", "facts")):
            yield path
        elif path.is_dir() and depth > 1:
            yield from _folders(path, depth - 1)


def _entry(directory: Path, folder: Path, allowed_signers: Path | None) -> Entry:
    story, found = Story(folder), verify(folder, allowed_signers)
    parameters = story.parameters
    approvers = dict.fromkeys(line["by"] for line in story.lines if line["event"] == "approved")
    target = " in ".join(
        text for name in ("bucket", "expected_account") if (text := parameters.get(name))
    )
    state = story.state + (", failed" if story.failures else "")
    return Entry(
        folder.relative_to(directory).as_posix(),
        clean(story.change_id),
        clean(parameters.get("ticket", "")) or "-",
        state,
        clean(target) or "-",
        _last(story)[:16].replace("T", " "),
        clean(", ".join(approvers)) or "-",
        _sealed(folder),
        _verified(found),
    )


def _last(story: Story) -> str:
    """When something was done last."""
    times = [run.about["ended"] for run in story.runs if "ended" in run.about]
    return max([*times, *(line["time"] for line in story.lines)], default="")


def _sealed(folder: Path) -> str:
    if not (folder / MANIFEST).exists():
        return "no"
    return "signed" if (folder / SIGNATURE).exists() else "unsigned"


def _verified(found: list[Finding]) -> str:
    if ok(found):
        return "yes"
    return f"no: {sum(one.state == 'FAIL' for one in found)} findings"

"""Seals a change folder: a manifest of everything in it, signed where a key is given."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from private_s3.clean import clean, cleaned
from private_s3.errors import CheckFailed
from private_s3.evidence import report, signature
from private_s3.evidence.story import PASSES, Story
from private_s3.folder import now, project_directory, write_json, write_text
from private_s3.journal import lock
from private_s3.ways_in.manual import BY_HAND

Manifest = dict[str, Any]
FORMAT = "private-s3-evidence/1"
MANIFEST, SIGNATURE, SEALS = "manifest.json", "manifest.json.sig", "seals"
# Rightly not the same from one seal to the next; the journal grows, and is compared line by line.
# What a person was asked by hand may be answered anew; the facts say by which file they go.
CHANGING = (
    *("facts/*", "journal.*", "*.lock", "report.*", "corroboration.json"),
    f"{BY_HAND}/*.jsonl",
)


def seal(folder: Path, key: Path | None = None) -> Manifest:
    """The manifest of a folder as it is now, written and perhaps signed; reports are made anew.

    A folder that is as it was sealed stays so. An earlier manifest is kept under `seals/`, where
    the new one lists it: who seals vouches for every seal before. What is not as the earlier seal
    has it is named among the `findings`, for good. Raises CheckFailed if the key does not sign.
    """
    story, doing = Story(folder), "seal the evidence"
    with lock(folder, "run.lock", doing), lock(folder, "write.lock", doing):
        before = load(folder)
        to_sign = key is not None and not (folder / SIGNATURE).exists()
        if before and before["files"] == files(folder, sealing=True) and not to_sign:
            return before
        found = findings(folder, before) if before else []
        _clean_notebooks(story, before)
        report.write(folder)
        _put_aside(folder)
        manifest = content(Story(folder), found)
        write_json(folder / MANIFEST, manifest)
    if key:
        signature.sign(folder / MANIFEST, key)
    return manifest


def load(folder: Path) -> Manifest | None:
    """The last manifest of a folder, None if it was never sealed; raises CheckFailed if it is none.

    An interrupted sealing leaves only the earlier ones.
    """
    path = next((p for p in (folder / MANIFEST, *reversed(seals(folder))) if p.exists()), None)
    return read(path) if path else None


def read(path: Path) -> Manifest:
    """A manifest; raises CheckFailed for anything else."""
    try:
        manifest: Manifest = json.loads(path.read_bytes())
        if manifest["format"] != FORMAT or not isinstance(manifest["files"], dict):
            raise ValueError(f"its format is not {FORMAT}")
        manifest["journal"]["lines"], manifest["sealed"]  # both must be there
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckFailed(
            f"Could not read the seal {path.name} of {path.parent.name}.",
            f"It is no manifest: {error!r}.",
            "put the whole change folder back from a copy",
        ) from error
    return manifest


def seals(folder: Path) -> list[Path]:
    """The earlier manifests, the oldest first."""
    return sorted((folder / SEALS).glob("*.json"))


def files(folder: Path, *, sealing: bool = False) -> dict[str, dict[str, Any]]:
    """SHA-256 and size in bytes of every file of a folder but the seal itself, by its path.

    Whoever seals holds the locks, which are empty once nobody does.
    """
    return {
        path.relative_to(folder).as_posix(): _measured(path, sealing and path.suffix == ".lock")
        for path in sorted(folder.rglob("*"))
        if (path.is_file() or path.is_symlink()) and path not in _seal(folder)
    }


def line_hashes(folder: Path) -> list[str]:
    """SHA-256 of each line of the journal."""
    path = folder / "journal.jsonl"
    texts = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    return [hashlib.sha256(text).hexdigest() for text in texts]


def findings(folder: Path, before: Manifest) -> list[str]:
    """What is not as an earlier seal has it, of what never changes; and what that one found."""
    there = files(folder)
    lines = line_hashes(folder)[: len(before["journal"]["lines"])]
    when = f"since the seal of {before['sealed']}"
    altered = ["journal.jsonl"] if lines != before["journal"]["lines"] else []
    altered += [
        name
        for name, about in before["files"].items()
        if about != there.get(name) and not any(fnmatch(name, one) for one in CHANGING)
    ]
    return [*before["findings"], *(f"{name} was altered or lost {when}" for name in altered)]


def _seal(folder: Path) -> tuple[Path, Path]:
    return folder / MANIFEST, folder / SIGNATURE


def _measured(path: Path, empty: bool) -> dict[str, Any]:
    if path.is_symlink():  # what it leads to may lie outside, and change
        return {"sha256": hashlib.sha256(str(path.readlink()).encode()).hexdigest(), "size": -1}
    content = b"" if empty else path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}


def _put_aside(folder: Path) -> None:
    """Moves the last seal among the earlier ones: first the signature, which is of no use alone."""
    numbers = [int(path.stem) for path in seals(folder)]
    name = f"{max(numbers, default=0) + 1:04}.json"
    for path in reversed(_seal(folder)):
        if path.exists():
            (folder / SEALS).mkdir(exist_ok=True)
            path.replace(folder / SEALS / f"{name}{path.name.removeprefix(MANIFEST)}")


def content(story: Story, found: list[str]) -> Manifest:
    parameters, hashes = story.parameters, line_hashes(story.folder)
    abouts = [run.about for run in story.runs]
    times = [about[name] for about in abouts for name in ("started", "ended") if name in about]
    times += [line["time"] for line in story.lines]
    carried = [line["plan"] for line in story.lines if line.get("changes") or _completes(line)]
    return {
        "format": FORMAT,
        "sealed": now(),
        "change": {
            "id": story.change_id,
            "state": story.state,
            **{name: parameters.get(name, "") for name in ("ticket", "note", "region", "bucket")},
            "account": parameters.get("expected_account", ""),
        },
        "plans": {"shown": sorted(story.plans), "carried out": _unique(carried)},
        "approvals": [
            {name: line.get(name, "") for name in ("plan", "by", "ticket", "time")}
            for line in story.lines
            if line["event"] == "approved"
        ],
        "callers": sorted(_unique(c for a in (*abouts, *story.lines) if (c := a.get("caller")))),
        "started": min(times, default=""),
        "ended": max(times, default=""),
        "runs": [
            {
                "pass": run.pass_name,
                "step": run.step,
                **{name: value for name, value in run.about.items() if name != "parameters"},
                "failed": run.failed,
            }
            for run in story.runs
        ],
        "checks": list(_checks(story)),
        "journal": {
            "head": hashes[-1] if hashes else hashlib.sha256(b"").hexdigest(),
            "lines": hashes,
        },
        "findings": found,
        "files": files(story.folder, sealing=True),
    }


def _checks(story: Story) -> Iterator[dict[str, str]]:
    for run in story.runs:
        for check in run.facts.get("checks", ()):
            name, state = check["name"], check["state"]
            yield {"pass": run.pass_name, "step": run.step, "name": name, "state": state}


def _completes(line: dict[str, Any]) -> bool:
    return bool(line["event"] == "complete")


def _unique(texts: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(texts))


def _clean_notebooks(story: Story, before: Manifest | None) -> None:
    """Takes out of notebooks that were not sealed yet what must not leave this machine.

    papermill writes the paths of the machine into them, and what a kernel prints by itself has
    passed no function of ours.
    """
    sealed = before["files"] if before else {}
    for pass_name in PASSES:
        for path in story.notebooks(pass_name):
            if path.relative_to(story.folder).as_posix() not in sealed:
                _clean_notebook(path)


def _clean_notebook(path: Path) -> None:
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        tidy = _tidy(text)
    except (AttributeError, KeyError, TypeError, ValueError):  # a kill has cut it short
        tidy = clean(text)
    write_text(path, tidy)


def _tidy(text: str) -> str:
    """A notebook with all of its texts clean; its pictures are none."""
    import nbformat  # takes over a second, and most commands seal nothing

    form: Any = nbformat  # which says nothing of its types
    notebook = form.v4.reads(text)  # joins the lines: a secret may have several
    about = notebook.metadata.get("papermill", {})
    for name in ("input_path", "output_path"):
        if about.get(name):
            about[name] = _within_project(Path(about[name]))
    pictures = {}
    for number, cell in enumerate(notebook.cells):
        for place, output in enumerate(cell.get("outputs", ())):
            data = output.get("data", {})
            for kind in [kind for kind in data if kind.startswith("image/")]:
                pictures[number, place, kind] = data.pop(kind)
    tidy = form.from_dict(cleaned(notebook))
    for (number, place, kind), picture in pictures.items():
        tidy.cells[number].outputs[place].data[kind] = picture
    return f"{form.v4.writes(tidy)}\n"


def _within_project(path: Path) -> str:
    top = project_directory()
    return path.relative_to(top).as_posix() if path.is_relative_to(top) else path.name

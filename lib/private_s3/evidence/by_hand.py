"""Whether what persons told of the instances is what the facts make of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from private_s3.clean import cleaned
from private_s3.evidence.finding import Finding, fail, note
from private_s3.evidence.story import Run, Story
from private_s3.ways_in import printed
from private_s3.ways_in.manual import BY_HAND, SCRIPT, Told, answers_file

FOLDER = re.compile(rf"{BY_HAND}/(plan|apply)/([0-9a-f]{{12}})")


def contradictions(story: Story) -> Iterator[Finding]:
    """Each observation of a step that asked by hand is in a file that is as it was when read."""
    for run in story.runs:
        by_hand = run.about.get("parameters", {}).get("check_by") == "manual"
        told, seen = run.facts.get(BY_HAND), run.facts.get("observations", ())
        where = f"facts/{run.pass_name}/{run.step}.json"
        if told is not None and not by_hand:
            yield fail(where, "tells of answers by hand, and its parameters of another way")
        elif by_hand and seen and told is None:
            yield fail(where, "tells what instances saw, and not by which files")
        elif told is not None:
            yield from _of_run(story, run, where)


def _of_run(story: Story, run: Run, where: str) -> Iterator[Finding]:
    told, seen = run.facts[BY_HAND], run.facts.get("observations", ())
    named = FOLDER.fullmatch(told["folder"])
    if not named or named[1] != run.pass_name:
        yield fail(where, f"names {told['folder']}, where this pass has no answers by hand")
        return
    folder, mark = story.folder / told["folder"], named[2]
    yield from _of_script(folder / SCRIPT, f"{told['folder']}/{SCRIPT}", told["script"], mark)
    if "observations" not in run.facts:  # it ended for want of answers
        return
    for one, about in told["answers"].items():
        path = answers_file(folder, one)
        ours = [item for item in seen if item["instance_id"] == one]
        wrong = _wrong(path, one, mark, about["sha256"], ours)
        name = path.relative_to(story.folder).as_posix()
        if wrong:
            yield fail(name, wrong)
        else:
            yield note(name, f"what {one} saw was told by hand; the script began {about['at']}")
    for one in sorted({item["instance_id"] for item in seen} - {*told["answers"]}):
        yield fail(where, f"tells what {one} saw, and names no file of it")


def _of_script(path: Path, name: str, digest: str, mark: str) -> Iterator[Finding]:
    if path.is_symlink() or not path.is_file():
        yield fail(name, "missing, or no plain file")
        return
    content = path.read_bytes()
    if digest != f"sha256 {hashlib.sha256(content).hexdigest()}":
        yield fail(name, "is not the script that the facts tell of")
    elif mark.encode() not in content:
        yield fail(name, "does not print its own mark")


def _wrong(path: Path, instance_id: str, mark: str, digest: str, seen: list[Any]) -> str:
    try:
        found = Told.read(path, instance_id, mark, [item["probe"] for item in seen])
    except FileNotFoundError:
        return "missing; the facts go by it"
    except printed.Unreadable as error:
        return f"is no answer to its script, though the facts go by it: {error}"
    if found.sha256 != digest:
        return "is not the file that was read"
    if cleaned([asdict(one) for one in found.observations]) != cleaned(seen):
        return "tells something else than the facts"
    return ""

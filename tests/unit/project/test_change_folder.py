"""The page about the change folder names each file and field of the folders that are kept."""

from __future__ import annotations

import json
import re
import tarfile
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from functools import cache
from typing import Any

import pytest

from private_s3.evidence import consistency, manifest
from tests import PROJECT
from tests.support.formats import FORMATS, kept
from tests.support.write_formats import STATES

PAGE = PROJECT / "runbooks/change-folder.md"
# The words in capitals that stand for a part of a file's name.
WORDS = {
    "PASS": "(plan|apply)",
    "STEP": r"\d\d_[a-z_]+(-\d+)?",
    "DIGEST": "[0-9a-f]{12}",
    "MARK": "[0-9a-f]{12}",
    "INSTANCE": "i-[0-9a-f]+",
    "NUMBER": r"\d{4}",
    r"\.FILE\.PID": r"(.+/)?\.[^/]+\.\d+",
}
# Fields whose content has names of its own: those of AWS, of parameters, of packages.
OPAQUE = {"request", "parameters", "versions", "aws_calls"}
SNAPSHOTS = {"snapshot", "origin"}
# Fields by a name that is data: a request of the matrix, a file, an instance.
BY_NAME = {"before", "after", "files", "answers"}


def rows(section: str, head: str) -> Iterator[tuple[str, list[str]]]:
    """Each name in the first column of a table, and the cells of its row."""
    text = PAGE.read_text(encoding="utf-8").partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    table = text.partition(f"\n| {head} |")[2].partition("\n\n")[0]
    for line in table.splitlines()[2:]:
        cells = line.strip("| ").split(" | ")
        for name in re.findall(r"`([^`]+)`", cells[0]):
            yield name, cells


def described(section: str, head: str) -> dict[str, bool]:
    """Each name in the first column of a table, and whether it is optional."""
    return {name: "(optional)" in cells[0] for name, cells in rows(section, head)}


@cache
def contents() -> dict[str, list[bytes]]:
    """The contents of every file of the kept folders, by its path within its folder."""
    found: dict[str, list[bytes]] = {}
    for folder in kept():
        with tarfile.open(folder.archive) as archive:
            for entry in archive:
                if file := archive.extractfile(entry):
                    path = entry.name.partition("/")[2]
                    found.setdefault(path, []).append(file.read())
    return found


def pattern(name: str) -> re.Pattern[str]:
    text = re.escape(name)
    for word, meaning in WORDS.items():
        text = text.replace(word, meaning)
    return re.compile(text)


def values(*names: str) -> Iterator[Any]:
    """The JSON values of the files that these patterns name, or of the lines of such files."""
    for path, texts in contents().items():
        if any(pattern(name).fullmatch(path) for name in names):
            for text in texts:
                pieces = text.splitlines() if path.endswith(".jsonl") else [text]
                yield from map(json.loads, pieces)


def fields(value: Any, where: str = "") -> Iterator[str]:
    """Each field of a JSON value, as the page writes it."""
    if isinstance(value, list):
        for part in value:
            yield from fields(part, where)
    if not isinstance(value, dict):
        return
    own = where.rpartition(".")[2]
    for name, part in value.items():
        path = f"{where}.{'*' if own in BY_NAME else name}".lstrip(".")
        yield path
        if name in SNAPSHOTS or (name in OPAQUE and own not in BY_NAME):
            continue
        yield from fields(part, path)


def snapshots() -> Iterator[str]:
    plans = [plan["seen"] for plan in values("plans/DIGEST.json")]
    for seen in [*plans, *values("left/DIGEST.json")]:
        for name in SNAPSHOTS & seen.keys():
            for resource, about in seen[name].items():
                kind = f"{resource.partition('/')[0]}/*"
                yield kind
                for one in about:
                    is_route = resource.startswith("route-table/")
                    yield f"{kind}.route *" if is_route else f"{kind}.{one}"


def compare(names: dict[str, bool], occurring: Iterable[str]) -> None:
    found = {*occurring}
    assert found - names.keys() == set(), "occurs and is not described"
    required = {name for name, optional in names.items() if not optional}
    assert required - found == set(), "is described and occurs nowhere"


@pytest.mark.parametrize(
    "names",
    [
        ("plans/DIGEST.json",),
        ("journal.jsonl",),
        ("journal.head",),
        ("facts/PASS/STEP.json",),
        ("left/DIGEST.json",),
        ("manifest.json", "seals/NUMBER.json"),
        ("corroboration.json",),
    ],
    ids=lambda names: names[0],
)
def test_the_page_names_each_field(names: tuple[str, ...]) -> None:
    found = (path for value in values(*names) for path in fields(value))
    compare(described(names[0], "field"), found)


def test_the_page_names_each_field_of_a_snapshot() -> None:
    compare(described("Snapshots", "resource and field"), snapshots())


def test_the_page_names_each_event() -> None:
    events = described("journal.jsonl", "event")
    assert {*events} == {*consistency.EVENTS}
    compare(events, (line["event"] for line in values("journal.jsonl")))


def test_the_page_names_each_file() -> None:
    names = described("Files", "file")
    patterns = {name: pattern(name) for name in names}
    matches = {path: [n for n, p in patterns.items() if p.fullmatch(path)] for path in contents()}
    assert [path for path, found in matches.items() if len(found) != 1] == []
    compare(names, (name for found in matches.values() for name in found))


def test_the_page_says_what_may_change_after_a_seal() -> None:
    for name, cells in rows("Files", "file"):
        may = any(fnmatch(name, one) for one in manifest.CHANGING)
        if not name.startswith(manifest.MANIFEST):  # which moves
            assert may is (cells[-1] != "never changes"), name


def test_the_page_names_the_format() -> None:
    assert ("format", ["`format`", f"`{manifest.FORMAT}`"]) in rows("manifest.json", "field")


def test_each_version_has_each_state() -> None:
    versions = {path.name for path in FORMATS.iterdir()}
    assert versions == {str(number) for number in range(1, len(versions) + 1)}
    for version in versions:
        assert {*STATES} <= {folder.state for folder in kept() if folder.version == version}

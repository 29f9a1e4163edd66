"""What a forger can do with a change folder who knows how its files are made."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from private_s3.evidence import manifest, signature
from private_s3.evidence.manifest import MANIFEST, SEALS, SIGNATURE
from private_s3.evidence.story import Story

Line = dict[str, Any]


def edit(path: Path, change: Callable[[Any], None]) -> None:
    """Changes the value that a JSON file holds."""
    value = json.loads(path.read_bytes())
    change(value)
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n")


def lines(folder: Path) -> list[Line]:
    """The lines of the journal."""
    return [json.loads(text) for text in (folder / "journal.jsonl").read_bytes().splitlines()]


def chain(folder: Path, told: list[Line]) -> None:
    """Writes a journal whose numbers, chain and head are right."""
    previous, texts = b"", []
    numbers = {line["number"]: number for number, line in enumerate(told, 1)}
    for number, line in enumerate(told, 1):
        new = {**line, "number": number, "previous": _hash(previous)}
        if "intent" in line:
            new["intent"] = numbers.get(line["intent"], line["intent"])
        previous = json.dumps(new, sort_keys=True).encode()
        texts.append(previous)
    (folder / "journal.jsonl").write_bytes(b"".join(text + b"\n" for text in texts))
    head = {"lines": len(texts), "hash": _hash(previous)}
    (folder / "journal.head").write_text(json.dumps(head) + "\n")


def seal_anew(folder: Path, key: Path | None, *, earlier: bool = True) -> None:
    """Seals a folder as if it had always been so; `earlier` keeps the seals before."""
    before = (folder / MANIFEST).read_bytes()
    (folder / SIGNATURE).unlink(missing_ok=True)
    (folder / MANIFEST).unlink()
    if not earlier:
        shutil.rmtree(folder / SEALS, ignore_errors=True)
    try:
        made = manifest.content(Story(folder), [])
    except (TypeError, ValueError, RecursionError):  # the library would not; a forger would
        made = {**json.loads(before), "files": manifest.files(folder)}
    (folder / MANIFEST).write_text(json.dumps(made))
    if key:
        signature.sign(folder / MANIFEST, key)


def _hash(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()

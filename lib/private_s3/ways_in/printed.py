"""The script as it goes where no agent carries it, and what it prints there, read strictly."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from private_s3 import probes
from private_s3.probes import Observation
from private_s3.ways_in.way import digest

LONGEST = 32_000  # characters that an instance can have to say
MARK = re.compile(r"[0-9a-f]{12}")
_FIRST = {"script": str, "at": str}
_LINE = {"probe": str, "exit": int, "seconds": int, "stdout": str, "stderr": str}
_TIME = re.compile(r"2\d{3}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
# What probes.sh lets through of each stream, and the most that a probe can take.
_WIDTHS, _SECONDS = {"probe": 20, "stdout": 200, "stderr": 600}, 600


class Unreadable(ValueError):
    """It is not what the script prints; says why."""


def mark(script: str, *about: str) -> str:
    """What tells this script, for this purpose, from every other."""
    return digest("\n".join([*about, script]))[:12]


def marked(script: str, mark: str) -> str:
    """The script so that it prints its mark first; of a script that is cut short nothing is run.

    A shell that reads it from its standard input reads all of it before it begins, and no command
    in it can take a part of it for its own input.
    """
    if not MARK.fullmatch(mark):
        raise ValueError(mark)
    first = f'{{"script":"{mark}","at":"%s"}}\\n'
    return f"{{\nprintf '{first}' \"$(date -u +%Y-%m-%dT%H:%M:%SZ)\"\n{script.rstrip()}\n}}\n"


def begun(text: str, mark: str) -> str:
    """When the script was begun there, by the clock of the instance."""
    return str(_first(_lines(text), mark)["at"])


def read(instance_id: str, text: str, mark: str, expected: Sequence[str]) -> list[Observation]:
    """One observation for each probe that is expected; raises Unreadable for anything else.

    That is a script of another mark, a line that is none of its lines, a probe that is missing or
    there twice, and an instance that calls itself by another id.
    """
    lines = _lines(text)
    _first(lines, mark)
    records = [_record(number, line, _LINE) for number, line in enumerate(lines[1:], 2)]
    for number, record in enumerate(records, 2):
        _require_sizes(number, record)
    found = [record["probe"] for record in records]
    if strange := [probe for probe in found if probe not in expected]:
        raise Unreadable(f"{', '.join(strange)} was not asked")
    if twice := sorted({probe for probe in found if found.count(probe) > 1}):
        raise Unreadable(f"{', '.join(twice)} is there twice")
    if missing := [probe for probe in expected if probe not in found]:
        raise Unreadable(f"{', '.join(missing)} is missing")
    seen = [probes.observation(instance_id, **record) for record in records]
    if other := [one.detail for one in seen if one.outcome == "another instance"]:
        raise Unreadable(f"it was printed on {other[0].partition(' ')[0] or 'no instance'}")
    return probes.in_order(seen)


def _lines(text: str) -> list[str]:
    if len(text) > LONGEST:
        raise Unreadable(f"it has {len(text)} characters, and the script prints fewer")
    if strange := re.search(r"[^\t\r\n -~]", text):
        raise Unreadable(f"it has the character {strange[0]!r}, which the script never prints")
    lines = [line.strip() for line in text.splitlines()]
    return [line for line in lines if line]


def _first(lines: Sequence[str], mark: str) -> dict[str, Any]:
    if not lines:
        raise Unreadable("it is empty")
    try:
        first = _record(1, lines[0], _FIRST)
    except Unreadable as error:
        raise Unreadable("it does not begin with the first line that the script prints") from error
    if first["script"] != mark:
        raise Unreadable(f"it was printed by the script {first['script'][:12]}, not by {mark}")
    if not _TIME.fullmatch(first["at"]):
        raise Unreadable(f"line 1: {first['at'][:30]!r} is no time")
    return first


def _record(number: int, line: str, form: Mapping[str, type]) -> dict[str, Any]:
    """A line as JSON: these names, each once, with values of these types."""
    try:
        found = json.loads(line, object_pairs_hook=list, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"line {number} is cut short, or no line of the script") from error
    pairs = found if isinstance(found, list) else []
    types = {pair[0]: type(pair[1]) for pair in pairs if isinstance(pair, tuple)}
    if types != form or len(pairs) != len(form):
        raise Unreadable(f"line {number} is no line of the script")
    return dict(pairs)


def _require_sizes(number: int, record: dict[str, Any]) -> None:
    wide = [name for name, width in _WIDTHS.items() if len(record[name]) > width]
    if wide or not 0 <= record["exit"] <= 255 or not 0 <= record["seconds"] <= _SECONDS:
        raise Unreadable(f"line {number} says more than the script can")


def _refuse(constant: str) -> None:
    raise ValueError(constant)

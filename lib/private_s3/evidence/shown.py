"""Whether the executed notebooks show what the facts of their steps say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import Any

from private_s3.clean import cleaned
from private_s3.evidence import executed
from private_s3.evidence.executed import Executed
from private_s3.evidence.finding import Finding, fail, note
from private_s3.evidence.story import PASSES, Run, Story, named

CHECKS = ["check", "state", "detail"]  # the header of a table of checks
Row = tuple[str, ...]
# papermill and its kernel take their times on one machine, but not at once.
SLACK = timedelta(seconds=5)


class _Tables(HTMLParser):
    """The tables of an HTML text, each as its rows of cells, the header first."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr" and self.tables:
            self.tables[-1].append([])
        elif tag in ("td", "th") and self.tables and self.tables[-1]:
            self.tables[-1][-1].append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.tables[-1][-1][-1] += data


def contradictions(story: Story) -> Iterator[Finding]:
    """Every step whose last executed notebook shows something else than its facts say."""
    for run in story.runs:
        if run.notebook is None:
            yield note(_facts(run), "was run elsewhere: there is no executed notebook")
        else:
            yield from _of_run(run, run.notebook.relative_to(story.folder).as_posix())
    kept = {(run.pass_name, run.notebook) for run in story.runs}
    for pass_name in PASSES:
        last = {named(path)[0]: path for path in story.notebooks(pass_name)}
        for path in last.values():
            if (pass_name, path) not in kept:
                yield note(path.relative_to(story.folder).as_posix(), "no facts are kept of it")


def _of_run(run: Run, where: str) -> Iterator[Finding]:
    assert run.notebook
    try:
        found = executed.read(run.notebook)
    except ValueError:
        yield note(where, "is cut short, as by a kill; what it shows cannot be read")
        return
    errors = [output for output in found.outputs if output["output_type"] == "error"]
    if _before(found.ended, run.started):
        yield note(_facts(run), f"is of a run that is not in {where}")
        return
    if found.by_hand and errors and "error" not in run.facts:
        yield note(where, f"ends with an error; what {_facts(run)} tells was run before it")
        return
    if _before(run.started, found.started):
        yield fail(_facts(run), f"is of a run before {where}")
    # What failed before it read its parameters has none among its facts.
    kept = run.about.get("parameters", found.parameters)
    if not _same(found.parameters, kept):
        yield fail(where, "was run with other parameters than its facts say")
    seen = list(_checks(found.outputs))
    told: list[Row] = [
        tuple(_spaced(str(check[name])) for name in ("name", "state", "detail"))
        for check in run.facts["checks"]
    ]
    yield from _of_checks(run, where, found, seen, told)
    yield from _of_error(run, where, errors)


def _of_checks(
    run: Run, where: str, found: Executed, seen: list[Row], told: list[Row]
) -> Iterator[Finding]:
    """Whether the checks that are shown are those of the facts."""
    if found.by_hand and not found.whole:
        yield note(where, "was not run once from top to bottom, or not saved at its end")
        # What a browser has not saved is not shown; what is shown must be told.
        told = [row for row in told if row in seen]
    # The table of the checks of which one fails is not shown, nor what came after a kill.
    ended = found.ended and "error" not in run.facts
    if not _same(seen, told if ended else told[: len(seen)]):
        yield fail(where, f"shows other checks than {_facts(run)}{_first(seen, told)}")


def _of_error(run: Run, where: str, errors: list[Any]) -> Iterator[Finding]:
    told = run.facts.get("error")
    if told is None:
        if errors:
            yield fail(where, f"shows an error; {_facts(run)} has none")
        return
    if not errors:
        if not told["lines"][0].startswith("Could not run "):  # its kernel has died
            yield fail(where, f"shows no error; {_facts(run)} has one")
        return
    kind, text = errors[-1]["ename"], errors[-1]["evalue"]
    ours = (kind, *text.split("\n")), (told["kind"], *told["lines"])
    if not (_same(*ours) or _same(f"{kind}: {text.partition(chr(10))[0]}", told["lines"][1])):
        yield fail(where, f"shows another error than {_facts(run)}")


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same; what was sealed has passed the cleaning once more."""
    return bool(one == other or cleaned(one) == cleaned(other))


def _before(one: str, other: str) -> bool:
    """Whether a moment was surely before another; not if one of them is not known."""
    if not (one and other):
        return False
    return datetime.fromisoformat(one) + SLACK < datetime.fromisoformat(other)


def _checks(outputs: list[Any]) -> Iterator[Row]:
    for output in outputs:
        html = "".join(output.get("data", {}).get("text/html", ""))
        parser = _Tables()
        if ">check<" in html:  # parsing takes longer than looking
            parser.feed(html)
        for head, *rows in filter(None, parser.tables):
            if head == CHECKS:
                yield from (tuple(map(_spaced, row)) for row in rows)


def _spaced(text: str) -> str:
    """The text with single spaces: tables in HTML keep no others, and show line ends as \\n."""
    return " ".join(re.sub(r"\\[nrt]", " ", text).split())


def _first(seen: list[Row], kept: list[Row]) -> str:
    """Where two lists of checks first differ."""
    if len(seen) != len(kept):
        return f": {len(seen)} instead of {len(kept)}"
    pairs = zip(seen, kept, strict=True)
    return next((f": {one[0]!r} is {one[1]}" for one, other in pairs if one != other), "")


def _facts(run: Run) -> str:
    return f"facts/{run.pass_name}/{run.step}.json"

"""What a script that no agent carries prints, and all that is not taken for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from private_s3 import probes
from private_s3.ways_in import printed
from private_s3.ways_in.printed import Unreadable

ONE, TWO = "i-0123456789abcdef0", "i-0fedcba9876543210"
MARK = "0123456789ab"
ASKED = ("identity", "list", "internet")
FIRST = {"script": MARK, "at": "2026-11-26T10:00:00Z"}
Records = list[dict[str, Any]]


def line(probe: str, exit: int = 0, stdout: str = "", stderr: str = "") -> dict[str, Any]:
    return {"probe": probe, "exit": exit, "seconds": 1, "stdout": stdout, "stderr": stderr}


def answer() -> Records:
    """All that a script prints, in the order in which its probes may end."""
    return [
        FIRST,
        line("internet", 28, "HTTP 000", "curl: (28) Connection timed out"),
        line("identity", 0, f"{ONE} eu-west-1 app"),
        line("list", 0, '"keys: 2" '),
    ]


def text(records: Records) -> str:
    return "".join(f"{json.dumps(record)}\n" for record in records)


def read(said: str) -> list[probes.Observation]:
    return printed.read(ONE, said, MARK, ASKED)


def test_an_answer_is_read_in_the_order_of_the_probes() -> None:
    assert [(one.probe, one.outcome, one.detail) for one in read(text(answer()))] == [
        ("identity", "succeeded", f"{ONE} eu-west-1 app"),
        ("list", "succeeded", "keys: 2"),
        ("internet", "timeout", ""),
    ]
    assert printed.begun(text(answer()), MARK) == "2026-11-26T10:00:00Z"


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said.replace("\n", "\r\n"),
        lambda said: said.replace("\n", "\n\n"),
        lambda said: said.strip(),
        lambda said: "".join(f"  {one} \t\n" for one in said.splitlines()),
    ],
)
def test_what_a_terminal_or_an_editor_does_between_lines_does_not_matter(
    change: Callable[[str], str],
) -> None:
    assert read(change(text(answer()))) == read(text(answer()))


def with_line(number: int, **values: Any) -> str:
    records = answer()
    records[number] = {**records[number], **values}
    return text(records)


def without(number: int, name: str) -> str:
    records = answer()
    records[number] = {key: value for key, value in records[number].items() if key != name}
    return text(records)


WHOLE = text(answer())
REFUSED = {
    "nothing": ("", "it is empty"),
    "blank lines": ("\n \n", "it is empty"),
    "another script": (with_line(0, script="ba9876543210"), "by the script ba9876543210, not by"),
    "half a mark": (with_line(0, script=MARK[:6]), f"by the script {MARK[:6]}, not by"),
    "no mark": (with_line(0, script=""), "by the script , not by"),
    "no first line": (text(answer()[1:]), "does not begin with the first line"),
    "a greeting before": (f"Welcome!\n{WHOLE}", "does not begin with the first line"),
    "a prompt before": (f"$ sh check.sh\n{WHOLE}", "does not begin with the first line"),
    "more in the first line": (with_line(0, more="x"), "does not begin with the first line"),
    "no time": (with_line(0, at="today"), "'today' is no time"),
    "a long time": (with_line(0, at="2026-11-26T10:00:00Z and more"), "is no time"),
    "a probe missing": (text(answer()[:-1]), "list is missing"),
    "two probes missing": (text(answer()[:-2]), "identity, list is missing"),
    "a probe twice": (text([*answer(), line("list", 255)]), "list is there twice"),
    "the same line twice": (text([*answer(), answer()[-1]]), "list is there twice"),
    "a probe that was not asked": (text([*answer(), line("write")]), "write was not asked"),
    "an unknown probe": (with_line(3, probe="reboot"), "reboot was not asked"),
    "cut short": (WHOLE[:-20], "line 4 is cut short"),
    "wrapped": (WHOLE.replace("Connection ", "Connection\n"), "line 2 is cut short"),
    "a list": (f'{WHOLE}["probe"]\n', "line 5 is no line of the script"),
    "a text": (f'{WHOLE}"probe"\n', "line 5 is no line of the script"),
    "nested": (with_line(3, stdout={"a": "b"}), "line 4 is no line of the script"),
    "another name": (with_line(3, by="me"), "line 4 is no line of the script"),
    "a name missing": (without(3, "stderr"), "line 4 is no line of the script"),
    "a number as text": (with_line(3, exit="0"), "line 4 is no line of the script"),
    "a truth for a number": (with_line(3, exit=False), "line 4 is no line of the script"),
    "a fraction": (with_line(3, seconds=0.5), "line 4 is no line of the script"),
    "none": (with_line(3, stdout=None), "line 4 is no line of the script"),
    "a number for text": (with_line(3, stdout=1), "line 4 is no line of the script"),
    "a name twice": (WHOLE.replace('"exit": 28', '"exit": 0, "exit": 28'), "line 2 is no line"),
    "not a number": (WHOLE.replace('"seconds": 1', '"seconds": NaN', 1), "line 2 is cut short"),
    "an endless number": (WHOLE.replace('": 1,', f'": {"9" * 9000},', 1), "line 2 is cut short"),
    "a deep nest": (f"{WHOLE}{'[' * 20000}\n", "line 5 is cut short"),
    "another exit code": (with_line(3, exit=256), "line 4 says more than the script can"),
    "a negative exit code": (with_line(3, exit=-1), "line 4 says more than the script can"),
    "a day": (with_line(3, seconds=86400), "line 4 says more than the script can"),
    "a negative time": (with_line(3, seconds=-1), "line 4 says more than the script can"),
    "long output": (with_line(3, stdout="x" * 201), "line 4 says more than the script can"),
    "long errors": (with_line(1, stderr="x" * 601), "line 2 says more than the script can"),
    "too much of it all": (WHOLE + " " * 32_000, "and the script prints fewer"),
    "another alphabet": (WHOLE.replace("keys", "k\u00e9ys"), "'\u00e9'"),
    "a control character": (WHOLE + "\x1b[0m", "'\\x1b'"),
    "another instance": (with_line(2, stdout=f"{TWO} eu-west-1 app"), f"printed on {TWO}"),
    "an id that is longer": (with_line(2, stdout=f"{ONE}0 eu-west-1 app"), f"on {ONE}0"),
    "no id": (with_line(2, stdout=""), "it was printed on no instance"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_the_script_does_not_print_is_refused_with_the_reason(case: str) -> None:
    said, reason = REFUSED[case]
    with pytest.raises(Unreadable, match=re.escape(reason)):
        read(said)


def test_an_instance_that_cannot_say_who_it_is_is_believed_to_be_that() -> None:
    """Its identity is then no success, which the checks tell."""
    records = answer()
    records[2] = line("identity", 28, "", "curl: (28) Connection timed out")
    assert [one.outcome for one in read(text(records))] == ["timeout", "succeeded", "timeout"]


def test_the_mark_is_of_the_script_and_of_what_it_is_for() -> None:
    marks = {
        printed.mark("script"),
        printed.mark("another"),
        printed.mark("script", "plan"),
        printed.mark("script", "apply"),
        printed.mark("script", "plan", "apply"),
        printed.mark("script", "apply", "plan"),
    }
    assert len(marks) == 6 and all(printed.MARK.fullmatch(one) for one in marks)
    assert printed.mark("script", "plan") == printed.mark("script", "plan")


@pytest.mark.parametrize("mark", ["", "x", '0123456789a"', "0123456789ab\n", "$(reboot)    "])
def test_nothing_but_a_mark_is_put_into_the_script(mark: str) -> None:
    with pytest.raises(ValueError):
        printed.marked("true", mark)

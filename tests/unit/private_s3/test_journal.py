"""The journal: what it tells of each write, and that nobody can change it unseen."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from private_s3.errors import CheckFailed
from private_s3.journal import Fate, Journal, lock

Lines = list[bytes]
EMPTY = hashlib.sha256(b"").hexdigest()


def filled(folder: Path, count: int = 5) -> Journal:
    """A journal of a few lines."""
    made = Journal(folder)
    for number in range(count):
        made.append("planned", step="20_x", plan=f"{number:012x}")
    return made


def path_of(folder: Path) -> Path:
    return folder / "journal.jsonl"


def head_of(folder: Path) -> Path:
    return folder / "journal.head"


def fault(folder: Path) -> str:
    """What is found wrong with the journal, by who reads it and by who adds to it."""
    before = path_of(folder).read_bytes() if path_of(folder).exists() else b""
    with pytest.raises(CheckFailed) as read:
        Journal(folder).lines()
    with pytest.raises(CheckFailed) as added:
        Journal(folder).append("planned")
    assert str(read.value) == str(added.value)
    assert f"Could not trust the journal of {folder.name}" in read.value.attempted
    assert path_of(folder).read_bytes() == before  # the evidence stays as it is
    return read.value.answer


# -- the lines ------------------------------------------------------------------------------------


def test_each_line_has_its_number_its_time_and_the_hash_of_the_one_before(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    whole = path_of(tmp_path).read_bytes().splitlines()
    lines = Journal(tmp_path).lines()
    assert [line["number"] for line in lines] == [1, 2, 3]
    assert [line["previous"] for line in lines] == [
        hashlib.sha256(line).hexdigest() for line in (b"", *whole[:-1])
    ]
    assert all(re.fullmatch(r"[\d-]{10}T[\d:.]{12}\+00:00", line["time"]) for line in lines)
    head = json.loads(head_of(tmp_path).read_bytes())
    assert head == {"lines": 3, "hash": hashlib.sha256(whole[-1]).hexdigest()}


def test_a_line_that_was_added_is_on_the_disk_before_its_head(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, told = filled(tmp_path, 1), []

    def save_head(lines: int, _: str) -> None:
        told.append((lines, path_of(tmp_path).read_bytes().count(b"\n")))

    monkeypatch.setattr(made, "_save_head", save_head)
    monkeypatch.setattr(os, "fsync", lambda _: told.append("to disk"))
    assert made.append("planned") == 2
    assert told == ["to disk", (2, 2)]


def test_without_a_folder_there_are_no_lines_and_none_is_made(tmp_path: Path) -> None:
    assert Journal(tmp_path / "none").lines() == []
    assert Journal(tmp_path / "none").writes() == []
    assert not (tmp_path / "none").exists()


# -- the writes -----------------------------------------------------------------------------------

KEYS = [["bucket/data", "policy"]]
INTENT = {
    "step": "40_x",
    "plan": "0123456789ab",
    "operation": "PutBucketPolicy",
    "request": {"Bucket": "data"},
    "changes": KEYS,
}


@pytest.mark.parametrize(
    ("about", "fate", "values"),
    [
        ([], "unknown", {}),
        ([("outcome", {"values": {"endpoint_id": "vpce-1"}})], "done", {"endpoint_id": "vpce-1"}),
        ([("refused", {"answer": "no"})], "not done", {}),
        ([("unanswered", {"answer": "silence"})], "unknown", {}),
        (
            [("unanswered", {}), ("settled", {"found": "done", "values": {"a": 1}})],
            "done",
            {"a": 1},
        ),
        ([("unanswered", {}), ("settled", {"found": "not done", "values": {}})], "not done", {}),
        ([("settled", {"found": "done", "values": {}})], "done", {}),  # a crash, and its repair
        # What AWS has answered stands, also if somebody looked before and wrote it down after.
        ([("outcome", {"values": {}}), ("settled", {"found": "not done"})], "done", {}),
        ([("settled", {"found": "not done"}), ("outcome", {"values": {}})], "done", {}),
    ],
)
def test_what_became_of_a_write_is_put_together_from_the_lines_about_it(
    tmp_path: Path, about: list[tuple[str, dict[str, Any]]], fate: Fate, values: dict[str, Any]
) -> None:
    made = Journal(tmp_path)
    made.append("planned", plan="0123456789ab")
    number = made.append("intent", **INTENT)
    for event, details in about:
        made.append(event, intent=number, **details)
    (write,) = made.writes()
    assert (write.number, write.fate, write.values) == (number, fate, values)
    assert write.changes == (("bucket/data", "policy"),)
    assert (write.step, write.plan, write.operation) == ("40_x", "0123456789ab", "PutBucketPolicy")
    assert write.request == {"Bucket": "data"}


def test_writes_are_told_apart_and_in_their_order(tmp_path: Path) -> None:
    made = Journal(tmp_path)
    first, second = (made.append("intent", **INTENT) for _ in range(2))
    made.append("refused", intent=second)
    made.append("outcome", intent=first)
    assert [(write.number, write.fate) for write in made.writes()] == [
        (first, "done"),
        (second, "not done"),
    ]


# -- tampering ------------------------------------------------------------------------------------


def chained(lines: Lines) -> Lines:
    """The lines with numbers and hashes that fit, as a forger would leave them."""
    result: Lines = []
    for number, text in enumerate(lines, 1):
        previous = hashlib.sha256(result[-1] if result else b"").hexdigest()
        line = {**json.loads(text), "number": number, "previous": previous}
        result.append(json.dumps(line, sort_keys=True).encode())
    return result


def renamed(lines: Lines) -> Lines:
    return [line.replace(b"20_x", b"20_y") for line in lines]


@pytest.mark.parametrize(
    ("tamper", "found"),
    [
        (lambda lines: lines[:-1], "1 of 5 lines are missing at the end"),
        (lambda lines: lines[:-2], "2 of 5 lines are missing at the end"),
        (lambda lines: [], "5 of 5 lines are missing at the end"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "line 1 does not follow line 0"),
        (lambda lines: [*lines[:3], lines[4], lines[3]], "line 4 does not follow line 3"),
        (lambda lines: [*lines[:2], *lines[3:]], "line 3 does not follow line 2"),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], "line 3 does not follow line 2"),
        (lambda lines: [b"", *lines], "line 1 does not follow line 0"),
        (lambda lines: [*lines[:2], b"[]", *lines[2:]], "line 3 does not follow line 2"),
        (lambda lines: [lines[0].replace(b"20_x", b"20_y"), *lines[1:]], "line 2 does not follow"),
        (lambda lines: chained([*lines[:2], *lines[3:]]), "1 of 5 lines are missing at the end"),
        (lambda lines: chained([*lines[:2], lines[1], *lines[2:]]), "line 5 is not the one"),
        (lambda lines: chained([*lines, lines[1], lines[1]]), "2 lines follow the last that"),
        (lambda lines: chained(renamed(lines)), "line 5 is not the one that was written"),
        (
            lambda lines: [*lines, chained([*lines, lines[1]])[-1].replace(b": 6", b": 7")],
            "line 6 does not follow line 5",
        ),
        (lambda lines: [*lines[:-1], *renamed(lines[-1:])], "line 5 is not the one"),
    ],
)
def test_a_journal_that_somebody_has_changed_is_refused_and_the_place_named(
    tmp_path: Path, tamper: Callable[[Lines], Lines], found: str
) -> None:
    filled(tmp_path)
    lines = tamper(path_of(tmp_path).read_bytes().splitlines())
    path_of(tmp_path).write_bytes(b"".join(line + b"\n" for line in lines))
    assert found in fault(tmp_path)


def test_any_byte_that_is_changed_is_found(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    whole = path_of(tmp_path).read_bytes()
    with path_of(tmp_path).open("r+b", buffering=0) as file:
        for place, byte in enumerate(whole):
            for other in {byte ^ 1, ord("\n"), ord("\r")} - {byte}:
                os.pwrite(file.fileno(), bytes([other]), place)
                with pytest.raises(CheckFailed, match="Could not trust the journal"):
                    Journal(tmp_path).lines()
            os.pwrite(file.fileno(), bytes([byte]), place)
    assert path_of(tmp_path).read_bytes() == whole
    assert len(Journal(tmp_path).lines()) == 3


def test_a_journal_without_its_end_at_any_place_is_found(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    whole = path_of(tmp_path).read_bytes()
    for end in range(len(whole)):
        path_of(tmp_path).write_bytes(whole[:end])
        with pytest.raises(CheckFailed, match="of 3 lines are missing at the end"):
            Journal(tmp_path).lines()


def test_line_ends_that_a_copy_has_changed_are_found(tmp_path: Path) -> None:
    filled(tmp_path)
    path_of(tmp_path).write_bytes(path_of(tmp_path).read_bytes().replace(b"\n", b"\r\n"))
    assert "line 2 does not follow line 1" in fault(tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b"5", b'{"lines": "x", "hash": ""}'])
def test_a_head_that_is_gone_or_makes_no_sense_is_found(
    tmp_path: Path, content: bytes | None
) -> None:
    filled(tmp_path)
    if content is None:
        head_of(tmp_path).unlink()
    else:
        head_of(tmp_path).write_bytes(content)
    assert fault(tmp_path) == "journal.head is missing or unreadable"


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (-1, "journal.head is missing or unreadable"),
        (0, "5 lines follow the last"),
        (4, "line 4 is not the one that was written"),
        (6, "1 of 6 lines are missing"),
    ],
)
def test_a_head_that_counts_otherwise_is_found(tmp_path: Path, lines: int, found: str) -> None:
    filled(tmp_path)
    head = json.loads(head_of(tmp_path).read_bytes())
    head_of(tmp_path).write_text(json.dumps({**head, "lines": lines}))
    assert found in fault(tmp_path)


def test_a_head_without_sense_is_found_before_the_first_line(tmp_path: Path) -> None:
    head_of(tmp_path).write_text(json.dumps({"lines": -1, "hash": ""}))
    assert fault(tmp_path) == "journal.head is missing or unreadable"


def test_a_journal_that_is_gone_is_found_by_its_head(tmp_path: Path) -> None:
    filled(tmp_path)
    path_of(tmp_path).unlink()
    with pytest.raises(CheckFailed, match="5 of 5 lines are missing at the end"):
        Journal(tmp_path).lines()
    with pytest.raises(CheckFailed, match="5 of 5 lines are missing at the end"):
        Journal(tmp_path).append("planned")


# -- crashes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [0, 1, 3])
def test_a_line_that_a_crash_cut_short_is_no_line_and_is_kept_in_the_next(
    tmp_path: Path, before: int
) -> None:
    made = filled(tmp_path, before)
    if not before:
        head_of(tmp_path).write_text(json.dumps({"lines": 0, "hash": EMPTY}))
    torn = '{"event": "intent", "operation": "PutBucketPolicy", "note": "k\u00e4'.encode()[:-1]
    with path_of(tmp_path).open("ab") as file:
        file.write(torn)
    assert len(made.lines()) == before
    assert made.append("planned", step="20_x") == before + 1
    assert made.append("planned", step="20_x") == before + 2
    lines = made.lines()
    assert len(lines) == before + 2
    assert lines[before]["torn"] == torn.decode(errors="replace")
    assert [number for number, line in enumerate(lines) if "torn" in line] == [before]


@pytest.mark.parametrize("before", [0, 1, 3])
def test_a_crash_between_a_line_and_its_head_is_no_tampering(tmp_path: Path, before: int) -> None:
    made = filled(tmp_path, before)
    head = json.dumps({"lines": 0, "hash": EMPTY}).encode()
    if before:
        head = head_of(tmp_path).read_bytes()
    made.append("intent", **INTENT)
    head_of(tmp_path).write_bytes(head)
    assert len(made.lines()) == before + 1
    assert made.append("outcome", intent=before + 1) == before + 2
    assert len(made.lines()) == before + 2 and made.writes()[0].fate == "done"


@pytest.mark.parametrize("content", [None, b"", b'{"event"'])
def test_a_crash_before_the_first_line_is_no_tampering(
    tmp_path: Path, content: bytes | None
) -> None:
    """Whatever of the two files is there by then."""
    if content is not None:
        path_of(tmp_path).write_bytes(content)
    if content:
        head_of(tmp_path).write_text(json.dumps({"lines": 0, "hash": EMPTY}))
    assert Journal(tmp_path).lines() == []
    assert Journal(tmp_path).append("planned") == 1
    assert len(Journal(tmp_path).lines()) == 1


# -- several at once ------------------------------------------------------------------------------


ADD = """
import sys
from pathlib import Path
from private_s3.journal import Journal
print("ready", flush=True)
sys.stdin.readline()
for number in range(40):
    Journal(Path(sys.argv[1])).append("planned", step=sys.argv[2], plan=str(number))
"""


def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    folder, names = tmp_path / "change", ("a", "b", "c")
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with ExitStack() as stack:
        commands = [[sys.executable, "-c", ADD, str(folder), name] for name in names]
        workers = [stack.enter_context(subprocess.Popen(line, **pipes)) for line in commands]
        assert [worker.stdout.readline() for worker in workers] == ["ready\n"] * 3
        for worker in workers:
            worker.stdin.write("\n")
            worker.stdin.flush()
        while any(worker.poll() is None for worker in workers):
            Journal(folder).lines()  # who reads meanwhile is not told of tampering
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    lines = Journal(folder).lines()
    assert len(lines) == 120
    for name in names:
        assert [line["plan"] for line in lines if line["step"] == name] == [*map(str, range(40))]


def test_who_reads_waits_until_line_and_head_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, between, go_on = filled(tmp_path, 2), threading.Event(), threading.Event()
    save = made._save_head

    def slow(*about: Any) -> None:
        between.set()
        go_on.wait(10)
        save(*about)

    monkeypatch.setattr(made, "_save_head", slow)
    writer = threading.Thread(target=made.append, args=("planned",))
    writer.start()
    assert between.wait(10)
    threading.Timer(0.2, go_on.set).start()
    assert len(Journal(tmp_path).lines()) == 3
    assert go_on.is_set()
    writer.join()


def test_two_that_begin_a_journal_at_once_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one has found no journal, and the other could write two lines before it goes on."""
    made, other = Journal(tmp_path), threading.Thread(target=filled, args=(tmp_path, 2))
    save = made._save_head

    def slow(lines: int, last: str) -> None:
        if not lines:
            other.start()
            other.join(0.3)
        save(lines, last)

    monkeypatch.setattr(made, "_save_head", slow)
    made.append("planned")
    other.join()
    assert len(Journal(tmp_path).lines()) == 3


# -- locks ----------------------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from private_s3.journal import lock
with lock(Path(sys.argv[1]), "write.lock", "apply plan 0123456789ab"):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_run_is_refused_and_told_who_is_at_work(tmp_path: Path) -> None:
    folder = tmp_path / "rehearsal"
    with holder(folder) as process:
        with pytest.raises(CheckFailed) as refused, lock(folder, "write.lock", "apply plan x"):
            raise AssertionError("held twice")
        assert refused.value.attempted == (
            "Could not apply plan x of rehearsal: another run of this change is at work."
        )
        assert f"It is process {process.pid}, since 20" in refused.value.answer
        assert refused.value.exit_code == 1
        with lock(folder, "run.lock", "run"):
            pass  # another lock is free


def test_a_lock_is_free_once_its_holder_was_killed(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with lock(tmp_path, "write.lock", "apply plan x"):
            told = (tmp_path / "write.lock").read_text()
    assert re.fullmatch(rf"process {os.getpid()}, since [\d-]+T[\d:]+\+00:00", told)


def test_a_lock_is_free_after_its_work_and_after_an_error(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), lock(tmp_path, "write.lock", "do"):
            raise ZeroDivisionError
    started = time.monotonic()
    with lock(tmp_path, "write.lock", "do"):
        assert time.monotonic() - started < 1


def test_a_lock_that_was_just_taken_has_no_name_yet(tmp_path: Path) -> None:
    with holder(tmp_path):
        (tmp_path / "write.lock").write_text("")
        with (
            pytest.raises(CheckFailed, match="a process that just began"),
            lock(tmp_path, "write.lock", "do"),
        ):
            raise AssertionError("held twice")

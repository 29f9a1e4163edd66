"""A long wait is displayed in JupyterLab with what it waits for; elsewhere nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import IPython.display
import pytest

from private_s3 import aws, observe, progress
from private_s3.errors import AwsRefused
from private_s3.journal import Outcome
from private_s3.record import Check
from private_s3.ways_in import ssm as run_command


class Screen:
    """What is displayed, by place, and what has been displayed there."""

    def __init__(self) -> None:
        self.seen: list[dict[str, str]] = []
        self.places: list[dict[str, str]] = []

    def display(self, data: dict[str, str], *, raw: bool, display_id: bool) -> Any:
        assert raw and display_id
        self.places.append(data)
        self.seen.append(data)
        place = len(self.places) - 1

        def update(data: dict[str, str], *, raw: bool) -> None:
            assert raw
            self.places[place] = data
            self.seen.append(data)

        return SimpleNamespace(update=update)

    @property
    def lines(self) -> list[str]:
        return [data["text/plain"] for data in self.seen]


class Clock:
    """A clock that only `sleep` moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    monkeypatch.setattr(aws, "time", clock)
    return clock


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    """A screen that somebody watches."""
    screen = Screen()
    monkeypatch.setattr(IPython.display, "display", screen.display)
    monkeypatch.setattr(progress, "_watched", lambda: True)
    yield screen
    assert not progress._waits and progress._place is None


def test_a_short_wait_shows_nothing(screen: Screen, clock: Clock) -> None:
    with progress.waiting("the endpoint", 60) as tick:
        for _ in range(19):
            clock.sleep(0.1)
            tick()
    assert not screen.seen


def test_a_long_wait_says_for_what_how_long_and_how_far(screen: Screen, clock: Clock) -> None:
    with progress.waiting("the answers of 4 instances", 340) as tick:
        for number in range(4):
            clock.sleep(1)
            tick(f"{number} of 4 answered")
        assert len(screen.places) == 1
        html = screen.places[0]["text/html"]
        assert '<progress value="4" max="340"></progress>' in html
        assert "Waiting for the answers of 4 instances: 4 s of at most 340 s" in html
        assert "3 of 4 answered" in html
    assert screen.places == [{"text/plain": "Waited 4 s for the answers of 4 instances."}]


def test_a_wait_past_its_limit_does_not_name_the_limit(screen: Screen, clock: Clock) -> None:
    with progress.waiting("the endpoint", 60) as tick:
        clock.sleep(61)
        tick()
        assert "at most" not in screen.lines[-1]
        assert 'value="60" max="60"' in screen.seen[-1]["text/html"]


def test_a_wait_without_a_limit_has_a_bar_without_an_end(screen: Screen, clock: Clock) -> None:
    with progress.waiting("every page of list_objects_v2") as tick:
        clock.sleep(3)
        tick()
    assert "<progress></progress>" in screen.seen[0]["text/html"]
    assert screen.lines[0] == "Waiting for every page of list_objects_v2: 3 s"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_bar_is_gone_also_when_the_wait_fails(
    screen: Screen, clock: Clock, error: type[BaseException]
) -> None:
    with pytest.raises(error), progress.waiting("the endpoint", 60) as tick:
        clock.sleep(3)
        tick()
        raise error
    assert screen.places == [{"text/plain": "Waited 3 s for the endpoint."}]


def test_a_wait_within_a_wait_is_shown_in_the_same_place(screen: Screen, clock: Clock) -> None:
    with progress.waiting("AWS to act", 60) as outer:
        for _ in range(2):
            with progress.waiting("the answers", 99) as inner:
                clock.sleep(3)
                inner()
            outer()
    assert len(screen.places) == 1
    assert screen.lines == [
        "Waiting for the answers: 3 s of at most 99 s",
        "Waited 3 s for the answers.",
        "Waiting for AWS to act: 3 s of at most 60 s",
        "Waiting for AWS to act: 6 s of at most 60 s\nWaiting for the answers: 3 s of at most 99 s",
        "Waiting for AWS to act: 6 s of at most 60 s",
        "Waiting for AWS to act: 6 s of at most 60 s",
        "Waited 6 s for AWS to act.",
    ]


def test_markup_and_secrets_in_what_is_waited_for_are_not_shown_as_such(
    screen: Screen, clock: Clock
) -> None:
    with progress.waiting("<script>alert(1)</script>", 60) as tick:
        clock.sleep(3)
        tick("password=correct-horse-battery")
    tags: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append(tag)  # type: ignore[method-assign]
    parser.feed(screen.seen[0]["text/html"])
    assert tags == ["div", "progress"]
    assert "correct-horse" not in str(screen.seen)


@pytest.mark.parametrize("broken", ["display", "update"])
def test_what_cannot_be_displayed_does_not_end_the_wait(
    screen: Screen, clock: Clock, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        if broken == "display":
            raise OSError
        return SimpleNamespace(update=lambda *_, **__: 1 / 0)

    monkeypatch.setattr(IPython.display, "display", fails)
    with progress.waiting("the endpoint", 60) as tick:
        for _ in range(3):
            clock.sleep(3)
            tick()


def test_polls_and_repeated_writes_show_what_they_wait_for(screen: Screen, clock: Clock) -> None:
    aws.wait("the endpoints to serve", lambda: clock.now, lambda now: now > 10, 60)
    assert any("Waiting for the endpoints to serve: " in line for line in screen.lines)
    answers = iter([AwsRefused("a", "b", "c", "Throttling", passing=True)] * 4)

    def attempt() -> None:
        if answer := next(answers, None):
            raise answer

    aws.again(attempt)
    assert screen.lines[-2:] == [
        "Waiting for AWS to take the change: 4 s; it answered Throttling to attempt 4 of 5",
        "Waited 8 s for AWS to take the change.",
    ]


def test_a_long_listing_shows_how_far_it_is(screen: Screen, clock: Clock) -> None:
    def paginate() -> Iterator[dict[str, list[int]]]:
        for number in range(5):
            clock.sleep(1)
            yield {"Items": [number]}

    client = SimpleNamespace(get_paginator=lambda _: SimpleNamespace(paginate=paginate))
    assert aws.pages(client, "list_items", "Items") == [0, 1, 2, 3, 4]
    assert "Waiting for every page of list_items: 5 s; 5 so far" in screen.lines


def test_the_answers_of_instances_are_counted(
    screen: Screen, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = {"i-1": 5.0, "i-2": 11.0}

    def invocation(*, CommandId: str, InstanceId: str) -> dict[str, str]:
        status = "Success" if clock.now >= ends[InstanceId] else "InProgress"
        return {"Status": status, "StandardOutputContent": ""}

    ssm: Any = SimpleNamespace(
        send_command=lambda **_: {"Command": {"CommandId": "c"}, "ResponseMetadata": {}},
        get_command_invocation=invocation,
        exceptions=SimpleNamespace(InvocationDoesNotExist=KeyError),
    )
    monkeypatch.setattr(run_command, "managed", lambda _, ids: dict.fromkeys(ids, "Online"))
    run_command.run(ssm, lambda *_: nullcontext(Outcome()), [*ends], "the script")
    assert len(screen.places) == 1
    told = [line.rpartition("; ")[2] for line in screen.lines[:-1]]
    assert [*dict.fromkeys(told)] == ["0 of 2 answered", "1 of 2 answered"]
    assert "Waiting for the answers of 2 instances: 3 s of at most 340 s" in screen.lines[0]


def test_asking_again_until_aws_has_acted_is_a_wait(
    screen: Screen, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: Any = SimpleNamespace(observations=[], checks=list)
    late: Any = SimpleNamespace(facts=list, checks=lambda: [Check.of("it acts", clock.now > 10)])
    monkeypatch.setattr(observe, "_settling", lambda _: 60)
    monkeypatch.setattr(observe, "_ask_instances", lambda *_, **__: answers)
    monkeypatch.setattr(observe, "compare", lambda *_, **__: late)
    record = SimpleNamespace(
        parameters=SimpleNamespace(applying=True), fact=lambda name, value: None
    )
    planned: Any = SimpleNamespace(
        record=record,
        account=None,
        plan=SimpleNamespace(undo=False),
        matrix=SimpleNamespace(by_caller=[]),
    )
    observe.observe(planned)
    assert screen.lines[0].startswith("Waiting for AWS to act on what was written: 3 s of at most")
    assert screen.lines[-1].startswith("Waited 1")


@pytest.mark.parametrize("session", ["", "notebook.ipynb"])
def test_outside_a_kernel_nothing_is_written(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], session: str
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", session)
    with progress.waiting("the endpoint", 60) as tick:
        clock.sleep(3)
        tick()
    assert capfd.readouterr() == ("", "")

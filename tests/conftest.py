"""What all tests share: rehearsal accounts, and a shelf for each kind of need."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import botocore.session
import pytest

import rehearsal
from private_s3 import aws
from tests.support.accounts import Accounts, as_operator
from tests.support.resuming import Resuming
from tests.support.sampling import COUNTS
from tests.support.sealed import copied, sealed  # noqa: F401 - fixtures
from tests.support.summary import SAMPLED, Summary
from tests.support.world import World, enter

# What a test uses, by the fixture that brings it.
MARKS = {"accounts": "account", "chromium": "browser", "engine": "node"}
# Every session would read the descriptions of the services again, which takes longer than a test.
_sessions: Any = botocore.session
_sessions.create_loader = cache(_sessions.create_loader)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How much of what is enumerated is run."""
    words = "run every case of the enumerations, as `make exhaustive` does, and not a sample"
    parser.addoption("--every", action="store_true", help=words)
    words = "leave out the tests that have passed by this file, and add to it those that pass"
    parser.addoption("--resume", metavar="FILE", type=Path, help=words)


def pytest_configure(config: pytest.Config) -> None:
    """Says at the end how much was run, and in what time; only the process that prints does."""
    is_worker = hasattr(config, "workerinput")
    if not is_worker:
        config.pluginmanager.register(Summary(config))
    if file := config.getoption("resume"):
        config.pluginmanager.register(Resuming(file, writes=not is_worker))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker hands over which cases it has sampled."""
    if output := getattr(session.config, "workeroutput", None):
        output[SAMPLED] = session.config.stash.get(COUNTS, {})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks each test by what it uses."""
    for item in items:
        for fixture, mark in MARKS.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(mark)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Looks for no garbage while tests are collected: a third of the time would go into it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.fixture(scope="session")
def accounts() -> Iterator[Accounts]:
    """The rehearsal accounts of this test process."""
    pool = Accounts()
    yield pool
    pool.close()


@pytest.fixture
def account(accounts: Accounts) -> Iterator[rehearsal.Account]:
    """A rehearsal account as it is at its start."""
    with accounts.fresh() as fresh:
        yield fresh


@pytest.fixture(scope="module")
def shared(accounts: Accounts) -> Iterator[rehearsal.Account]:
    """One account for the tests of a file, each of which puts back what it changes."""
    with accounts.fresh() as fresh:
        yield fresh
        assert fresh.errors() == []


@pytest.fixture(scope="module")
def bound(shared: rehearsal.Account) -> aws.Account:
    """The shared account as its operator sees it: clients take longer to make than to use."""
    return as_operator(shared)


@pytest.fixture
def world(account: rehearsal.Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A rehearsal account at its start, with the operator's environment."""
    return enter(account, tmp_path, monkeypatch)

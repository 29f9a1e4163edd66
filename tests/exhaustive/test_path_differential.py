"""What is said of packets is what becomes of them: at random, and in the kernel."""

from __future__ import annotations

from argparse import Namespace

import pytest

from tests.support import random_networks
from tests.support.random_networks import BUGS, Tally, run

# All of these stop packets in networks that are made at random.
STOPS = {
    "route table",
    "longest prefix",
    "security group",
    "network ACL out",
    "network ACL back",
    "gateway endpoint",
}


def tried(*options: str) -> Tally:
    tally = run(*options)
    if tally.skipped:
        pytest.skip(f"There are no network namespaces here: {tally.skipped}")
    return tally


def test_packets_get_where_they_are_said_to_and_nowhere_else() -> None:
    tally = tried("--networks", "1000", "--seconds", "60")
    assert tally.disagreements == []
    assert tally.networks >= 1000 and tally.compared > 30 * tally.networks
    # Neither does everything get through, nor nothing; and little is left open.
    assert 0.1 < tally.connected / tally.compared < 0.9
    assert tally.undecided < 0.05 * tally.compared
    assert {hop for hop, count in tally.dropped_at.items() if count >= 100} >= STOPS


@pytest.mark.parametrize("bug", BUGS)
def test_the_comparison_finds_a_bug(bug: str) -> None:
    """Each of these makes a rule wrong: it ends as soon as something came out otherwise."""
    tally = tried("--networks", "1000", "--bug", bug)
    assert tally.disagreements


def test_where_there_are_no_namespaces_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(wanted: str) -> None:
        raise OSError(f"no {wanted} here")

    monkeypatch.setattr(random_networks, "choose_mode", refuse)
    assert random_networks.work(Namespace()).skipped == "no namespace here"
    monkeypatch.setattr(random_networks, "run", lambda *options: Tally(skipped="no namespace here"))
    monkeypatch.setattr("tests.exhaustive.test_path_differential.run", random_networks.run)
    with pytest.raises(pytest.skip.Exception, match="no namespace here"):
        tried()

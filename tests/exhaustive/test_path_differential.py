"""What is said of packets is what becomes of them: at random, and in the kernel."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from tests.support import random_networks
from tests.support.helper import Helper
from tests.support.random_networks import BUGS, Tally
from tests.support.random_vpc import TOGETHER
from tests.support.sampling import sampled

VPCS, TRIED = 1250, 10  # in all, and by one test: 5,000 networks, and 40
BATCHES = [range(first, first + TRIED) for first in range(0, VPCS, TRIED)]
# Where packets are dropped in networks that are made at random, with a VPC in which some are.
DROPS = {
    "route table": 10,
    "longest prefix": 19,
    "security group": 11,
    "network ACL out": 10,
    "network ACL back": 14,
    "gateway endpoint": 19,
    "VPN gateway": 15,
    "NAT gateway's route table": 19,
    "NAT gateway's way back": 26,
}
# A VPC in which the comparison finds the bug.
TELLING = {
    "longest prefix": 13,
    "tie": 13,
    "propagated": 13,
    "black hole": 13,
    "ACL order": 13,
    "ephemeral ports": 108,
    "port range of a group": 16,
}


def classes(batch: range) -> Iterator[tuple[str, str]]:
    """The hops that drop packets in these VPCs, and the bugs that would show there."""
    for kind, where in {"hop": DROPS, "bug": TELLING}.items():
        yield from ((kind, name) for name, number in where.items() if number in batch)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "batch" in metafunc.fixturenames:
        batches = sampled(metafunc.config, "batches of networks", BATCHES, classes, at_least=6)
        names = [f"{batch[0]}-{batch[-1]}" for batch in batches]
        metafunc.parametrize("batch", batches, ids=names)


@pytest.fixture(scope="module")
def networks() -> Iterator[Helper]:
    """The process in which networks are compared."""
    with Helper("tests.support.random_networks") as started:
        yield started


def tried(networks: Helper, numbers: Iterable[int], bug: str = "") -> Tally:
    tally = Tally.of(networks.ask(numbers=[*numbers], bug=bug))
    if tally.skipped:
        pytest.skip(f"There are no network namespaces here: {tally.skipped}")
    return tally


def test_packets_get_where_they_are_said_to_and_nowhere_else(
    networks: Helper, batch: range
) -> None:
    tally = tried(networks, batch)
    assert tally.disagreements == []
    assert tally.networks == TOGETHER * len(batch) and tally.compared > 30 * tally.networks
    # Neither does everything get through, nor nothing; and little is left open.
    assert 0.1 < tally.connected / tally.compared < 0.9
    assert tally.undecided < 0.05 * tally.compared
    assert all(tally.dropped_at[hop] > 5 for hop, number in DROPS.items() if number in batch)


@pytest.mark.parametrize("bug", BUGS)
def test_the_comparison_finds_a_bug(networks: Helper, bug: str) -> None:
    """Without it there is nothing to find in the same VPC: the tests above have it."""
    assert tried(networks, [TELLING[bug]], bug).disagreements


def test_where_there_are_no_namespaces_the_reason_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(wanted: str) -> None:
        raise OSError(f"no {wanted} here")

    class Elsewhere(Helper):
        def ask(self, **question: Any) -> Any:
            monkeypatch.setattr("sys.stdin", [json.dumps(question)])
            random_networks.main()
            return json.loads(capsys.readouterr().out)

    monkeypatch.setattr(random_networks, "choose_mode", refuse)
    with pytest.raises(pytest.skip.Exception, match="no namespace here"):
        tried(Elsewhere(""), [0])

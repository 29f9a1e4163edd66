"""The account comes up the same each time, or not at all, and keeps its secrets to itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rehearsal
from rehearsal import Account, StartError
from tests.support.asking import MARKED


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("all-that-may-be-written")


@pytest.fixture(scope="module")
def accounts(folder: Path) -> Iterator[tuple[Account, Account]]:
    """Two accounts at once, for which there is one folder in the world."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in ("HOME", "TMPDIR"):
            patch.setenv(name, str(folder))
        with rehearsal.start() as first, rehearsal.start() as second:
            yield first, second
            assert first.errors() == second.errors() == []


def made_endpoint(account: Account) -> str:
    made = account.client("ec2", "operator").create_vpc_endpoint(
        VpcId=account.ids["rehearsal"],
        ServiceName="com.amazonaws.ap-northeast-1.s3",
        RouteTableIds=[account.ids["private-a"]],
        **MARKED,
    )
    return str(made["VpcEndpoint"]["VpcEndpointId"])


def test_ids_are_the_same_in_every_account(accounts: tuple[Account, Account]) -> None:
    first, second = accounts
    assert first.ids == second.ids and len(first.ids) > 10
    ec2, s3 = first.client("ec2", "operator"), first.client("s3", "operator")
    for _ in range(3):  # however often somebody looks
        ec2.describe_vpc_endpoints()
        ec2.describe_route_tables()
        s3.get_bucket_policy(Bucket="rehearsal-private-data")
    assert made_endpoint(first) == made_endpoint(second)


def secrets_of(account: Account) -> set[str]:
    return {account.secret, *(key for keys in account.people.values() for key in keys.values())}


def test_keys_are_drawn_anew_for_every_account(accounts: tuple[Account, Account]) -> None:
    first, second = map(secrets_of, accounts)
    assert len(first) == len(second) == 15 and not first & second


def test_keys_are_in_no_file_and_no_argument(
    accounts: tuple[Account, Account], folder: Path
) -> None:
    for account in accounts:
        arguments = Path(f"/proc/{account.process.pid}/cmdline").read_text().split("\0")
        assert arguments[1:] == ["-m", "rehearsal", "auto", ""]
        assert not [secret for secret in secrets_of(account) if secret in repr(account)]
        written = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
        for secret in secrets_of(account):
            assert not [text for text in written if secret.encode() in text]


def test_an_account_that_is_ended_leaves_nothing(folder: Path) -> None:
    account = rehearsal.start()
    account.close()
    assert account.process.returncode == 0
    assert not Path(f"/proc/{account.process.pid}").exists()


@pytest.mark.parametrize(
    ("broken", "found"),
    [
        ("access.Access.check = lambda *_: frozenset()", "what must be refused is allowed"),
        ("access.Access._identity = lambda *_: []", "what must be allowed is refused"),
        ("instances.Instances.run = lambda *_, **__: nothing", "the instance does not know itself"),
    ],
)
def test_an_account_with_a_broken_part_does_not_come_up(broken: str, found: str) -> None:
    program = (
        "from rehearsal import __main__, access, instances, processes\n"
        "nothing = processes.Completed(0, '', '')\n"
        f"{broken}\n"
        "__main__.main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, "auto"], stdin=subprocess.DEVNULL, capture_output=True
    )
    assert ended.returncode == 1
    lines = json.loads(ended.stdout)["error"].splitlines()
    assert len(lines) == 3 and found in lines[1]


def test_an_account_that_does_not_come_up_says_so_in_three_lines(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(StartError) as error:
        rehearsal.start("cloud")
    tried, _, following = str(error.value).splitlines()
    assert tried == "Could not start the rehearsal account in cloud mode."
    assert following.startswith("Next: ")
    assert "'cloud'" in capfd.readouterr().err

"""Two tests that use what an account has, and do not end; collected only by name."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from rehearsal import Account, StartError
from tests.support.asking import send


@pytest.mark.parametrize("name", ["app-1", "sibling-1"])
def test_that_does_not_end(account: Account, name: str) -> None:
    account.reset()
    with suppress(StartError):  # where there is no sshd, less is left to end
        assert account.ssh_config
    script, told = os.environ["LINGERING"].split(":")
    send(account, f"setsid {script} & {script}", name)
    Path(told, name).touch()
    time.sleep(600)

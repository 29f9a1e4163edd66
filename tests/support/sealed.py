"""A sealed and signed change folder, made once by the real notebooks in an emulated account."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from private_s3 import approval
from private_s3.evidence import manifest
from private_s3.folder import change_folder
from tests.support.accounts import Accounts
from tests.support.notebook_runs import ENDPOINT, FIND, POLICY
from tests.support.world import World, enter


@dataclass(frozen=True)
class Sealed:
    """A change folder that was planned, sealed, approved, applied, and sealed again.

    `key` has signed both seals, and `allowed` vouches for it; `stranger` is a key of somebody else.
    """

    folder: Path
    key: Path
    allowed: Path
    stranger: Path


def make_key(path: Path) -> Path:
    """A new SSH key without a passphrase, and its public part beside it."""
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
    subprocess.run(command, check=True)
    return path


def vouch(path: Path, name: str, key: Path, *limits: str) -> Path:
    """A file of allowed signers that vouches for one key."""
    path.write_text(" ".join([name, *limits, key.with_suffix(".pub").read_text()]))
    return path


def quick_report(folder: Path) -> None:
    """Stands in for the reports, which take a browser seconds: files as good as any other."""
    for name in ("report.html", "plan/10_find_vpc.html"):
        (folder / name).write_text("<!doctype html>\n<title>rehearsal</title>\n")


@pytest.fixture(scope="session")
def sealed(tmp_path_factory: pytest.TempPathFactory, accounts: Accounts) -> Sealed:
    """Notebooks 10, 20 and 40 as both passes run them; not to be changed: copy it."""
    from tests.support.in_process import without_kernels  # takes seconds to import

    top = tmp_path_factory.mktemp("sealed")
    key = make_key(top / "key")
    allowed = vouch(top / "allowed_signers", "keeper@example.com", key)
    with (
        accounts.fresh() as account,
        pytest.MonkeyPatch.context() as patch,
        without_kernels(),
    ):
        patch.setattr(manifest.report, "write", quick_report)
        world = enter(account, top, patch)
        parameters = world.parameters(approval_valid_hours=1)
        folder = change_folder(parameters)
        _run(world, "", FIND, ENDPOINT)
        manifest.seal(folder, key)
        digest = next((folder / approval.PLANS).iterdir()).stem
        approval.approve(parameters, digest, "ops@example.com")
        _run(world, digest, FIND, ENDPOINT, POLICY)
        manifest.seal(folder, key)
    return Sealed(folder, key, allowed, make_key(top / "stranger"))


@pytest.fixture
def copied(sealed: Sealed, tmp_path: Path) -> Sealed:
    """The same in a folder that may be changed."""
    folder = shutil.copytree(sealed.folder, tmp_path / sealed.folder.name)
    return replace(sealed, folder=folder)


def _run(world: World, digest: str, *steps: str) -> None:
    for step in steps:
        result = world.notebook(step, digest, approval_valid_hours=1)
        assert result.error is None, result.error

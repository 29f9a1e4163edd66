"""The world that tests drive the real notebooks in: an emulated account, and who acts on it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import rehearsal
from private_s3 import aws, change, undo
from private_s3.cli import main
from private_s3.folder import change_folder, pass_name
from private_s3.parameters import Parameters
from private_s3.record import Record
from private_s3.runbook import Runbook, Step
from tests import PROJECT


@dataclass(frozen=True)
class World:
    """An account, a change folder, and the operator who works with both."""

    account: rehearsal.Account
    folder: Path
    values: dict[str, Any]

    def parameters(self, **changes: Any) -> Parameters:
        path = PROJECT / "params/rehearsal.yaml"
        return Parameters.load(path, {"changes_dir": str(self.folder), **self.values, **changes})

    def plan(self, **changes: Any) -> str:
        """Plans by the library, as notebook 20 does, and gives the digest."""
        return self.planned(**changes).plan.digest

    def apply(self, digest: str = "", **changes: Any) -> str:
        """Plans, approves and applies by the library, as notebooks 20 and 40 do."""
        digest = digest or self.plan(**changes)
        approved = {**changes, "approved_plan": digest}
        self.planned(**approved).apply_endpoint()
        self.planned(**approved).apply_bucket_policy()
        return digest

    def planned(self, **changes: Any) -> change.Planned:
        """The plan by the library, with all that the notebooks ask of it."""
        parameters = self.parameters(**changes)
        bound = aws.connect(parameters)
        reading = change.read(bound, parameters)
        return change.planned(bound, Record(parameters, "test"), reading)

    def undo(self, digest: str = "", **changes: Any) -> str:
        """Plans, approves and carries out the undo by the library, as notebook 90 does."""
        digest = digest or self.undo_planned(**changes).plan.digest
        planned = self.undo_planned(**changes, approved_plan=digest)
        planned.apply_bucket_policy()
        planned.apply_endpoint()
        planned.read_again()
        return digest

    def undo_planned(self, **changes: Any) -> undo.Undo:
        """The plan of the undo by the library, with all that the notebook asks of it."""
        parameters = self.parameters(**changes)
        bound, record = aws.connect(parameters), Record(parameters, "undo")
        return undo.planned(bound, record, undo.read(bound, record))

    def notebook(self, step: str, digest: str = "", **changes: Any) -> Step:
        """Runs one real notebook with papermill."""
        parameters = self.parameters(**changes, approved_plan=digest)
        (result,) = Runbook("one step", (PROJECT / f"notebooks/{step}.ipynb",)).run(parameters)
        return result

    def observed(self, digest: str = "") -> dict[str, tuple[str, str]]:
        """What notebook 50 saw from app-1, by probe: outcome and detail."""
        parameters = self.parameters(approved_plan=digest)
        path = change_folder(parameters) / "facts" / pass_name(parameters)
        facts = json.loads((path / "50_check_from_instance.json").read_text())
        seen = [one for one in facts["observations"] if one["instance_id"] == self.id("app-1")]
        return {one["probe"]: (one["outcome"], one["detail"]) for one in seen}

    def cli(self, *arguments: str) -> Result:
        """Runs the real command line."""
        return CliRunner().invoke(main, [*arguments, "-p", f"changes_dir={self.folder}"])

    def client(self, service: str, who: str = "root") -> Any:
        """A client of somebody who is not the operator."""
        return self.account.client(service, who)

    def writes(self) -> list[str]:
        """The operations by which the operator has changed the account."""
        calls = self.account.calls()
        return [call["operation"] for call in calls if call["write"] and call["who"] == "operator"]

    def vpn_gateway(self) -> str:
        """Id of a new gateway of the VPC, for routes that somebody else makes."""
        ec2 = self.client("ec2")
        gateway = ec2.create_vpn_gateway(Type="ipsec.1")["VpnGateway"]["VpnGatewayId"]
        ec2.attach_vpn_gateway(VpnGatewayId=gateway, VpcId=self.id("rehearsal"))
        return str(gateway)

    def id(self, name: str) -> str:
        """The id of something in the account by its Name tag."""
        return self.account.ids[name]


def enter(account: rehearsal.Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Turns this process to an account, as its operator."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name, value in account.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(PROJECT)
    # What fails here fails for good: nothing is gained by asking the instances again and again.
    return World(account, tmp_path / "changes", {"settle_seconds": 0})


def expect(result: Any, code: int, words: str) -> None:
    """Demands the exit code of a command, and three lines that hold these words."""
    assert result.exit_code == code, result.output
    *_, attempted, answer, remedy = result.stderr.strip().splitlines()
    assert words in f"{attempted}\n{answer}\n{remedy}"
    assert remedy.startswith("Next: ")
    assert "Traceback" not in result.output

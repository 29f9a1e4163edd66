"""Keeps the change folder: plans, facts, checks, and the journal of every write."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from private_s3 import aws
from private_s3.errors import AwsRefused, CheckFailed, PlanChanged
from private_s3.parameters import Parameters
from private_s3.plan import Plan
from private_s3.tables import table

if TYPE_CHECKING:
    import pandas as pd

State = Literal["PASS", "FAIL", "SKIPPED", "UNCERTAIN"]


@dataclass(frozen=True)
class Check:
    """One thing that must hold, and whether it does.

    SKIPPED: this pass changes nothing, so there is nothing to hold. UNCERTAIN: what would tell
    could not be read; never to be taken for a PASS. `remedy` is what to do if it fails.
    """

    name: str
    state: State
    detail: str = ""
    remedy: str = ""

    @classmethod
    def of(cls, name: str, passed: bool, detail: str = "", remedy: str = "") -> Check:
        return cls(name, "PASS" if passed else "FAIL", detail, remedy)


@dataclass
class Outcome:
    """What came of a write: the request id that AWS gave, and values worth keeping."""

    request_id: str = ""
    values: dict[str, Any] = field(default_factory=dict)

    def answered(self, answer: Mapping[str, Any], **values: Any) -> None:
        """Takes the request id from a boto3 answer."""
        self.request_id = answer["ResponseMetadata"].get("RequestId", "")
        self.values = values


class Record:
    """The change folder, as one step in one pass writes to it.

    `plans/DIGEST.json` are the plans that were shown, `facts/PASS/STEP.json` what a step found,
    `journal.jsonl` every write to AWS: its intent before, its outcome after.
    """

    def __init__(self, parameters: Parameters, step: str) -> None:
        self.parameters, self.step = parameters, step
        self.folder = change_folder(parameters)
        self.pass_name = pass_name(parameters)
        self._facts: dict[str, Any] = {}
        self._checks: list[Check] = []

    # -- what a step found --------------------------------------------------------------------

    def note(self) -> pd.DataFrame:
        """The operator's note: change, ticket, remark, and which pass this is."""

        approved = self.parameters.approved_plan
        rows = {
            "change": self.parameters.change_id,
            "ticket": self.parameters.ticket or "-",
            "note": self.parameters.note or "-",
            "pass": f"apply plan {approved}" if approved else "plan: nothing is changed",
        }
        return table(rows.items(), ["operator's note", "value"])

    def fact(self, name: str, value: Any) -> None:
        """Keeps a value of this step in the change folder."""
        self._facts[name] = value
        self._save_facts()

    def require(self, checks: Sequence[Check]) -> pd.DataFrame:
        """The checks as a table, kept in the change folder; raises CheckFailed if one is FAIL."""
        self._checks += checks
        self._save_facts()
        attempted = f"Checked {len(checks)} things in step {self.step}"
        require(f"{attempted} of {self.parameters.change_id}.", checks)
        return checks_frame(checks)

    def results(self, account: aws.Account) -> pd.DataFrame:
        """How many checks of this step are in which state; keeps what the step cost in calls."""
        self.fact("aws_calls", dict(sorted(account.calls.items())))
        states = [check.state for check in self._checks]
        return table([[states.count(state) for state in get_args(State)]], get_args(State))

    def _save_facts(self) -> None:
        checks = [asdict(check) for check in self._checks]
        path = self.folder / "facts" / self.pass_name / f"{self.step}.json"
        write_json(path, {**self._facts, "checks": checks})

    # -- plans --------------------------------------------------------------------------------

    def approved(self, plan: Plan, seen: Mapping[str, Any]) -> tuple[Plan, Mapping[str, Any]]:
        """The plan to go by, and what its maker saw: the approved one, else the one made just now.

        The one made just now is kept, so that it can be approved later. Raises PlanChanged when
        the approved digest is of no plan that was shown for this change, or of an altered one.
        """
        digest = self.parameters.approved_plan
        path = self.folder / "plans" / f"{digest or plan.digest}.json"
        if not digest or digest == plan.digest:
            if not path.exists():
                write_json(path, {"plan": plan.to_json(), "seen": seen})
            if not digest:
                return plan, seen
        if not path.exists():
            raise PlanChanged(
                f"Could not apply plan {digest} of {plan.change_id}. Nothing was written.",
                f"No such plan was shown; a plan made now has the digest {plan.digest}.",
                "run the plan pass, have its digest approved, and pass that digest",
            )
        kept = json.loads(path.read_text(encoding="utf-8"))
        approved = Plan.from_json(kept["plan"])
        if approved.digest != digest:
            raise PlanChanged(
                f"Could not apply plan {digest} of {plan.change_id}. Nothing was written.",
                f"The file {path.name} was altered: its content has the digest {approved.digest}.",
                "run the plan pass again and have its digest approved",
            )
        return approved, kept["seen"]

    def keep_text(self, name: str, text: str) -> Path:
        """Keeps a text as it is, and gives the path of its file from the project's top."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="")
        folder = project_directory()
        return path.relative_to(folder) if path.is_relative_to(folder) else path

    # -- the journal --------------------------------------------------------------------------

    @contextmanager
    def write(self, operation: str, request: Mapping[str, Any], remedy: str) -> Iterator[Outcome]:
        """Brackets one write to AWS with its intent and its outcome in the journal."""
        self._append("intent", operation, request=dict(request))
        outcome = Outcome()
        try:
            with aws.attempt(f"call {operation} with {json.dumps(request)}", remedy):
                yield outcome
        except AwsRefused as error:
            # Without a code there was no answer, and what became of the write is not known.
            event = "refused" if error.code else "unanswered"
            self._append(event, operation, answer=error.answer)
            raise
        self._append("outcome", operation, request_id=outcome.request_id, **outcome.values)

    def _append(self, event: str, operation: str, **details: Any) -> None:
        path = self.folder / "journal.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = path.read_bytes().splitlines() if path.exists() else []
        entry = {
            "number": len(lines) + 1,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "step": self.step,
            "plan": self.parameters.approved_plan,
            "event": event,
            "operation": operation,
            **details,
            # Each line carries the hash of the one before, so that none can be changed unseen.
            "previous": hashlib.sha256(lines[-1] if lines else b"").hexdigest(),
        }
        with path.open("ab") as journal:
            journal.write(json.dumps(entry, sort_keys=True).encode() + b"\n")
            journal.flush()
            os.fsync(journal.fileno())


def require(attempted: str, checks: Sequence[Check]) -> None:
    """Raises CheckFailed that names each FAIL, and what to do about it."""
    failed = [check for check in checks if check.state == "FAIL"]
    if failed:
        remedies = dict.fromkeys(check.remedy for check in failed if check.remedy)
        raise CheckFailed(
            attempted,
            "Failed: " + "; ".join(f"{check.name} ({check.detail})" for check in failed),
            "; ".join(remedies) or "read the tables above; nothing after this cell was run",
        )


def change_folder(parameters: Parameters) -> Path:
    """The folder of the change; a relative changes_dir counts from the project's top."""
    return project_directory() / parameters.changes_dir / parameters.change_id


def pass_name(parameters: Parameters) -> str:
    """Which of the two passes this is, as the change folder calls it."""
    return "apply" if parameters.applying else "plan"


def project_directory() -> Path:
    """The nearest folder upwards that holds the notebooks, else the present one.

    JupyterLab runs a notebook in its own folder, papermill in the caller's; both must find the
    same change folder.
    """
    here = Path.cwd()
    return next((p for p in (here, *here.parents) if (p / "notebooks").is_dir()), here)


def write_json(path: Path, value: Any) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    draft.replace(path)


def checks_frame(checks: Sequence[Check]) -> pd.DataFrame:
    """One row per check."""
    rows = [(check.name, check.state, check.detail) for check in checks]
    return table(rows, ["check", "state", "detail"])

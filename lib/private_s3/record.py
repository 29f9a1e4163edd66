"""Keeps the change folder: plans, facts, checks, and the journal of every write."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from private_s3 import approval, aws, steps
from private_s3.clean import cleaned
from private_s3.effect import Effect
from private_s3.errors import AwsRefused, CheckFailed, PlanChanged
from private_s3.folder import change_folder, facts_path, now, write_json
from private_s3.journal import Journal, Key, Outcome
from private_s3.parameters import Parameters
from private_s3.plan import Plan
from private_s3.plan import State as PlanState
from private_s3.tables import table
from private_s3.versions import versions

if TYPE_CHECKING:
    import pandas as pd

State = Literal["PASS", "FAIL", "SKIPPED", "UNCERTAIN"]
LEFT = "left"


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

    @classmethod
    def unread(cls, what: str, answer: str, remedy: str) -> Check:
        """Says that AWS has refused a reading: what hangs on it is uncertain."""
        return cls(f"{what} can be read", "UNCERTAIN", answer, remedy)


class Record:
    """The change folder, as one step in one pass writes to it.

    `plans/DIGEST.json` are the plans that were shown, `facts/PASS/STEP.json` what a step found,
    `journal.jsonl` approvals and every write to AWS, `left/` what the account looked like after.
    """

    def __init__(self, parameters: Parameters, step: str) -> None:
        steps.require_place(parameters, step)
        self.parameters, self.step = parameters, step
        self.folder = change_folder(parameters)
        self.journal = Journal(self.folder)
        self.caller = ""  # ARN, once it is known
        self._facts: dict[str, Any] = {
            "run": {"started": now(), "versions": versions(), "parameters": parameters.model_dump()}
        }
        self._checks: dict[str, Check] = {}
        if steps.copy_of(parameters):
            self._keep_errors()

    # -- what a step found --------------------------------------------------------------------

    def note(self) -> pd.DataFrame:
        """The operator's note: change, ticket, remark, and which pass of which step this is."""
        show(steps.position(self.parameters, self.step))
        approved = self.parameters.approved_plan
        rows = {
            "change": self.parameters.change_id,
            "ticket": self.parameters.ticket or "-",
            "note": self.parameters.note or "-",
            "pass": f"apply plan {approved}" if approved else "plan: nothing is changed",
        }
        return table(rows.items(), ["operator's note", "value"])

    def bind(self, account: aws.Account) -> pd.DataFrame:
        """Account, caller and Region of this step, which the change folder keeps."""
        self.caller = account.arn
        bound = {"account": account.id, "caller": account.arn, "region": account.region}
        self.fact("run", {**self._facts["run"], **bound})
        return table(bound.items(), ["bound to", "value"])

    def fact(self, name: str, value: Any) -> None:
        """Keeps a value of this step in the change folder."""
        self._facts[name] = value
        self._save_facts()

    def require(self, checks: Sequence[Check]) -> pd.DataFrame:
        """The checks as a table, kept in the change folder; raises CheckFailed if one is FAIL."""
        self._checks |= {check.name: check for check in checks}  # also if its cell is run again
        self._save_facts()
        attempted = f"Checked {len(checks)} things in step {self.step}"
        require(f"{attempted} of {self.parameters.change_id}.", checks)
        return checks_frame(checks)

    def results(self, account: aws.Account) -> pd.DataFrame:
        """How many checks of this step are in which state; keeps what the step cost in calls."""
        self._facts.pop("error", None)  # it came to its end, if not at once
        self.fact("aws_calls", dict(sorted(account.calls.items())))
        states = [check.state for check in self._checks.values()]
        return table([[states.count(state) for state in get_args(State)]], get_args(State))

    def next(self) -> steps.Text:
        """What follows this step, with a link to it."""
        return steps.onward(self.parameters, self.step, self._facts.get("plan", ""))

    def _save_facts(self) -> None:
        checks = [asdict(check) for check in self._checks.values()]
        path = facts_path(self.parameters, self.step)
        self._facts["run"]["ended"] = now()
        write_json(path, cleaned({**self._facts, "checks": checks}))

    def _keep_errors(self) -> None:
        """Keeps the error that ends a cell, as papermill's runner does where it runs them."""
        from IPython import get_ipython

        if (shell := get_ipython()) is None:
            return
        for earlier in shell.events.callbacks["post_run_cell"][:]:
            if isinstance(getattr(earlier, "__self__", None), Record):
                shell.events.unregister("post_run_cell", earlier)
        shell.events.register("post_run_cell", self._keep_error)

    def _keep_error(self, result: Any) -> None:
        if error := result.error_in_exec:
            told = {"kind": type(error).__name__, "lines": str(error).split("\n")}
            self.fact("error", told)

    # -- plans --------------------------------------------------------------------------------

    def approved(self, plan: Plan, seen: Mapping[str, Any]) -> tuple[Plan, Mapping[str, Any]]:
        """The plan to go by, and what its maker saw: the approved one, else the one made just now.

        The one made just now is kept, so that it can be approved later. Raises PlanChanged when
        the approved digest is of no plan that was shown for this change, or was not approved.
        """
        digest = self.parameters.approved_plan
        if digest in ("", plan.digest):
            approval.keep(self.folder, plan, seen)
        if not digest:
            self._note_plan(plan)
            return plan, seen
        chosen, kept = approval.kept(self.folder, digest)
        if chosen.undo != plan.undo:
            raise PlanChanged(
                f"Could not {plan.doing} plan {digest} of {plan.change_id}. Nothing was written.",
                f"It is a plan to {chosen.doing}.",
                f"to carry it out, run: private-s3 {chosen.doing} {digest} -f PARAMETERS",
            )
        approval.require(self.journal, self.parameters)
        return chosen, kept

    def _note_plan(self, plan: Plan) -> None:
        shown = [line for line in self.journal.lines() if line["event"] in ("planned", "complete")]
        if not shown or (shown[-1]["event"], shown[-1]["plan"]) != ("planned", plan.digest):
            about = {"step": self.step, "plan": plan.digest, "caller": self.caller}
            self.journal.append("planned", **about, count=len(plan.changes))

    # -- the journal --------------------------------------------------------------------------

    @property
    def effect(self) -> Effect:
        """What this change has made of the account so far."""
        return Effect(self.folder, self.journal.writes())

    @contextmanager
    def write(
        self,
        operation: str,
        request: Mapping[str, Any],
        remedy: str,
        changes: Iterable[Key] = (),
        caller: str = "",
    ) -> Iterator[Outcome]:
        """Brackets one write to AWS with its intent and its outcome in the journal.

        `changes` says which fields of the plan it is for, `caller` who writes if not the operator.
        """
        intent = self.journal.append(
            "intent",
            step=self.step,
            plan=self.parameters.approved_plan,
            caller=caller or self.caller,
            operation=operation,
            request=dict(request),
            changes=sorted(changes),
        )
        about: dict[str, Any] = {"intent": intent, "operation": operation}
        outcome = Outcome()
        try:
            with aws.attempt(f"call {operation} with {json.dumps(request)}", remedy):
                yield outcome
        except AwsRefused as error:
            # Without an answer, what became of the write is not known.
            event = "refused" if error.is_answer else "unanswered"
            self.journal.append(event, **about, answer=error.answer, request_id=error.request_id)
            raise
        self.journal.append(
            "outcome", **about, request_id=outcome.request_id, values=outcome.values
        )

    def settle(self, live: PlanState, endpoint_id: str) -> None:
        """Notes what became of writes whose answer never came, as the account shows it."""
        effect = self.effect
        for write in effect.writes:
            fate = effect.fate(write, live) if write.fate == "unknown" else "unknown"
            if fate != "unknown":
                made = fate == "done" and write.operation == "CreateVpcEndpoint"
                values = {"endpoint_id": endpoint_id} if made else {}
                self.journal.append(
                    "settled",
                    intent=write.number,
                    operation=write.operation,
                    found=fate,
                    values=values,
                )

    def is_complete(self, plan: Plan) -> bool:
        """Whether the journal says, of its last changes, that all of the plan is in place."""
        lines = self.journal.lines()
        told = [line for line in lines if line.get("changes") or line["event"] == "complete"]
        return bool(told and told[-1]["event"] == "complete" and told[-1]["plan"] == plan.digest)

    def complete(self, plan: Plan, left: Mapping[str, Any]) -> None:
        """Notes that the account is as the plan has it, and keeps what it looks like then."""
        digest = digest_of(left)
        if self.is_complete(plan) and left == self.left():
            return
        write_json(self.folder / LEFT / f"{digest}.json", left)
        about = {"step": self.step, "plan": plan.digest, "caller": self.caller}
        self.journal.append("complete", **about, left=digest)

    def left(self) -> dict[str, Any] | None:
        """What the account looked like when a plan was last found to be in place, if ever."""
        found = [line["left"] for line in self.journal.lines() if line["event"] == "complete"]
        if not found:
            return None
        path = self.folder / LEFT / f"{found[-1]}.json"
        try:
            left: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            altered = digest_of(left) != found[-1]
        except (OSError, ValueError):
            altered = True
        if altered:
            raise CheckFailed(
                f"Could not read what the change {self.folder.name} has left.",
                f"The file {LEFT}/{path.name} is missing or was altered.",
                "put the whole change folder back from a copy",
            )
        return left


def show(text: steps.Text) -> None:
    """Shows a text where a notebook runs this."""
    # Imported here: the command line shows nothing.
    from IPython.display import display

    display(text)  # type: ignore[no-untyped-call]


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


def digest_of(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def checks_frame(checks: Sequence[Check]) -> pd.DataFrame:
    """One row per check."""
    rows = [(check.name, check.state, check.detail) for check in checks]
    return table(rows, ["check", "state", "detail"])

"""Holds what is observed against what was predicted, cell by cell of the access matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

from private_s3 import aws, instance, progress
from private_s3.access import COLUMNS, Cell, Row
from private_s3.callers import Caller
from private_s3.errors import AwsRefused
from private_s3.instance import Answers
from private_s3.preflight import permissions
from private_s3.probes import CHECK_PREFIX
from private_s3.record import Check, Record
from private_s3.tables import table
from private_s3.ways_in.granted import IfGranted
from private_s3.ways_in.manual import ByHand
from private_s3.ways_in.ssh import OpenSsh
from private_s3.ways_in.ssm import RunCommand
from private_s3.ways_in.way import WayIn

if TYPE_CHECKING:
    import pandas as pd

    from private_s3.change import Planned

# By column: the state that was observed, and what was answered.
Observed = Mapping[str, tuple[str, str]]
ANSWERED = {"NoSuchKey", "NoSuchBucketPolicy"}  # said only to those who are let through


@dataclass(frozen=True)
class Comparison:
    """Every row that could be asked, with what was predicted for it and what was observed."""

    asked: Sequence[tuple[Row, Observed]]
    unasked: Sequence[Check]
    applying: bool

    def table(self) -> pd.DataFrame:
        """One row per caller; a cell that was not predicted so says both."""
        return table(
            [
                (row.who, self._where(row), *(self._shown(row, seen, column) for column in COLUMNS))
                for row, seen in self.asked
            ],
            ("who", "where", *COLUMNS),
        )

    def checks(self) -> list[Check]:
        """One for all cells, FAIL if one differs once the change is applied, and who was silent."""
        cells = [(row, column, *seen[column]) for row, seen in self.asked for column in seen]
        wrong = [
            f"{row.who} {self._where(row)}, {column}: predicted {self._cell(row, column).state} "
            f"({self._cell(row, column).reason}), observed {state} ({detail})"
            for row, column, state, detail in cells
            if state != self._cell(row, column).state != "depends"
        ]
        doubt = [column for row, column, *_ in cells if self._cell(row, column).state == "depends"]
        found = f"{len(cells) - len(wrong) - len(doubt)} of {len(cells)} cells"
        check = Check.of(
            "predicted equals observed",
            not wrong,
            "; ".join([found, *wrong]),
            "see what decides the cell in the access matrix of step 40, and what answered here",
        )
        if wrong and not self.applying:
            check = Check(check.name, "UNCERTAIN", check.detail)
        return [check, *self.unasked]

    def facts(self) -> list[dict[str, Any]]:
        """Every cell that was asked, for the record."""
        return [
            {
                "who": row.who,
                "where": self._where(row),
                "request": column,
                "predicted": asdict(self._cell(row, column)),
                "observed": {"state": state, "answer": answer},
            }
            for row, seen in self.asked
            for column, (state, answer) in seen.items()
        ]

    def _where(self, row: Row) -> str:
        return row.where if self.applying else row.where_before

    def _cell(self, row: Row, column: str) -> Cell:
        return (row.after if self.applying else row.before)[column]

    def _shown(self, row: Row, seen: Observed, column: str) -> str:
        if column not in seen:
            return "-"
        predicted, (state, _) = self._cell(row, column).state, seen[column]
        return state if state == predicted else f"{state}, predicted {predicted}"


def observe(planned: Planned) -> tuple[Answers, Comparison]:
    """What the instances see, and that beside what was predicted; kept with the facts.

    AWS acts on a new route or policy after some seconds: what is not as it should be is asked
    again, until `settle_seconds` have passed since the last write.
    """
    record, asked = planned.record, count()
    # Checks write an object of their own; not while planning, nor after an undo.
    writes = record.parameters.applying and not planned.plan.undo

    def ask() -> tuple[Answers, Comparison]:
        next(asked)
        answers = _ask_instances(planned, writes=writes)
        rows = planned.matrix.by_caller
        return answers, compare(planned.account, record, rows, answers, writes=writes)

    limit = _settling(record)
    with progress.waiting("AWS to act on what was written", limit) as tick:
        answers, comparison = aws.settle(ask, _as_it_should_be, limit, tick)
    record.fact("observations", [asdict(one) for one in answers.observations])
    record.fact("compared", comparison.facts())
    record.fact("asked", next(asked))
    return answers, comparison


def _ask_instances(planned: Planned, *, writes: bool) -> Answers:
    parameters, found = planned.record.parameters, planned.reading.network.instances
    others = (c.instances for c, _ in planned.matrix.by_caller if c.part == "neighbour")
    neighbours = [instance_id for group in others for instance_id in group]
    return instance.ask(
        _way_in(planned),
        [one["InstanceId"] for one in found],
        neighbours=neighbours if "neighbours" in parameters.check_also else [],
        bucket=parameters.bucket,
        region=parameters.region,
        change_id=parameters.change_id,
        applying=writes,
    )


def _way_in(planned: Planned) -> WayIn:
    """The way onto the instances that `check_by` names."""
    parameters, record = planned.record.parameters, planned.record
    if parameters.check_by == "ssh":
        return OpenSsh.of(record.write, parameters.ssh_config)
    if parameters.check_by == "manual":
        return ByHand(record, planned.plan.digest)
    command = RunCommand(planned.account.ssm, record.write)
    if parameters.applying:
        return command
    return IfGranted(command, planned.account, permissions.operator(planned))


def _settling(record: Record) -> float:
    """Seconds that AWS still has to act on what was written; a person is not asked twice."""
    writes = record.effect.writes
    if not (writes and record.parameters.applying) or record.parameters.check_by == "manual":
        return 0
    age = datetime.now(UTC) - datetime.fromisoformat(writes[-1].time)
    return record.parameters.settle_seconds - age.total_seconds()


def _as_it_should_be(seen: tuple[Answers, Comparison]) -> bool:
    answers, comparison = seen
    return all(check.state != "FAIL" for check in (*answers.checks(), *comparison.checks()))


def compare(
    account: aws.Account,
    record: Record,
    predictions: Iterable[tuple[Caller, Row]],
    answers: Answers,
    *,
    writes: bool,
) -> Comparison:
    """What instances, operator and break-glass role were answered, beside what was predicted.

    The operator asks with their own credentials; the others as `check_also` says.
    """
    parameters, seen = record.parameters, _by_instance(answers)
    asked: list[tuple[Row, Observed]] = []
    unasked = []
    for caller, row in predictions:
        name = f"{row.who} can be asked"
        for instance_id in caller.instances:
            if instance_id in seen:
                asked.append((row, seen[instance_id]))
            elif caller.part == "target" or "neighbours" in parameters.check_also:
                reason = answers.unasked.get(instance_id, f"nothing was heard of {instance_id}")
                unasked.append(Check(name, "UNCERTAIN", reason))
        try:
            if caller.part == "operator":
                asked.append((row, _ask(account, record, row, writes=writes)))
            elif caller.part == "break-glass" and caller.part in parameters.check_also:
                seat = aws.assume(account, caller.principal.arn, parameters.change_id)
                asked.append((row, _ask(seat, record, row, writes=writes)))
        except AwsRefused as error:
            unasked.append(Check(name, "UNCERTAIN", error.answer))
    return Comparison(asked, unasked, parameters.applying)


def sweep(account: aws.Account, record: Record) -> Check:
    """Deletes the objects of checks that were interrupted, as the journal knows them."""
    left: dict[str, bool] = {}
    for write in record.journal.writes():
        if write.operation == "PutObject" and write.fate != "not done":
            left[write.request["Key"]] = True
        elif write.operation == "DeleteObject" and write.fate == "done":
            left[write.request["Key"]] = False
    keys = [key for key, there in left.items() if there]
    name, owned = "no object of the checks is left", {"ExpectedBucketOwner": account.id}
    seats: list[Callable[[], aws.Account]] = [lambda: account]
    if "break-glass" in (parameters := record.parameters).check_also:
        # Its checks write an object of their own, which the operator perhaps may not delete.
        seats.append(lambda: aws.assume(account, parameters.break_glass_role, parameters.change_id))
    for key in keys:
        named: Any = {"Bucket": parameters.bucket, "Key": key, **owned}
        refused = []
        for seat in seats:
            try:
                caller = seat()
                with record.write("DeleteObject", named, "-", caller=caller.arn) as outcome:
                    outcome.answered(caller.s3.delete_object(**named))
                break
            except AwsRefused as error:
                refused.append(error.answer)
        else:
            return Check(name, "UNCERTAIN", f"{key}: {'; '.join(refused)}")
    return Check(name, "PASS", f"deleted {', '.join(keys)}" if keys else "")


def _by_instance(answers: Answers) -> dict[str, dict[str, tuple[str, str]]]:
    seen: dict[str, dict[str, tuple[str, str]]] = {}
    for one in answers.observations:
        if one.probe in COLUMNS:
            detail = ": ".join(filter(None, (one.outcome, one.detail)))
            seen.setdefault(one.instance_id, {})[one.probe] = one.state, detail
    return seen


def _ask(account: aws.Account, record: Record, row: Row, *, writes: bool) -> Observed:
    """What S3 answers to somebody outside; only an object of this project's own is written."""
    s3 = account.s3
    bucket: dict[str, Any] = {
        "Bucket": record.parameters.bucket,
        "ExpectedBucketOwner": account.id,
    }
    named = {**bucket, "Key": row.key}
    seen = {
        "list": _state(lambda: s3.list_objects_v2(**bucket, MaxKeys=1), "s3:ListBucket"),
        "read": _state(lambda: s3.get_object(**named), "s3:GetObject"),
        "administer": _state(lambda: s3.get_bucket_policy(**bucket), "s3:GetBucketPolicy"),
    }
    if writes and row.key.startswith(CHECK_PREFIX):

        def write(operation: str, call: Any) -> Any:
            with record.write(operation, named, "-", caller=account.arn) as outcome:
                outcome.answered(call(**named))

        seen["write"] = _state(lambda: write("PutObject", s3.put_object), "s3:PutObject")
        seen["delete"] = _state(lambda: write("DeleteObject", s3.delete_object), "s3:DeleteObject")
    predicted = row.after if record.parameters.applying else row.before
    if seen["administer"][0] == "allowed" != predicted["administer"].state:
        del seen["administer"]  # reading the policy is allowed; putting one is not tried
    return seen


def _state(call: Callable[[], Any], action: str) -> tuple[str, str]:
    """Whether S3 lets an action pass, in the words of the matrix, and its answer."""
    try:
        with aws.attempt("ask S3 from outside the VPC", "-"):
            call()
    except AwsRefused as error:
        if error.code in ANSWERED:
            return "allowed", error.code
        if error.code != "AccessDenied":
            raise
        # Reading what is not there is refused for the listing, which would tell that it is not.
        other = "not authorized to perform: " in error.answer and f" {action} " not in error.answer
        return "allowed" if other else "denied", error.answer
    return "allowed", "answered"

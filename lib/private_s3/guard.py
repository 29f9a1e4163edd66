"""Refuses a plan that would lock people out, break what must work, or be refused by S3."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import get_args

from iam_verdict import PolicyError, public_statements
from private_s3 import lint
from private_s3.access import ACTIONS, DATA, THROUGH_ENDPOINT, Row, Situation
from private_s3.callers import OUTSIDE, Caller
from private_s3.matrix import Matrix
from private_s3.parameters import Parameters, RestrictTo
from private_s3.record import Check, State

FOR_INSTANCES = (
    "change the statement that is named here, or give the role of the instance what it lacks"
)
FOR_OTHERS = (
    "take a lower restrict_to, have the statement that is named here exempt the caller, or take "
    "the caller out of must_work if it may stop"
)
SOURCE_IP = frozenset({"aws:SourceIp"})


def checks(matrix: Matrix, parameters: Parameters, *, changes_policy: bool) -> list[Check]:
    """What must hold before anything is written; each FAIL names row, statement and remedy."""
    rows = matrix.by_caller
    return [
        *repair_checks(matrix),
        *_break_glass(rows),
        *_instances(rows),
        *_must_work(rows, parameters),
        *_source_ip(matrix),
        *_promise(rows, parameters),
        *(_public(matrix.after) if changes_policy else ()),
        *(
            lint.checks(matrix.after.policy, parameters.bucket, matrix.before.policy)
            if changes_policy
            else ()
        ),
        *matrix.unread,
    ]


def repair_checks(matrix: Matrix) -> list[Check]:
    """Somebody outside who is not root must keep the means to read, put and delete the policy.

    Root keeps them whatever the policy says, but its credentials may not be at hand, and an
    organization's or endpoint's policy can stop it. Source: S3 API Reference, PutBucketPolicy.
    """
    seats = [(c, r) for c, r in matrix.by_caller if c.place == OUTSIDE and c.exists]
    people = [(c, r) for c, r in seats if c.principal.kind in ("role-session", "user")]
    able = [r.who for c, r in people if r.after["administer"].state == "allowed"]
    perhaps = [r.who for c, r in people if r.after["administer"].state == "depends"]
    denied = [f"{r.who}: {r.after['administer'].reason}" for _, r in people]
    return [
        Check(
            "somebody outside can repair the policy",
            "PASS" if able else "UNCERTAIN" if perhaps else "FAIL",
            ", ".join(able or perhaps) or "; ".join(denied) or "nobody is known",
            "take the administration of the policy out of the Deny statement named here, or give "
            "break_glass_role s3:GetBucketPolicy, s3:PutBucketPolicy and s3:DeleteBucketPolicy",
        )
    ]


def _break_glass(rows: Sequence[tuple[Caller, Row]]) -> Iterator[Check]:
    """An exemption for a role that is not there exempts nobody when it is needed."""
    for caller, row in rows:
        if caller.part == "break-glass":
            yield Check.of(
                "break_glass_role exists",
                caller.exists,
                row.who,
                remedy="correct break_glass_role: to exempt a role that is not there helps nobody",
            )


def _instances(rows: Sequence[tuple[Caller, Row]]) -> Iterator[Check]:
    """The instances of the change must be able to list, read, write and delete in the end."""
    for caller, row in rows:
        if caller.part == "target":
            yield _open(f"{row.who} will reach the data", row, list(DATA), FOR_INSTANCES)


def _must_work(rows: Sequence[tuple[Caller, Row]], parameters: Parameters) -> Iterator[Check]:
    """Who is named in must_work keeps what they could do before."""
    for name in parameters.must_work:
        found = [
            (c, r) for c, r in rows if c.part != "copied" and name in (c.instances or _outside(c))
        ]
        if not found or not found[0][0].exists:
            detail = "nobody of this name is in the account or the VPC"
            yield Check.of(f"{name} keeps working", False, detail, "correct must_work")
        for _, row in found:
            could = [c for c, cell in row.before.items() if cell.state in ("allowed", "depends")]
            yield _open(f"{row.who} keeps working", row, could, FOR_OTHERS)


def _outside(caller: Caller) -> tuple[str, ...]:
    return (caller.principal.arn,) if caller.place == OUTSIDE else ()


def _open(name: str, row: Row, columns: Sequence[str], remedy: str) -> Check:
    shut = [c for c in columns if row.after[c].state in ("denied", "no way")]
    doubtful = [c for c in columns if row.after[c].state == "depends"]
    state: State = "FAIL" if shut else "UNCERTAIN" if doubtful else "PASS"
    reasons = dict.fromkeys(row.after[c].reason for c in shut or doubtful)
    told = ", ".join(shut or doubtful or columns)
    detail = f"{told}: {'; '.join(reasons)}" if reasons else told or "could do nothing before"
    return Check(name, state, detail, remedy)


def _source_ip(matrix: Matrix) -> Iterator[Check]:
    """Statements by aws:SourceIp never match a request that comes through an endpoint.

    Asked of every instance that loses by it: would it be let through, if it came with an address?
    Source: Amazon S3, "Gateway endpoints": the source address turns into a private one.
    """
    lost = []
    for caller, row in matrix.by_caller:
        if caller.subnet and matrix.after.where(caller) != matrix.before.where(caller):
            denied = [c for c in DATA if row.after[c].state == "denied"]
            shut = denied if caller.part == "target" else row.loses
            by_address = [c for c in shut if _by_address(matrix, caller, c)]
            reasons = "; ".join(dict.fromkeys(row.after[c].reason for c in by_address))
            lost += [f"{row.who} ({', '.join(by_address)}): {reasons}"] if by_address else []
    yield Check.of(
        "no statement by aws:SourceIp stops matching",
        not lost,
        "; ".join(lost) or "none decides about these instances",
        remedy="have the statement take aws:SourceVpce or aws:VpcSourceIp beside aws:SourceIp, "
        "before traffic comes through the endpoint",
    )


def _by_address(matrix: Matrix, caller: Caller, column: str) -> bool:
    """Whether a request that is denied might pass if it had a public address."""
    verdicts = (
        matrix.after.verdict(caller, action, matrix.key, SOURCE_IP) for action in ACTIONS[column]
    )
    return any(verdict.decision in ("allowed", "depends") for verdict in verdicts)


def _promise(rows: Sequence[tuple[Caller, Row]], parameters: Parameters) -> Iterator[Check]:
    """Whom the level is to shut out is shut out, whatever its statements say in detail."""
    level, levels = parameters.restrict_to, get_args(RestrictTo)
    if level == "none":
        return
    roles = {c.principal.arn for c, _ in rows if c.part == "target"}

    def shut_from(caller: Caller, row: Row) -> RestrictTo:
        """The lowest level that shuts this caller out; "none" for who may stay at all."""
        if caller.part in ("target", "break-glass") or (
            caller.principal.kind == "service" and parameters.allow_services
        ):
            return "none"
        if row.where != THROUGH_ENDPOINT:
            return "endpoint"
        if caller.principal.arn not in roles:
            return "role"
        return "instance-origin" if caller.part == "copied" else "instance"

    shut = [row for c, row in rows if 0 < levels.index(shut_from(c, row)) <= levels.index(level)]
    states = {state: [r for r in shut if state in _states(r)] for state in ("allowed", "depends")}
    state: State = "FAIL" if states["allowed"] else "UNCERTAIN" if states["depends"] else "PASS"
    found = states["allowed"] or states["depends"]
    yield Check(
        f"{level} shuts out who it should",
        state,
        "; ".join(f"{r.name}: {_first(r, 'allowed', 'depends')}" for r in found)
        or f"{len(shut)} callers",
        "do not apply this plan: the statements of restrict_to do not do what they are for",
    )


def _states(row: Row) -> set[str]:
    return {row.after[column].state for column in DATA}


def _first(row: Row, *states: str) -> str:
    """The first data request in one of these states, and what decides it."""
    column = next(c for state in states for c in DATA if row.after[c].state == state)
    return f"{column}, {row.after[column].reason}"


def _public(after: Situation) -> Iterator[Check]:
    """S3 refuses a public policy where BlockPublicPolicy is on."""
    unread = after.public_access_block is None
    if after.policy is None or not (unread or after.blocks("BlockPublicPolicy")):
        return
    try:
        public = public_statements(after.policy)
    except PolicyError as error:
        yield Check("the policy is not public", "UNCERTAIN", str(error))
        return
    named = ", ".join(s.sid or f"statement {s.index + 1}" for s in public)
    state: State = "PASS" if not public else "UNCERTAIN" if unread else "FAIL"
    yield Check(
        "the policy is not public",
        state,
        f"{named}: BlockPublicPolicy of Block Public Access refuses it"
        if named
        else "no statement opens it to everybody",
        "name accounts, roles or a fixed aws:SourceVpce in the statement",
    )

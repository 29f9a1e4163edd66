"""Finds all that keeps an instance's requests from the data, one thing after the other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from iam_verdict import FULL_ACCESS, PolicyError, Verdict, parse
from iam_verdict.context import Context
from private_s3 import statements
from private_s3.access import ACTIONS, Situation
from private_s3.callers import Caller

# What an instance must be able to do, as step 50 asks it.
NEEDED = tuple(action for column in ("list", "read", "write") for action in ACTIONS[column])
BUCKET_POLICY = "bucket policy"
SOURCE_IP = "aws:sourceip"
BY_ENDPOINT = ("aws:sourcevpce", "aws:sourcevpc", "aws:sourcevpcarn")
ENDPOINT_ID = re.compile(r"vpce-[0-9a-f]{8,17}")
# Where nothing need allow for this to go on, if something did.
_MENDED = ("identity-based policy", "permissions boundary")
_HAVE_CONDITIONS = ("identity-based policy", "resource-based policy")
# A request is allowed once so much was taken away, or never will be.
_MOST = 100
_EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}
NOTHING = Context({})


class Refusal(NamedTuple):
    """One thing that keeps a request back; `symptom` is None for what is none of them.

    `policy` is where it stands; `statement` denies there, or would allow it to requests that come
    otherwise; without one nothing allows it. `awaited` are the ids of the endpoints that it wants
    requests to come through, `detail` the condition, or what is allowed instead.
    """

    symptom: int | None
    policy: str
    statement: str = ""
    effect: str = ""
    awaited: tuple[str, ...] = ()
    detail: str = ""


class Judgement(NamedTuple):
    """What keeps back which requests of a caller, and what is not known that may do so too."""

    refusals: Mapping[Refusal, list[str]]
    doubts: tuple[str, ...]


def judge(situation: Situation, caller: Caller, key: str, existing: frozenset[str]) -> Judgement:
    """All that keeps the caller from listing, reading and writing, not only the first of it.

    `existing` are the ids of the endpoints that there are. The policy of the endpoint is not asked
    here: it has a hop of its own.
    """
    full_access = json.dumps(FULL_ACCESS)
    open_ways = replace(situation, endpoints=dict.fromkeys(situation.endpoints, full_access))
    refusals: dict[Refusal, list[str]] = {}
    doubts: dict[str, None] = {}
    for action in NEEDED:
        try:
            for found in _Question(open_ways, caller, action, key, existing).obstacles():
                refusals.setdefault(found, []).append(action)
        except _Doubt as doubt:
            doubts[str(doubt)] = None
        except PolicyError as error:
            doubts[f"a policy that cannot be understood: {error}"] = None
    return Judgement(refusals, tuple(doubts))


def waits_for(statement: statements.Statement) -> tuple[str, ...]:
    """Ids of the endpoints that a condition of the statement names."""
    return tuple(ENDPOINT_ID.findall(json.dumps(statement.get("Condition", {}))))


def keys_of(statement: statements.Statement) -> set[str]:
    """The condition keys of a statement, in small letters."""
    return {key.lower() for tests in statement.get("Condition", {}).values() for key in tests}


def named(policy: str | None) -> Iterator[tuple[str, statements.Statement]]:
    """The statements of a policy, each with its Sid, or its place."""
    found = statements.as_list(statements.parse(policy)["Statement"]) if policy else []
    for index, statement in enumerate(found):
        yield statement.get("Sid") or f"statement {index + 1}", statement


class _Doubt(Exception):
    """The answer hangs on something that is not known."""


class _Question(NamedTuple):
    """Whether a caller may do one thing."""

    situation: Situation
    caller: Caller
    action: str
    key: str
    existing: frozenset[str]

    def obstacles(self) -> Iterator[Refusal]:
        """What keeps the request back; each is taken away before S3 is asked for the next."""
        asked = self
        for _ in range(_MOST):
            verdict = asked.situation.verdict(asked.caller, self.action, self.key)
            if verdict.allowed:
                return
            if verdict.depends_on:
                raise _Doubt(", ".join(sorted(verdict.depends_on)))
            yield asked._obstacle(verdict)
            if verdict.statement is None and verdict.layer not in _MENDED:
                return
            asked = asked._without(verdict)

    def _obstacle(self, verdict: Verdict) -> Refusal:
        if verdict.statement and verdict.layer in _HAVE_CONDITIONS:
            name, text = self._policy(verdict)
            title, statement = [*named(text)][verdict.statement.index]
            otherwise = None if name == BUCKET_POLICY else 18
            return self._by_condition(statement, name, title, otherwise)
        if verdict.layer == "identity-based policy":
            return self._not_allowed()
        return Refusal(None, str(verdict.layer))

    def _policy(self, verdict: Verdict) -> tuple[str, str | None]:
        """Name and text of the policy that has the statement which decides."""
        assert verdict.statement
        if verdict.layer == "resource-based policy":
            return BUCKET_POLICY, self.situation.policy
        return [*self.caller.policies.items()][verdict.statement.policy]

    def _by_condition(
        self, statement: statements.Statement, policy: str, title: str, otherwise: int | None
    ) -> Refusal:
        """What is wrong with a statement that applies, or does not, by the keys it goes by."""
        keys, awaited = keys_of(statement), waits_for(statement)
        condition = json.dumps(statement.get("Condition", {}))
        symptom = 11 if SOURCE_IP in keys else otherwise
        ours = self.situation.ways[self.caller.subnet]
        if not keys.isdisjoint(BY_ENDPOINT) and ours not in awaited:
            gone = bool(awaited) and self.existing.isdisjoint(awaited)
            symptom = 13 if gone else 12
        return Refusal(symptom, policy, title, statement["Effect"], awaited, condition)

    def _not_allowed(self) -> Refusal:
        """Nothing allows it: perhaps a statement would, if the request came another way."""
        for keys in (BY_ENDPOINT, (SOURCE_IP,)):
            verdict = self.situation.verdict(
                self.caller, self.action, self.key, unknown=frozenset(keys)
            )
            if verdict.allowed or verdict.depends_on:
                for policy, title, statement in self._allowing():
                    if not keys_of(statement).isdisjoint(keys):
                        return self._by_condition(statement, policy, title, 18)
        near = [
            f"{title} of {policy} allows it on {_resources(statement)}"
            for policy, title, statement in self._allowing()
        ]
        return Refusal(18, "", detail="; ".join(near))

    def _allowing(self) -> Iterator[tuple[str, str, statements.Statement]]:
        """The statements that allow such an action, if perhaps not here."""
        policies = {BUCKET_POLICY: self.situation.policy, **self.caller.policies}
        for policy, text in policies.items():
            parsed = parse(text).statements if text else ()
            for (title, statement), one in zip(named(text), parsed, strict=True):
                reaches = not one.principals or one.principals.match(self.caller.principal, False)
                if one.effect == "Allow" and reaches and one.actions.match(self.action, NOTHING):
                    yield policy, title, statement

    def _without(self, verdict: Verdict) -> _Question:
        """The same, had what decides not been there."""
        situation, caller = self.situation, self.caller
        if verdict.layer == "Block Public Access":
            return self._replace(situation=replace(situation, public_access_block={}))
        if verdict.layer == "permissions boundary":
            return self._replace(caller=replace(caller, boundary=None))
        if not verdict.statement:
            more = {"": json.dumps({"Version": "2012-10-17", "Statement": _EVERYTHING})}
            return self._replace(caller=replace(caller, policies={**caller.policies, **more}))
        name, text = self._policy(verdict)
        less = _less(text, verdict.statement.index)
        if name == BUCKET_POLICY:
            return self._replace(situation=replace(situation, policy=less))
        policies = {**caller.policies, name: less}
        kept = {one: content for one, content in policies.items() if content}
        return self._replace(caller=replace(caller, policies=kept))


def _less(policy: str | None, index: int) -> str | None:
    """The policy without one of its statements; None if none is left."""
    document = statements.parse(policy or "")
    content: list[Any] = statements.as_list(document["Statement"])
    kept = [*content[:index], *content[index + 1 :]]
    return json.dumps({**document, "Statement": kept}) if kept else None


def _resources(statement: statements.Statement) -> str:
    name = "Resource" if "Resource" in statement else "NotResource"
    found: Iterable[str] = statements.as_list(statement.get(name, []))
    return ("" if name == "Resource" else "all but ") + ", ".join(found)

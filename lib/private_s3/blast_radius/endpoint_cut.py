"""Predicts what the policy of a gateway endpoint cuts of what AWS itself keeps in S3 buckets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from iam_verdict import Policies, PolicyError, Principal, Request, decide
from private_s3.blast_radius.aws_buckets import Family, Signature, families

# "depends": on what is not known here, such as the id of the organization.
State = Literal["cut", "depends", "passes"]
# The buckets are of accounts of AWS, whose ids are not told, and of its own organization.
OF_AWS = "of AWS"
_ALLOW = (
    '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", %s"Action": "*", "Resource": "*"}}'
)
_ACCOUNT = re.compile(r"\d{12}")
_OF_PRINCIPAL = ("aws:principal", "aws:userid", "aws:username")


class Judgement(NamedTuple):
    """What becomes of the requests for a family, by how they are signed, and why."""

    family: Family
    states: Mapping[Signature, State]
    reason: str

    @property
    def worst(self) -> State:
        return _worst(self.states.values())


@dataclass(frozen=True)
class Judge:
    """The policy of an endpoint, and who asks through it: the roles of the instances there.

    Only this policy is judged: that the buckets let everybody in is taken for granted.
    """

    endpoint_policy: str
    region: str
    account_id: str
    roles: Sequence[str] = ()  # ARNs; none: no role is known

    def judgements(self) -> list[Judgement]:
        """One for each family of buckets in the Region."""
        return [self._judged(family) for family in families(self.region)]

    def _judged(self, family: Family) -> Judgement:
        states: dict[Signature, State] = {}
        reasons: dict[str, State] = {}
        for signature in family.signatures:
            found = [
                self._state(caller, family.action, bucket)
                for caller in self._callers(family, signature)
                for bucket in family.buckets
            ]
            states[signature] = _worst(state for state, _ in found)
            reasons |= {reason: state for state, reason in found}
        worst = _worst(states.values())
        return Judgement(family, states, "; ".join(r for r, s in reasons.items() if s == worst))

    def _callers(self, family: Family, signature: Signature) -> list[_Caller]:
        if signature == "unsigned":
            keys = {"aws:PrincipalType": "Anonymous", "aws:userid": "anonymous"}
            return [_Caller(Principal("anonymous"), keys)]
        if signature == "by the role":
            roles = self.roles or [""]
            return [_session(arn, self.account_id) for arn in roles]
        if not family.service:
            return [_session("", OF_AWS)]
        keys = {"aws:PrincipalIsAWSService": "true", "aws:PrincipalServiceName": family.service}
        return [_Caller(Principal("service", service=family.service), keys)]

    def _state(self, caller: _Caller, action: str, bucket: str) -> tuple[State, str]:
        """What becomes of a request for an object of the bucket, and what decides it."""
        arn, unknown = f"arn:aws:s3:::{bucket}/x", frozenset[str]()
        policies = Policies((_ALLOW % "",), _ALLOW % '"Principal": "*", ', self.endpoint_policy)
        try:
            keys = {**self._keys(), **caller.keys}
            while True:
                request = Request(caller.principal, action, arn, OF_AWS, keys, unknown)
                verdict = decide(request, policies)
                doubtful = {key for key in verdict.missing if not caller.lacks(key)}
                if doubtful <= unknown:
                    break
                unknown |= doubtful
        except (PolicyError, json.JSONDecodeError) as error:
            return "depends", f"a policy that cannot be understood: {error}"
        if verdict.depends_on:
            return "depends", ", ".join(sorted(verdict.depends_on))
        if verdict.allowed:
            return "passes", "it is allowed"
        if (statement := verdict.statement) is None:
            return "cut", "no statement allows it"
        return "cut", f"Deny by {statement.sid or f'statement {statement.index + 1}'}"

    def _keys(self) -> dict[str, str]:
        """What every request has. Who owns a bucket is known not to be us.

        But a policy that names other accounts as owners may well mean those of AWS.
        """
        keys = {
            "aws:SecureTransport": "true",
            "aws:RequestedRegion": self.region,
            "aws:ViaAWSService": "false",
            "aws:ResourceOrgID": OF_AWS,
            "aws:ResourceOrgPaths": OF_AWS,
        }
        if {*_owners(json.loads(self.endpoint_policy))} <= {self.account_id}:
            keys |= {"aws:ResourceAccount": OF_AWS, "s3:ResourceAccount": OF_AWS}
        return keys


@dataclass(frozen=True)
class _Caller:
    """Who asks, and the condition keys that tell of it."""

    principal: Principal
    keys: dict[str, str]

    def lacks(self, key: str) -> bool:
        """Whether the request surely has no such key; it comes through the endpoint."""
        key = key.lower()
        signed = self.principal.kind == "role-session"
        return key == "aws:sourceip" or (not signed and key.startswith(_OF_PRINCIPAL))


def _session(arn: str, account: str) -> _Caller:
    """A session of a role of the account; "" is one that nobody knows more of."""
    keys = {
        "aws:PrincipalAccount": account,
        "aws:PrincipalType": "AssumedRole",
        "aws:PrincipalIsAWSService": "false",
    }
    if arn:
        keys["aws:PrincipalArn"] = arn
    if account == OF_AWS:
        keys |= {"aws:PrincipalOrgID": OF_AWS, "aws:PrincipalOrgPaths": OF_AWS}
    return _Caller(Principal("role-session", arn or "unknown", account=account), keys)


def _worst(states: Any) -> State:
    return min(states, key=get_args(State).index)


def _owners(value: object) -> Iterator[str]:
    """The accounts that the conditions of a policy compare the owner of a resource with."""
    if isinstance(value, list):
        for one in value:
            yield from _owners(one)
    elif isinstance(value, dict):
        for key, one in value.items():
            if key.lower().endswith(":resourceaccount"):
                yield from _ACCOUNT.findall(json.dumps(one))
            else:
                yield from _owners(one)

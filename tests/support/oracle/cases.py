"""Cases for both evaluators: a request and its policies, as JSON; and many of them, from a seed.

The vocabulary is small, so that statements really are about the requests.
"""

from collections.abc import Callable
from random import Random
from typing import Any

import iam_verdict
from iam_verdict import Verdict

# {"principal", "action", "resource", "resource_account", "context", "policies"}, as plain JSON.
Case = dict[str, Any]

OWNER, STRANGER = "111122223333", "444455556666"
BUCKET = "arn:aws:s3:::reports"
ENDPOINT, OTHER_ENDPOINT = "vpce-0aaaaaaaaaaaaaaa1", "vpce-0bbbbbbbbbbbbbbb2"
SERVICE = "logging.s3.amazonaws.com"


def verdict(case: Case, package: Any = iam_verdict) -> Verdict:
    """Our verdict on a case, by the package or by one like it."""
    asked = {name: value for name, value in case.items() if name != "policies"}
    asked["principal"] = package.Principal(**case["principal"])
    verdict: Verdict = package.decide(
        package.Request(**asked), package.Policies(**case["policies"])
    )
    return verdict


def case_of(seed: int) -> Case:
    """The case of this number, which depends on nothing else."""
    return _Maker(Random(seed)).case()


def _iam(account: str, name: str) -> str:
    return f"arn:aws:iam::{account}:{name}"


def _session(account: str, role: str, name: str) -> str:
    return f"arn:aws:sts::{account}:assumed-role/{role}/{name}"


def _role_session(account: str, path: str, role: str, name: str) -> dict[str, str]:
    arn, session = _iam(account, f"role/{path}{role}"), _session(account, role, name)
    return {"kind": "role-session", "arn": arn, "session_arn": session, "account": account}


_CALLERS: list[dict[str, str]] = [
    _role_session(OWNER, "", "application", "i-0123456789abcdef0"),
    _role_session(OWNER, "", "application", "ann"),
    _role_session(OWNER, "team/", "auditor", "ann"),
    {"kind": "user", "arn": _iam(OWNER, "user/ann"), "account": OWNER},
    {"kind": "user", "arn": _iam(OWNER, "user/bob"), "account": OWNER},
    {"kind": "root", "arn": _iam(OWNER, "root"), "account": OWNER},
    _role_session(STRANGER, "", "application", "ann"),
    {"kind": "user", "arn": _iam(STRANGER, "user/ann"), "account": STRANGER},
    {"kind": "root", "arn": _iam(STRANGER, "root"), "account": STRANGER},
    {"kind": "service", "service": SERVICE},
    {"kind": "anonymous"},
]
_CALLER_WEIGHTS = [6, 4, 2, 6, 2, 2, 4, 4, 1, 2, 3]
_PLACES = ["endpoint", "other endpoint", "IPv4", "IPv6"]

_ON_OBJECTS = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
_ON_BUCKETS = ["s3:ListBucket", "s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"]
# No star: in a request, the engine would take it for a wildcard.
_KEYS = ["a.csv", "ann/a.csv", "ann/2026/b.csv", "Ann/a.csv", "2026/x?y.csv", "home/blue/c?.csv"]

_ACTION_PATTERNS = [
    "*", "s3:*", "s3:Get*", "S3:getobject", "s3:?etObject", "s3:*Object", "s3:PutObject",
    "s3:List*", "s3:*Policy", "ec2:*", "s3:DeleteObject",
]  # fmt: skip
_RESOURCE_PATTERNS = [
    "*", f"{BUCKET}/*", BUCKET, f"{BUCKET}*", "arn:aws:s3:::*", f"{BUCKET}/ann/*",
    f"{BUCKET}/?.csv",
    f"{BUCKET}/*/*.csv", "arn:aws:s3:::Reports/*", "arn:aws:s3:::other/*", f"{BUCKET}/a.csv",
    f"{BUCKET}/${{aws:username}}/*", f"{BUCKET}/home/${{aws:PrincipalTag/team}}/*",
    f"{BUCKET}/${{AWS:Username, 'ann'}}/*", f"{BUCKET}/2026/x${{?}}y.csv",
    f"{BUCKET}/home/blue/c${{?}}.csv", f"{BUCKET}/2026/${{aws:PrincipalTag/pattern}}.csv",
]  # fmt: skip
_NAMES = [
    *(caller["arn"] for caller in _CALLERS if "arn" in caller),
    *(caller["session_arn"] for caller in _CALLERS if "session_arn" in caller),
    *(OWNER, STRANGER),
]

_TEXTS = {
    "aws:SourceVpce": [ENDPOINT, OTHER_ENDPOINT, "vpce-*"],
    "aws:PrincipalTag/team": ["blue", "Blue", "red", "b*", "?lue", "${aws:PrincipalTag/other}"],
    "aws:username": ["ann", "ANN", "bob", "a*", "${aws:PrincipalTag/team}"],
    "aws:userid": ["AIDAANN", "*:ann", "aroaapp:ANN", "AROAAPP:${aws:PrincipalTag/name}"],
    "aws:PrincipalOrgID": ["o-1", "o-2", "o-${aws:PrincipalTag/number, '1'}"],
    "aws:PrincipalAccount": [OWNER, STRANGER, "4444*", "${aws:ResourceAccount}"],
    "aws:PrincipalTag/pattern": ["x*y", "x${*}y", "x?y", "${$}", "$*"],
    "aws:SourceIp": ["203.0.113.9", "203.*"],
    "s3:prefix": ["ann/", "ann/*", "${aws:username}/*", "2026/"],
}
_LISTS = {
    "aws:TagKeys": ["team", "Team", "cost", "t*", "${aws:PrincipalTag/team}"],
    "aws:PrincipalOrgPaths": ["o-1/r-1/ou-1/", "o-1/*", "o-2/*"],
}
_ARNS = {
    "aws:PrincipalArn": [
        *(_iam(OWNER, name) for name in ("role/application", "role/*", "user/ann", "root")),
        *(_iam(account, "*") for account in ("*", STRANGER, "1111*")),
        "arn:aws:iam::${aws:PrincipalAccount}:user/${aws:username}",
        _iam(OWNER, "user/${aws:username}"),
        "arn:aws:*:*:*:role/team/auditor",
    ],
    "aws:SourceArn": [
        "arn:aws:s3:::logs",
        "arn:aws:s3:::*",
        "arn:aws:logs:*:*:*",
        "arn:*:*:*:*:group:a*",
        "arn:aws:logs:*:group:*:b",
        "arn:aws:?ogs:us-*-1:1111*:group:?:b",
    ],
}
_NUMBERS: dict[str, list[Any]] = {
    "aws:MultiFactorAuthAge": ["300", "3600", "60.0", 300],
    "s3:max-keys": ["10", "100", 1000],
}
_DATES = {
    "aws:CurrentTime": ["2026-01-01T00:00:00Z", "2026-06-01", "2025-12-31T23:00:00-01:00"],
    "aws:EpochTime": ["1767225600", "1780272000"],
    "aws:TokenIssueTime": ["2026-01-01", "2026-01-01T09:00:00+09:00", "2025-06", "1767225600"],
}
_TRUTHS: dict[str, list[Any]] = {
    "aws:SecureTransport": ["true", "false", True, False],
    "aws:PrincipalIsAWSService": ["true", "false", "False"],
    "aws:ViaAWSService": ["true", "false"],
    "aws:MultiFactorAuthPresent": ["true", True, "false"],
}
_NETWORKS = {
    "aws:SourceIp": ["203.0.113.0/24", "203.0.113.9", "203.0.113.9/32", "198.51.100.0/24",
                     "2001:db8::/32", "2001:DB8:0::1", "0.0.0.0/0", "10.0.0.0/8"],
    "aws:VpcSourceIp": ["10.0.0.0/16", "10.0.0.4", "10.0.1.0/24"],
}  # fmt: skip
_BYTES: dict[str, list[Any]] = {"aws:PrincipalTag/binary": ["QmluYXJ5", "QmluYXJ6"]}

_TEXT_OPERATORS = [
    "StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase",
    "StringLike", "StringNotLike",
]  # fmt: skip
_ORDERS = ["Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals"]
_FAMILIES: list[tuple[list[str], dict[str, list[Any]], int]] = [
    (_TEXT_OPERATORS, _TEXTS, 8),
    (_TEXT_OPERATORS, _LISTS, 3),
    (["ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike"], _ARNS, 4),
    ([f"Numeric{order}" for order in _ORDERS], _NUMBERS, 2),
    ([f"Date{order}" for order in _ORDERS], _DATES, 2),
    (["Bool"], _TRUTHS, 2),
    (["IpAddress", "NotIpAddress"], _NETWORKS, 4),
    (["BinaryEquals"], _BYTES, 1),
]
_FAMILY_WEIGHTS = [weight for _, _, weight in _FAMILIES]
_ALL_KEYS = sorted({key for _, keys, _ in _FAMILIES for key in keys})


class _Maker:
    """Makes one case from a source of chance."""

    def __init__(self, chance: Random):
        self._chance = chance
        self._pick = chance.choice

    def case(self) -> Case:
        (caller,) = self._chance.choices(_CALLERS, _CALLER_WEIGHTS)
        self._own_names = [caller[name] for name in ("arn", "session_arn") if name in caller]
        place = self._pick(_PLACES)
        on_object = self._often(0.7)
        action = self._pick(_ON_OBJECTS if on_object else _ON_BUCKETS)
        return {
            "principal": caller,
            "action": action,
            "resource": f"{BUCKET}/{self._pick(_KEYS)}" if on_object else BUCKET,
            "resource_account": OWNER,
            "context": self._context(caller, place, action),
            "policies": self._policies(caller, place),
        }

    def _often(self, share: float) -> bool:
        return self._chance.random() < share

    def _some(self, values: list[Any], most: int = 3) -> Any:
        """One of the values, or a list of a few."""
        if self._often(0.5):
            return self._pick(values)
        return self._chance.sample(values, min(len(values), self._chance.randint(1, most)))

    def _context(self, caller: dict[str, str], place: str, action: str) -> dict[str, Any]:
        keys: dict[str, Any] = {
            "aws:SecureTransport": self._pick(["true", "true", "false"]),
            "aws:CurrentTime": self._pick(["2026-01-01T00:00:00Z", "2026-07-01T12:00:00.5Z"]),
            "aws:EpochTime": self._pick(["1767225600", "1782907200"]),
            "aws:ResourceAccount": OWNER,
        }
        if "endpoint" in place:
            keys["aws:SourceVpce"] = ENDPOINT if place == "endpoint" else OTHER_ENDPOINT
            keys["aws:VpcSourceIp"] = self._pick(["10.0.0.4", "10.0.1.4"])
        elif caller["kind"] != "service":
            ipv4 = ["203.0.113.9", "198.51.100.7", "192.0.2.1"]
            keys["aws:SourceIp"] = self._pick(ipv4 if place == "IPv4" else ["2001:db8::1", "::1"])
        if caller["kind"] == "service":
            keys |= {"aws:PrincipalIsAWSService": "true", "aws:SourceArn": "arn:aws:s3:::logs"}
        elif caller["kind"] != "anonymous":
            keys |= self._keys_of(caller)
        if action == "s3:ListBucket" and self._often(0.7):
            keys["s3:prefix"] = self._pick(["ann/", "bob/", "2026/", ""])
            keys["s3:max-keys"] = self._pick(["10", "50", "1000"])
        if self._often(0.3):
            keys["aws:TagKeys"] = self._chance.sample(["team", "cost", "blue", "TEAM"], 2)
        return {self._spelt(key): value for key, value in keys.items()}

    def _keys_of(self, caller: dict[str, str]) -> dict[str, Any]:
        keys: dict[str, Any] = {
            "aws:PrincipalArn": caller["arn"],
            "aws:PrincipalAccount": caller["account"],
            "aws:PrincipalIsAWSService": "false",
            "aws:ViaAWSService": self._pick(["false", "false", "true"]),
        }
        if caller["kind"] == "user":
            keys["aws:username"] = caller["arn"].rpartition("/")[2]
            keys["aws:userid"] = "AIDA" + keys["aws:username"].upper()
        if caller["kind"] == "role-session":
            keys["aws:userid"] = "AROAAPP:" + caller["session_arn"].rpartition("/")[2]
            keys["aws:TokenIssueTime"] = "2026-01-01T00:00:00Z"
        optional: dict[str, list[Any]] = {
            "aws:PrincipalOrgID": ["o-1", "o-2"],
            "aws:PrincipalOrgPaths": [["o-1/r-1/ou-1/"], ["o-1/r-1/ou-2/", "o-2/r-1/"]],
            "aws:PrincipalTag/team": ["blue", "BLUE", "red"],
            "aws:PrincipalTag/pattern": ["x*y", "x?y", "xzy", "$"],
            "aws:PrincipalTag/binary": ["QmluYXJ5", "QmluYXJ6"],
            "aws:PrincipalTag/name": ["ann"],
            "aws:MultiFactorAuthAge": ["60", "300", "300.5", "7200"],
            "aws:SourceArn": ["arn:aws:logs:us-east-1:111122223333:group:a:b", "arn:aws:s3:::logs"],
            "aws:MultiFactorAuthPresent": ["true", "false", "True"],
        }
        return keys | {k: self._pick(values) for k, values in optional.items() if self._often(0.5)}

    def _spelt(self, key: str) -> str:
        """The key as it is, or in other cases: names of keys ignore them."""
        return self._pick([key] * 8 + [key.upper(), key.lower()])

    def _policies(self, caller: dict[str, str], place: str) -> dict[str, Any]:
        policies: dict[str, Any] = {}
        has_policies = caller["kind"] in ("user", "role-session")
        if has_policies:
            policies["identity"] = [self._policy() for _ in range(self._pick([0, 1, 1, 2]))]
            if self._often(0.67):
                policies["identity"].append(_document(_statement("Allow", "s3:*")))
            if self._often(0.25):
                policies["boundary"] = self._guardrail(0.6)
        if caller["kind"] == "role-session" and self._often(0.2):
            policies["session"] = [self._guardrail(0.6)]
        if self._often(0.75):
            policies["resource"] = self._policy(self._principal)
        if "endpoint" in place and self._often(0.8):
            policies["endpoint"] = self._guardrail(0.6, _to_everyone)
        if "account" in caller and self._often(0.15):
            policies["organization"] = self._levels(lambda: self._guardrail(0.8))
        if self._often(0.12):
            policies["resource_control"] = self._levels(self._resource_control)
        if self._often(0.15):
            policies["restrict_public_buckets"] = True
        return policies

    def _levels(self, make: Callable[[], Any]) -> list[list[Any]]:
        sizes = [self._pick([1, 1, 2]) for _ in range(self._pick([1, 2]))]
        return [[make() for _ in range(size)] for size in sizes]

    def _guardrail(self, open_share: float, who: Callable[[], Any] | None = None) -> Any:
        """A policy of a layer that must allow, too: mostly it does."""
        named = who() if who else {}
        if self._often(open_share):
            statements = [_statement("Allow", "*") | named]
            if self._often(0.6):
                statements.append(self._statement("Deny") | named)
            return _document(*statements)
        return self._policy(who)

    def _resource_control(self) -> Any:
        return _document(
            self._statement("Deny", ["s3:*", "s3:Get*", "s3:GetObject"]) | _to_everyone()
        )

    def _policy(self, who: Callable[[], Any] | None = None) -> Any:
        statements = []
        for _ in range(self._pick([1, 1, 2, 3])):
            statement = self._statement(self._pick(["Allow", "Allow", "Deny"]))
            named = who() if who else {}
            if "NotPrincipal" in named:
                statement["Effect"] = "Deny"
            statements.append(statement | named)
        document = _document(*statements)
        if "${" not in repr(document) or self._often(0.1):
            if self._often(0.08):
                document["Version"] = "2008-10-17"
            elif self._often(0.04):
                del document["Version"]
        if len(statements) == 1 and self._often(0.3):
            document["Statement"] = statements[0]
        return document

    def _statement(self, effect: str, actions: list[str] | None = None) -> dict[str, Any]:
        element = "NotAction" if not actions and self._often(0.12) else "Action"
        broad = self._often(0.5)
        patterns = actions or (["s3:*"] if broad and element == "Action" else _ACTION_PATTERNS)
        statement = {"Effect": effect, element: self._some(patterns)}
        element = "NotResource" if not actions and self._often(0.12) else "Resource"
        broad = self._often(0.5) and element == "Resource"
        statement[element] = "*" if broad else self._some(_RESOURCE_PATTERNS)
        if self._often(0.6 if effect == "Deny" else 0.4):
            statement["Condition"] = self._condition()
        return statement

    def _condition(self) -> dict[str, dict[str, Any]]:
        block: dict[str, dict[str, Any]] = {}
        for _ in range(self._pick([1, 1, 1, 2, 2, 3])):
            ((operators, keys, _),) = self._chance.choices(_FAMILIES, _FAMILY_WEIGHTS)
            operator, key = self._pick(operators), self._pick(list(keys))
            values = self._some(keys[key])
            if self._often(0.08):
                operator, key, values = "Null", self._pick(_ALL_KEYS), self._pick(["true", "false"])
            else:
                if keys is _LISTS or self._often(0.05):
                    operator = self._pick(["ForAllValues:", "ForAnyValue:"]) + operator
                if self._often(0.2):
                    operator += "IfExists"
            block.setdefault(operator, {})[self._spelt(key)] = values
        return block

    def _principal(self) -> dict[str, Any]:
        kind = self._chance.random()
        if kind < 0.35:
            return {"Principal": self._pick(["*", {"AWS": "*"}])}
        if kind < 0.45:
            return {"Principal": {"Service": self._pick([SERVICE, "ec2.amazonaws.com"])}}
        if kind < 0.55:
            spared = self._pick([caller for caller in _CALLERS if "account" in caller])
            own = [spared[name] for name in ("arn", "session_arn", "account") if name in spared]
            return {"NotPrincipal": {"AWS": own if self._often(0.85) else self._pick(own)}}
        return {"Principal": {"AWS": self._some(_NAMES + self._own_names * 4)}}


def _to_everyone() -> dict[str, Any]:
    return {"Principal": "*"}


def _statement(effect: str, action: str) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": "*"}


def _document(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}

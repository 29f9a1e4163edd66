"""Builds, merges and compares policy statements; pure, knows nothing of AWS's answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from private_s3.errors import BadInput
from private_s3.parameters import RestrictTo

Statement = dict[str, Any]
Policy = dict[str, Any]

# Data only: who may administer the bucket and its policy is never touched, so that no level of
# restriction can lock people out of repairing it.
DATA_ACTIONS = (
    "s3:AbortMultipartUpload",
    "s3:DeleteObject*",
    "s3:GetObject*",
    "s3:ListBucket",
    "s3:ListBucketMultipartUploads",
    "s3:ListBucketVersions",
    "s3:ListMultipartUploadParts",
    "s3:PutObject*",
    "s3:ReplicateDelete",
    "s3:ReplicateObject",
    "s3:RestoreObject",
)
# Amazon S3 User Guide, "Bucket policies": at most 20 KB.
SIZE_LIMIT = 20_480
# The version in which `${...}` is a variable; in the older one it is a plain text.
# Source: IAM User Guide, "IAM JSON policy elements: Version".
WITH_VARIABLES = "2012-10-17"
SETS = frozenset({"Action", "NotAction", "Resource", "NotResource"})
_ROOT = re.compile(r"arn:[^:]+:iam::(\d{12}):root")
_DECODER, _SEPARATORS = json.JSONDecoder(), re.compile(r"[ \t\r\n,:]*")


@dataclass(frozen=True)
class Fence:
    """Who stays inside: what the statements of a level are made from."""

    bucket: str
    endpoint_ids: Sequence[str]
    role_arns: Sequence[str]
    instance_arns: Sequence[str]
    break_glass_role: str
    allow_services: bool

    def statements(self, level: RestrictTo) -> list[Statement]:
        """The Deny statements of a level: its own, and those of every level below it.

        Each is one requirement, since within a statement all conditions must hold for it to deny.
        """
        levels = get_args(RestrictTo)
        below = levels[1 : levels.index(level) + 1]
        return [self._deny(sid) for name in below for sid in SIDS[name]]

    def _deny(self, sid: str) -> Statement:
        """Denies the data to every request that does not meet what the Sid says.

        A request without the key is denied too: a negated operator matches an absent key.
        `BoolIfExists` keeps anonymous requests denied, which carry no `aws:PrincipalIsAWSService`.
        Source: IAM User Guide, "Condition operators", "AWS global condition context keys".
        """
        condition: dict[str, dict[str, Any]] = {
            operator: {key: self._value(value)} for operator, key, value in REQUIREMENTS[sid]
        }
        if self.break_glass_role:
            exempt = condition.setdefault("ArnNotEquals", {})
            exempt["aws:PrincipalArn"] = [
                *exempt.get("aws:PrincipalArn", []),
                self.break_glass_role,
            ]
        if self.allow_services:
            condition["BoolIfExists"] = {
                "aws:PrincipalIsAWSService": "false",
                "aws:ViaAWSService": "false",
            }
        return {
            "Sid": sid,
            "Effect": "Deny",
            "Principal": "*",
            "Action": list(DATA_ACTIONS),
            "Resource": bucket_arns(self.bucket),
            "Condition": condition,
        }

    def _value(self, value: str) -> str | list[str]:
        """A value of REQUIREMENTS: the name of a field stands for what is in it."""
        return list(getattr(self, value)) if value in self.__dataclass_fields__ else value


# What a request must meet not to be denied: operator, key and value of the condition that denies.
# The last two hold for credentials of an instance only: they must come from the address, in the
# VPC, to which they were given. An address alone is not enough, since private ones repeat.
# Source: AWS Security Blog, "How to use policies to restrict where EC2 instance credentials can
# be used from".
_FROM_AN_INSTANCE = ("Null", "ec2:SourceInstanceArn", "false")
REQUIREMENTS = {
    "PrivateS3DenyOutsideEndpoint": [("StringNotEquals", "aws:SourceVpce", "endpoint_ids")],
    "PrivateS3DenyOtherRoles": [("ArnNotEquals", "aws:PrincipalArn", "role_arns")],
    "PrivateS3DenyOtherInstances": [("ArnNotEquals", "ec2:SourceInstanceArn", "instance_arns")],
    "PrivateS3DenyOtherAddresses": [
        ("StringNotEquals", "aws:Ec2InstanceSourcePrivateIPv4", "${aws:VpcSourceIp}"),
        _FROM_AN_INSTANCE,
    ],
    "PrivateS3DenyOtherVpcs": [
        ("StringNotEquals", "aws:Ec2InstanceSourceVpc", "${aws:SourceVpc}"),
        _FROM_AN_INSTANCE,
    ],
}
# What each level adds to the one below it.
SIDS: dict[str, tuple[str, ...]] = {
    "endpoint": ("PrivateS3DenyOutsideEndpoint",),
    "role": ("PrivateS3DenyOtherRoles",),
    "instance": ("PrivateS3DenyOtherInstances",),
    "instance-origin": ("PrivateS3DenyOtherAddresses", "PrivateS3DenyOtherVpcs"),
}
_EXEMPTIONS = {
    ("ArnNotEquals", "aws:principalarn"),
    ("BoolIfExists", "aws:principalisawsservice"),
    ("BoolIfExists", "aws:viaawsservice"),
}


def is_ours(statement: Statement) -> bool:
    """Whether the statement is one that this project writes; BadInput if it only has our Sid.

    By content: the Sid alone would let somebody else's statement be taken away.
    """
    if (sid := statement.get("Sid")) not in REQUIREMENTS:
        return False
    found = {
        (operator, key.lower())
        for operator, tests in statement.get("Condition", {}).items()
        for key in tests
    }
    required = {(operator, key.lower()) for operator, key, _ in REQUIREMENTS[sid]}
    shape = {key for key in statement if key != "Condition"}
    if (
        shape == {"Sid", "Effect", "Principal", "Action", "Resource"}
        and statement["Effect"] == "Deny"
        and required <= found <= required | _EXEMPTIONS
        and all(str(action).startswith("s3:") for action in as_list(statement["Action"]))
        and statement["Principal"] in ("*", {"AWS": "*"}, {"AWS": ["*"]})
        and _is_a_bucket(as_list(statement["Resource"]))
    ):
        return True
    raise BadInput(
        f"Could not tell whose statement {sid} is; nothing was written.",
        "It has the Sid of a statement of this project, but not its form: somebody changed it.",
        "rename its Sid to keep it as somebody else's, or take it out of the bucket policy",
    )


def _is_a_bucket(resources: list[str]) -> bool:
    return set(resources) == {min(resources), f"{min(resources)}/*"}


def bucket_arns(bucket: str) -> list[str]:
    """The bucket and everything in it."""
    return [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]


def bucket_only(bucket: str) -> Policy:
    """Endpoint policy that lets only requests to the bucket through.

    A gateway endpoint's Principal must be `*`. Source: AWS PrivateLink Guide, "Gateway endpoints".
    """
    statement = {"Effect": "Allow", "Principal": "*", "Action": "s3:*"}
    return {
        "Version": WITH_VARIABLES,
        "Statement": [{**statement, "Resource": bucket_arns(bucket)}],
    }


def full_access() -> Policy:
    """The policy that AWS gives an endpoint for which none is asked."""
    statement = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
    return {"Version": "2008-10-17", "Statement": [statement]}


def merge(policy: str | None, wanted: Sequence[Statement]) -> str | None:
    """The policy with our statements as wanted, and everybody else's byte for byte in their order.

    Returns the given text unchanged if it already means that, and None for no policy at all.
    """
    theirs, around = [], (f'{{"Version":"{WITH_VARIABLES}","Statement":', "}")
    if policy:
        present = as_list(parse(policy)["Statement"])
        (start, end), spans = _spans(policy)
        theirs = [
            policy[slice(*span)]
            for span, statement in zip(spans, present, strict=True)
            if not is_ours(statement)
        ]
        around = policy[:start], policy[end:]
    ours = [json.dumps(s, separators=(",", ":"), ensure_ascii=False) for s in wanted]
    if not theirs and not ours:
        return None
    text = f"{around[0]}[{','.join([*theirs, *ours])}]{around[1]}"
    if policy and any("${" in statement for statement in ours):
        text = _with_variables(text, theirs)
    if policy and same(policy, text):
        return policy
    if len(text.encode()) > SIZE_LIMIT:
        raise BadInput(
            "Could not merge the statements into the bucket policy; nothing was written.",
            f"The policy would have {len(text.encode())} bytes, and S3 takes {SIZE_LIMIT}.",
            "make room: remove or shorten statements of the present policy",
        )
    return text


def _with_variables(text: str, theirs: Sequence[str]) -> str:
    """The policy in the version in which our variables are some, if that changes nobody else's."""
    if (version := parse(text).get("Version")) == WITH_VARIABLES:
        return text
    if any("${" in json.dumps(json.loads(statement)) for statement in theirs):  # without escapes
        raise BadInput(
            "Could not merge the statements into the bucket policy; nothing was written.",
            f'Its version is {version or "not given"}, in which "${{" of present statements is '
            "plain text; the level instance-origin needs a version that would change its meaning.",
            "have the owners of these statements move the policy to 2012-10-17, or use a level "
            "up to instance",
        )
    if version is None:
        return text.replace("{", f'{{"Version":"{WITH_VARIABLES}",', 1)
    return re.sub(r'("Version"\s*:\s*)"2008-10-17"', rf'\1"{WITH_VARIABLES}"', text, count=1)


def _spans(text: str) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """Where in the text of a policy the value of Statement stands, and each statement in it."""

    def value(at: int) -> tuple[Any, int, int]:
        start = _after_separators(text, at)
        found, end = _DECODER.raw_decode(text, start)
        return found, start, end

    key, end = None, text.index("{") + 1
    while key != "Statement":
        key, _, end = value(end)
        statements, start, end = value(end)
    if not isinstance(statements, list):
        return (start, end), [(start, end)]
    spans, at = [], start + 1
    for _ in statements:
        _, begin, at = value(at)
        spans.append((begin, at))
    return (start, end), spans


def _after_separators(text: str, at: int) -> int:
    found = _SEPARATORS.match(text, at)
    return found.end() if found else at


def parse(policy: str) -> Policy:
    """The policy as a document; a name given twice is refused, since one would be lost silently."""
    try:
        document = json.loads(policy, object_pairs_hook=_unique)
    except ValueError as error:
        raise BadInput(
            "Could not read a policy; nothing was written.", str(error), "correct the policy"
        ) from error
    if not isinstance(document, dict) or "Statement" not in document:
        raise BadInput(
            "Could not read a policy; nothing was written.",
            f"It has no Statement: {policy[:80]}",
            "correct the policy",
        )
    return document


def same(one: str, other: str) -> bool:
    """Whether two policies mean the same, however S3 has rewritten them meanwhile.

    S3 reorders lists, makes one-item lists into strings, and writes an account as its root ARN.
    """
    return canonical(parse(one)) == canonical(parse(other))


def canonical(policy: Policy) -> str:
    """One text for all spellings of a policy; the order of statements carries no meaning."""
    statements = [json.dumps(_canonical(s), sort_keys=True) for s in as_list(policy["Statement"])]
    rest = {key: value for key, value in policy.items() if key != "Statement"}
    version = rest.pop("Version", "2008-10-17")
    if any("${" in statement for statement in statements):  # it changes the meaning of these only
        rest["Version"] = version
    return json.dumps([rest, *sorted(statements)], sort_keys=True)


def by_content(policy: str | None) -> dict[str, Statement]:
    """Each statement of a policy, by a text that is the same for all its spellings."""
    document = parse(policy) if policy else {"Statement": []}
    # The version is part of what a statement with a variable means.
    version = {key: document[key] for key in ("Version",) if key in document}
    return {
        canonical({**version, "Statement": [statement]}): statement
        for statement in as_list(document["Statement"])
    }


def only(one: str | None, other: str | None) -> str:
    """The statements of one policy that another does not have, as a text; "nothing" if none."""
    mine, theirs = by_content(one), by_content(other)
    texts = [json.dumps(mine[content]) for content in mine if content not in theirs]
    return "; ".join(texts) or "nothing"


def as_list(value: Any) -> list[Any]:
    """Policies may write a list of one as the one."""
    return value if isinstance(value, list) else [value]


def _canonical(statement: Statement) -> Statement:
    result: Statement = {}
    for key, value in statement.items():
        if key in ("Principal", "NotPrincipal"):
            value = {"AWS": "*"} if value == "*" else value
            result[key] = {kind: _sorted(map(_account, as_list(v))) for kind, v in value.items()}
        elif key in SETS:
            any_case = str.lower if key.endswith("Action") else str
            result[key] = _sorted(map(any_case, as_list(value)))
        elif key == "Condition":
            result[key] = {
                operator: {k.lower(): _sorted(as_list(v)) for k, v in tests.items()}
                for operator, tests in value.items()
            }
        elif not (key == "Sid" and value == ""):
            result[key] = value
    return result


def _sorted(values: Iterable[Any]) -> list[str]:
    return sorted({v if isinstance(v, str) else json.dumps(v) for v in values})


def _account(principal: str) -> str:
    """An account's root ARN is the account, in whatever partition."""
    found = _ROOT.fullmatch(principal)
    return found[1] if found else principal


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"{sorted(twice)} is given twice in one object")
    return dict(pairs)

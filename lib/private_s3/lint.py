"""Checks a bucket policy before it is sent: would S3 take it, and does it mean what it says."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from iam_verdict import PolicyError, is_public, parse
from iam_verdict.context import Context
from iam_verdict.patterns import Pattern
from private_s3 import aws, s3_names
from private_s3.errors import AwsRefused
from private_s3.plan import NEW_ENDPOINT
from private_s3.record import Check
from private_s3.statements import SIZE_LIMIT, WITH_VARIABLES, Statement, as_list

NO_POLICY, REMEDY = "there is no policy to send", "correct the statement that is named here"
# Has the form of an id, as the symbol for the endpoint that is yet to be made has not.
SOME_ENDPOINT = "vpce-" + "0" * 17

# What S3 answers to what iam_verdict says; where its words are not known, its code.
_ANSWERS = {
    "Document: ": "Policies must be valid JSON and the first byte must be '{'",
    "Version: ": "The policy must contain a valid version string",
    "Statement: ": "Missing required field Statement",
    r".*needs one of (\w+) .*has none": r"Missing required field \1",
    r".*(Principal) is missing": r"Missing required field \1",
    r"[^.]+\.Effect: ": "Invalid effect",
    r"[^.]+\.(Not)?Principal\S*: ": "Invalid principal in policy",
    r"[^.]+\.(Not)?Action: ": "Policy has invalid action",
    r"[^.]+\.(Not)?Resource: ": "Policy has invalid resource",
    r".*no IP address": "Invalid IP address in Conditions",
    "": "MalformedPolicy",
}
_NO_CONTEXT = Context({})
_RESOURCE = re.compile(r"arn:aws[a-z-]*:s3:::([^/]+)(/.*)?", re.DOTALL)
_UNIQUE_ID = re.compile(r"[A-Z0-9]{16,}")
_VARIABLE = re.compile(r"\$\{\s*([^,'{}*?$]+?)\s*[,}]")
_ENDPOINT = re.compile(rf"vpce-[0-9a-f]{{8}}([0-9a-f]{{9}})?|.*\$\{{.*|{re.escape(NEW_ENDPOINT)}")


@dataclass(frozen=True)
class Finding:
    """What is wrong at a place; `answer` is what S3 says to it, "" if it takes it in silence.

    It `fails`, or is a warning: the policy can be sent, and means what it says.
    """

    place: str
    problem: str
    answer: str = ""
    fails: bool = True

    def __str__(self) -> str:
        answer = f" (S3: {self.answer})" if self.answer else ""
        return f"{'' if self.fails else 'warning: '}{self.place}: {self.problem}{answer}"


def findings(policy: str, bucket: str, taken: str | None = None) -> list[Finding]:
    """All that is wrong with a policy for the bucket.

    `taken` is the policy that S3 holds. A statement that stands there just so cannot fail: S3
    may know actions and keys that are newer than our table of them.
    """
    try:
        if not policy.startswith("{"):
            raise PolicyError("Document", "does not begin with {")
        parse(policy, names_principals=True)
    except PolicyError as error:
        if not error.place.startswith("Statement["):
            return [_refused(error)]
    document, present = json.loads(policy), json.loads(taken or '{"Statement": []}')["Statement"]
    statements, version = as_list(document["Statement"]), document.get("Version", "2008-10-17")
    found = [*_too_large(document)]
    for index, statement in enumerate(statements):
        of_it = _of_statement(statement, f"Statement[{index}]", version, bucket)
        known = statement in as_list(present)
        found += (replace(f, fails=False) for f in of_it) if known else of_it
    sids = Counter(str(s["Sid"]) for s in statements if isinstance(s, dict) and s.get("Sid"))
    twice = (sid for sid, count in sids.items() if count > 1)
    return found + [Finding("Sid", f'"{sid}" is there twice', fails=False) for sid in twice]


def checks(policy: str | None, bucket: str, taken: str | None = None) -> list[Check]:
    """Whether S3 will take the policy; the detail says what is wrong, failures first."""
    name = "S3 will take the policy"
    if policy is None:
        return [Check(name, "SKIPPED", NO_POLICY)]
    found = sorted(findings(policy, bucket, taken), key=lambda finding: not finding.fails)
    passed = not any(finding.fails for finding in found)
    return [Check.of(name, passed, "; ".join(map(str, found)), REMEDY)]


def analyzed(account: aws.Account, policy: str | None, taken: str | None = None) -> list[Check]:
    """What IAM Access Analyzer says of the policy; UNCERTAIN, with AWS's answer, if nothing.

    That it is public fails only if `taken`, the policy that S3 holds, was not.
    """
    text = (policy or "").replace(NEW_ENDPOINT, SOME_ENDPOINT)

    def validate() -> tuple[bool, Iterable[str]]:
        asked = {"policyType": "RESOURCE_POLICY", "validatePolicyResourceType": "AWS::S3::Bucket"}
        client = account.accessanalyzer
        found = aws.pages(client, "validate_policy", "findings", policyDocument=text, **asked)
        # Only errors fail: warnings may be about statements of others, not ours to correct.
        return all(f["findingType"] != "ERROR" for f in found), map(_told, found)

    def check_no_public_access() -> tuple[bool, Iterable[str]]:
        answer = account.accessanalyzer.check_no_public_access(
            policyDocument=text, resourceType="AWS::S3::Bucket"
        )
        reasons = (reason.get("description", "") for reason in answer.get("reasons", []))
        return answer["result"] == "PASS", reasons

    def check(name: str, operation: str, ask: Callable[[], tuple[bool, Iterable[str]]]) -> Check:
        remedy = f"grant access-analyzer:{operation} to the caller"
        if policy is None:
            return Check(name, "SKIPPED", NO_POLICY)
        try:
            with aws.attempt(f"ask IAM Access Analyzer for {operation}", remedy):
                passed, details = ask()
        except AwsRefused as error:
            return Check(name, "UNCERTAIN", error.answer, error.remedy)
        return Check.of(name, passed, "; ".join(details), REMEDY)

    public = check(
        "Access Analyzer finds no public access", "CheckNoPublicAccess", check_no_public_access
    )
    if public.state == "FAIL" and taken and is_public(taken):
        public = replace(public, state="SKIPPED", detail=f"it was so before: {public.detail}")
    return [check("Access Analyzer finds no error", "ValidatePolicy", validate), public]


def _told(finding: Any) -> str:
    """A finding of Access Analyzer in one line."""
    steps = finding["locations"][0]["path"] if finding["locations"] else []
    names = (f"[{s['index']}]" if "index" in s else f".{s.get('value', '')}" for s in steps)
    place = "".join(names).strip(".") or "Document"
    return f"{finding['findingType']} at {place}: {finding['findingDetails']}"


def _refused(error: PolicyError) -> Finding:
    """What iam_verdict refuses, with S3's answer."""
    matches = ((re.match(said, str(error)), answer) for said, answer in _ANSWERS.items())
    answer = next(match.expand(answer) for match, answer in matches if match)
    return Finding(error.place, error.problem, answer)


def _too_large(document: Any) -> Iterator[Finding]:
    size = len(json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode())
    if size > SIZE_LIMIT:
        yield Finding("Document", f"has {size} bytes, S3 takes {SIZE_LIMIT}", "MalformedPolicy")


def _of_statement(statement: Any, place: str, version: str, bucket: str) -> list[Finding]:
    try:
        alone = {"Version": version, "Statement": [statement]}
        (parsed,) = parse(alone, names_principals=True).statements
    except PolicyError as error:
        return [replace(_refused(error), place=error.place.replace("Statement[0]", place, 1))]
    return [
        *_principals(statement, place),
        *_actions(statement, parsed.actions.patterns, place),
        *_resources(statement, place, bucket),
        *_conditions(statement, place),
        *_variables(statement, place, version),
    ]


def _principals(statement: Statement, place: str) -> Iterator[Finding]:
    name, named = _either(statement, "Principal")
    answer = "Invalid principal in policy"
    if name == "NotPrincipal":
        problem = "spares a role only if its account and its session are named too"
        yield Finding(f"{place}.{name}", problem, fails=False)
    for kind, names in named.items() if isinstance(named, dict) else ():
        for one in map(str, as_list(names)):
            if kind == "AWS" and _UNIQUE_ID.fullmatch(one):
                problem = f"{one} was deleted, and S3 may refuse to take it again"
                yield Finding(f"{place}.{name}.{kind}", problem, answer, fails=False)
            elif kind != "AWS" and "*" in one[:-1] + one[1:]:
                yield Finding(f"{place}.{name}.{kind}", f"{one} has a wildcard", answer)


def _actions(statement: Statement, patterns: Iterable[Pattern], place: str) -> Iterator[Finding]:
    name, texts = _either(statement, "Action")
    place, levels = f"{place}.{name}", _levels(statement)
    for text, pattern in zip(as_list(texts), patterns, strict=True):
        actions = s3_names.actions().items()
        about = {level for one, level in actions if pattern.match(f"s3:{one}", _NO_CONTEXT)}
        if not about:
            yield Finding(place, s3_names.unknown_action(text), "Policy has invalid action")
        elif name == "Action" and levels and not about & levels:
            is_about, there = (" or ".join(sorted(one)) for one in (about, levels))
            problem = f"{text} is about {is_about}, Resource about {there}"
            yield Finding(place, problem, "Action does not apply to any resource(s) in statement")


def _levels(statement: Statement) -> set[str]:
    """What the resources of a statement can name: the bucket, its objects, or both."""
    parts = [text.partition("/")[:2] for text in as_list(statement.get("Resource", []))]
    objects = {"object" for bucket, slash in parts if slash or "*" in bucket or "?" in bucket}
    return objects | {"bucket" for _, slash in parts if not slash}


def _resources(statement: Statement, place: str, bucket: str) -> Iterator[Finding]:
    name, texts = _either(statement, "Resource")
    for text in as_list(texts):
        found = _RESOURCE.fullmatch(text)
        named = found[1] if found else ""
        if not Pattern(named, "wildcard", variables=False).match(bucket, _NO_CONTEXT):
            problem = f"{text} is not of {bucket}"
            yield Finding(f"{place}.{name}", problem, "Policy has invalid resource")
        elif named != bucket:
            yield Finding(f"{place}.{name}", f"{text} is of other buckets too", fails=False)


def _conditions(statement: Statement, place: str) -> Iterator[Finding]:
    tests = statement.get("Condition", {}).items()
    for operator, key, values in ((o, k, v) for o, keys in tests for k, v in keys.items()):
        there, lower = f"{place}.Condition.{operator}.{key}", key.lower()
        if problem := s3_names.unknown_key(key):
            # Of the keys that all services have, S3 takes any.
            answer = "" if lower.startswith("aws:") else "Policy has an invalid condition key"
            yield Finding(there, problem, answer)
        if lower == "aws:sourcevpce" and "Like" not in operator and operator != "Null":
            wrong = [value for value in as_list(values) if not _ENDPOINT.fullmatch(str(value))]
            yield from (Finding(there, f'"{value}" is no id of an endpoint') for value in wrong)
        # Every request says whether it came over TLS; of other keys, none is always there.
        if (operator, statement["Effect"]) == ("Bool", "Deny") and lower != "aws:securetransport":
            problem = "does not deny a request without the key, as BoolIfExists does"
            yield Finding(there, problem, fails=False)


def _variables(statement: Statement, place: str, version: str) -> Iterator[Finding]:
    texts = json.dumps([statement.get(n) for n in ("Resource", "NotResource", "Condition")])
    for key in sorted(set(_VARIABLE.findall(texts))):
        if version != WITH_VARIABLES:
            yield Finding(place, f"${{{key}}} is no variable under {version}", fails=False)
        elif problem := s3_names.unknown_key(key):
            yield Finding(place, problem)


def _either(statement: Statement, name: str) -> tuple[str, Any]:
    """An element or the Not form of it, whichever is there, and its value."""
    return next((n, statement[n]) for n in (name, f"Not{name}") if n in statement)

"""Policy documents: checked once, and kept ready to be asked.

Source: IAM User Guide, "Grammar of the IAM JSON policy language".
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Literal

from iam_verdict.conditions import Condition, Operator
from iam_verdict.context import Context, Truth, every
from iam_verdict.patterns import Element, Pattern, pattern
from iam_verdict.principals import Principals, principals

Effect = Literal["Allow", "Deny"]

_VERSIONS = ("2008-10-17", "2012-10-17")
_ELEMENTS = {"Sid", "Effect", "Condition", "Principal", "NotPrincipal"}
_ELEMENTS |= {"Action", "NotAction", "Resource", "NotResource"}


class PolicyError(ValueError):
    """A policy document that has no meaning: `place` in it, and the `problem` there."""

    def __init__(self, place: str, problem: str):
        super().__init__(f"{place}: {problem}")
        self.place = place
        self.problem = problem


@dataclass(frozen=True)
class Statement:
    """One statement of a policy."""

    index: int
    sid: str
    effect: Effect
    principals: Principals | None  # None in policies attached to who asks
    actions: Element
    resources: Element
    conditions: tuple[Condition, ...]

    def applies(self, action: str, resource: str, context: Context) -> Truth:
        """Whether the statement is about such a request, whoever asks."""
        if not self.actions.match(action, context):
            return False
        about = self.resources.match(resource, context)
        if about is False:
            return False
        # All are asked even if one fails, so that the context learns of every missing key.
        return every([about, *[condition.holds(context) for condition in self.conditions]])


@dataclass(frozen=True)
class Policy:
    """A policy document that was found to have a meaning."""

    version: str
    statements: tuple[Statement, ...]


# JSON text, the same parsed, or what parse() made of either.
Document = str | Mapping[str, Any] | Policy


def parse(document: Document, names_principals: bool | None = None) -> Policy:
    """The policy that a document describes.

    `names_principals`: whether its statements must (bucket, endpoint) or must not (identity, ...)
    have a Principal. PolicyError names the place of what is malformed or not known to AWS.
    """
    if not isinstance(document, str | Policy):
        try:
            document = json.dumps(document)
        except (RecursionError, TypeError, ValueError) as error:
            raise PolicyError("Document", f"is not JSON: {error}") from error
    policy = _parse(document) if isinstance(document, str) else document
    for statement in policy.statements:
        if names_principals is not None and names_principals == (statement.principals is None):
            problem = "is missing" if names_principals else "does not belong in this kind of policy"
            raise PolicyError(f"Statement[{statement.index}]", f"Principal {problem}")
    return policy


@lru_cache(maxsize=1024)
def _parse(text: str) -> Policy:
    try:
        # Numbers are compared as they were written.
        document = json.loads(text, object_pairs_hook=_object, parse_int=str, parse_float=str)
    except (json.JSONDecodeError, RecursionError) as error:
        raise PolicyError("Document", f"is not JSON: {error}") from error
    _check_names(document, {"Version", "Id", "Statement"}, "Document")
    version = document.get("Version", _VERSIONS[0])
    if version not in _VERSIONS:
        raise PolicyError(
            "Version", f'"{version}" is neither "{_VERSIONS[0]}" nor "{_VERSIONS[1]}"'
        )
    if not (statements := document.get("Statement")):
        raise PolicyError("Statement", "is missing or empty")
    if not isinstance(statements, list):
        statements = [statements]
    variables = version == "2012-10-17"
    return Policy(
        version, tuple(_statement(*numbered, variables) for numbered in enumerate(statements))
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Of a key that is written twice, nobody can say which one counts."""
    names = [name for name, _ in pairs]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise PolicyError("Document", f'"{repeated[0]}" appears twice in one object')
    return dict(pairs)


def _statement(index: int, statement: Any, variables: bool) -> Statement:
    place = f"Statement[{index}]"
    _check_names(statement, _ELEMENTS, place)
    effect = statement.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise PolicyError(f"{place}.Effect", 'is neither "Allow" nor "Deny"')
    if not isinstance(sid := statement.get("Sid", ""), str):
        raise PolicyError(f"{place}.Sid", "is no text")
    if effect == "Allow" and "NotPrincipal" in statement:
        raise PolicyError(place, "NotPrincipal is for Deny only")
    return Statement(
        index,
        sid,
        effect,
        _principals(statement, place),
        _element("Action", statement, place, _action),
        _element("Resource", statement, place, partial(_resource, variables=variables)),
        _conditions(statement.get("Condition", {}), f"{place}.Condition", variables),
    )


def _principals(statement: dict[str, Any], place: str) -> Principals | None:
    if not statement.keys() & {"Principal", "NotPrincipal"}:
        return None
    name, named = _one_of("Principal", statement, place)
    place = f"{place}.{name}"
    if named == "*":
        named = {"AWS": "*"}
    if not isinstance(named, dict) or not named:
        raise PolicyError(place, 'is neither "*" nor an object such as {"AWS": ...}')
    by_type = {kind: _texts(names, f"{place}.{kind}") for kind, names in named.items()}
    with _errors_at(place):
        return principals(by_type, negated=name == "NotPrincipal")


def _element(
    name: str, statement: dict[str, Any], place: str, read: Callable[[str], Pattern]
) -> Element:
    """Action or Resource, or the Not form of it."""
    found, value = _one_of(name, statement, place)
    texts = _texts(value, f"{place}.{found}")
    with _errors_at(f"{place}.{found}"):
        return Element(tuple(map(read, texts)), negated=found != name)


def _action(text: str) -> Pattern:
    if text != "*" and ":" not in text:
        raise ValueError(f'"{text}" is no action such as s3:GetObject')
    return pattern(text, "wildcard", variables=False, any_case=True)


def _resource(text: str, variables: bool) -> Pattern:
    if not text.startswith(("arn:", "*")):
        raise ValueError(f'"{text}" is neither an ARN nor "*"')
    return pattern(text, "wildcard", variables=variables)


def _conditions(block: Any, place: str, variables: bool) -> tuple[Condition, ...]:
    conditions = []
    _check_names(block, None, place)
    for name, keys in block.items():
        with _errors_at(place):
            operator = Operator.named(name)
        _check_names(keys, None, f"{place}.{name}")
        for key, value in keys.items():
            texts = _texts(value, f"{place}.{name}.{key}")
            with _errors_at(f"{place}.{name}.{key}"):
                conditions.append(Condition(operator, key, texts, variables))
    return tuple(conditions)


@contextmanager
def _errors_at(place: str) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise PolicyError(place, str(error)) from error


def _check_names(value: Any, names: set[str] | None, place: str) -> None:
    """Refuses what is no object, and an object with names that AWS does not know."""
    if not isinstance(value, dict):
        raise PolicyError(place, "is not an object")
    if names and (unknown := [name for name in value if name not in names]):
        raise PolicyError(place, f'unknown element "{unknown[0]}"')


def _one_of(name: str, statement: dict[str, Any], place: str) -> tuple[str, Any]:
    """The element or its Not form, whichever the statement has, and its value."""
    found = [(key, statement[key]) for key in (name, f"Not{name}") if key in statement]
    if len(found) != 1:
        raise PolicyError(place, f"needs one of {name} and Not{name}, has {len(found) or 'none'}")
    return found[0]


def _texts(value: Any, place: str) -> tuple[str, ...]:
    """A value, or a list of values, as the texts that are compared."""
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(item, str | bool) for item in values):
        raise PolicyError(place, "is neither a text, a number, true or false, nor a list of these")
    return tuple(item if isinstance(item, str) else str(item).lower() for item in values)

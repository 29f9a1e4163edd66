"""Texts of a policy that are compared with texts of a request: wildcards and variables."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from iam_verdict.context import Context, Truth, either, negate

# What `*` and `?` mean: nothing special, any text, or any text within one part of an ARN.
Dialect = Literal["exact", "wildcard", "arn"]

_PLAIN = re.compile(r"\*+|[?:]|[^*?:]+")
_WITH_VARIABLES = re.compile(r"\$\{[^}]*\}?|\*+|[?:$]|[^*?:$]+")
_VARIABLE = re.compile(r"\$\{\s*([^,'{}]+?)\s*(?:,\s*'([^']*)'\s*)?\}")
_COLONS_OF_AN_ARN = 5

_regular_expression = lru_cache(maxsize=4096)(re.compile)


@dataclass(frozen=True)
class _Variable:
    key: str
    default: str | None

    def value(self, context: Context) -> str | None:
        """The one value of the key. A key with several values cannot be used as a variable."""
        values = context.values(self.key)
        return values[0] if len(values) == 1 else self.default


class Pattern:
    """A text with wildcards, and variables where the policy's version has them.

    What a variable stands for is literal: a `*` in it matches a `*` only.
    Source: IAM User Guide, "IAM policy elements: Variables and tags".
    """

    def __init__(self, text: str, dialect: Dialect, *, variables: bool, any_case: bool = False):
        self._flags = re.DOTALL | (re.IGNORECASE if any_case else 0)
        self._parts = _translate(text, dialect, variables)
        constant = not any(isinstance(part, _Variable) for part in self._parts)
        self._constant = self._compile([str(part) for part in self._parts]) if constant else None

    def match(self, text: str, context: Context, null: bool = False) -> Truth:
        """Whether the text fits; `null` is the answer when a variable has no value."""
        if self._constant:
            return self._constant.fullmatch(text) is not None
        source = []
        for part in self._parts:
            if isinstance(part, str):
                source.append(part)
            elif not context.knows(part.key):
                return frozenset({part.key})
            elif (value := part.value(context)) is None:
                return null
            else:
                source.append(re.escape(value))
        return self._compile(source).fullmatch(text) is not None

    def _compile(self, source: list[str]) -> re.Pattern[str]:
        return _regular_expression("".join(source), self._flags)


@lru_cache(maxsize=4096)
def pattern(text: str, dialect: Dialect, *, variables: bool, any_case: bool = False) -> Pattern:
    """The pattern of a text, made once: policies repeat themselves."""
    return Pattern(text, dialect, variables=variables, any_case=any_case)


@dataclass(frozen=True)
class Element:
    """Action or Resource: one pattern must fit; or NotAction or NotResource: none may."""

    patterns: tuple[Pattern, ...]
    negated: bool

    def match(self, text: str, context: Context) -> Truth:
        """Whether the statement is about this text.

        A variable without a value matches nothing, and keeps a NotResource from applying at all.
        """
        found = either(pattern.match(text, context, null=self.negated) for pattern in self.patterns)
        return negate(found) if self.negated else found


def _translate(text: str, dialect: Dialect, variables: bool) -> list[str | _Variable]:
    """The text as pieces of a regular expression, and the variables between them."""
    parts: list[str | _Variable] = []
    colons = 0
    for token in (_WITH_VARIABLES if variables else _PLAIN).findall(text):
        if variables and token.startswith("${"):
            parts.append(_variable(token))
        elif token[0] in "*?" and dialect != "exact":
            anything = "[^:]" if dialect == "arn" and colons < _COLONS_OF_AN_ARN else "."
            parts.append(anything if token == "?" else anything + "*")
        else:
            colons += token == ":"
            parts.append(re.escape(token))
    constant = all(isinstance(part, str) for part in parts)
    if dialect == "arn" and constant and colons < _COLONS_OF_AN_ARN:
        raise ValueError(f'"{text}" is no ARN: it needs six parts, separated by colons')
    return parts


def _variable(token: str) -> str | _Variable:
    if token in ("${*}", "${?}", "${$}"):
        return re.escape(token[2])
    if not (found := _VARIABLE.fullmatch(token)):
        raise ValueError(f'"{token}" is no variable')
    return _Variable(found[1], found[2])

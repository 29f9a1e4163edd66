"""Knows the actions and condition keys of S3, and what was meant by one that is none."""

from __future__ import annotations

import json
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def actions() -> dict[str, str]:
    """What each action is about: "bucket", "object" or "neither"."""
    return {name: about for about, names in _table()["actions"].items() for name in names}


def unknown_action(text: str) -> str:
    """What to say of an action that is none."""
    return f"{text} is no action of S3{_meant(text.removeprefix('s3:'), actions())}"


def unknown_key(key: str) -> str:
    """What is wrong with a condition key that no request to S3 has; "" if one may have it.

    An identity provider has keys of its own, such as accounts.google.com:aud.
    """
    name, slash, _ = key.lower().partition("/")
    service = name.partition(":")[0]
    if name + slash in _condition_keys() or "." in service or service == "saml":
        return ""
    return f"{key} is no condition key{_meant(key, _table()['condition_keys'])}"


def _meant(text: str, known: Iterable[str]) -> str:
    names = {name.lower(): name for name in known}
    close = get_close_matches(text.lower(), names, n=1)
    return f", perhaps {names[close[0]]}" if close else ""


@cache
def _condition_keys() -> frozenset[str]:
    """The keys in lower case; one that ends in / has the name of a tag behind it."""
    return frozenset(name.lower() for name in _table()["condition_keys"])


@cache
def _table() -> Any:
    return json.loads(files("private_s3").joinpath("s3_actions.json").read_text("utf-8"))

"""What all ways onto the instances have in common: what they are given, what they bring back."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from private_s3.journal import Outcome
from private_s3.probes import Observation

# Brackets what is done - operation, request, remedy - with its intent and its outcome.
Bracket = Callable[[str, Mapping[str, Any], str], AbstractContextManager[Outcome]]


class Silence(NamedTuple):
    """Why nothing was heard of an instance, and what to do about it."""

    reason: str
    remedy: str


class Heard(NamedTuple):
    """What the instances that were asked have seen; by id, why others were not.

    `again` is how they are asked once more, if it takes more than to run the step again.
    """

    observations: list[Observation]
    silent: Mapping[str, Silence]
    again: str = ""


class WayIn(Protocol):
    """A way to have a script run on instances."""

    def ask(
        self,
        script: str,
        probes: Sequence[str],
        instance_ids: Sequence[str],
        optional: Sequence[str],
    ) -> Heard:
        """What each probe of the script saw on each instance; `optional` ones may be left out.

        Raises RunbookError if none of them can be asked at all.
        """


def digest(script: str) -> str:
    """The SHA-256 of a script, as the record names it."""
    return hashlib.sha256(script.encode()).hexdigest()

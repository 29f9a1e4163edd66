"""Asks the instances themselves: has bounded probes run there, and tells what they answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from private_s3 import probes
from private_s3.errors import CheckFailed, RunbookError
from private_s3.probes import OTHER_REGIONS, PROBES, READS, UNREACHED, WRITES, Observation
from private_s3.record import Check
from private_s3.tables import table
from private_s3.ways_in.way import Silence, WayIn

if TYPE_CHECKING:
    import pandas as pd

# By instance and probe: the outcome that is expected.
Expected = Mapping[str, Mapping[str, str]]
PROBE_COLUMNS = ("instance", "probe", "expected", "observed", "detail")


@dataclass(frozen=True)
class Answers:
    """What the instances answered, and what those of the change should have answered.

    `unasked` says by instance why it could not be asked, `again` what to do if an answer is wrong.
    """

    observations: list[Observation]
    expected: Expected
    applying: bool
    unasked: Mapping[str, str] = field(default_factory=dict)
    again: str = ""

    def table(self) -> pd.DataFrame:
        """One row per instance and probe."""
        return frame(self.observations, self.expected)

    def checks(self) -> list[Check]:
        """One check per instance and probe; SKIPPED while planning, with what was seen."""
        seen = {(one.instance_id, one.probe): one for one in self.observations}
        checks = []
        for one, expected in self.expected.items():
            if one in self.unasked:
                checks.append(Check(f"{one} can be asked", "UNCERTAIN", self.unasked[one]))
                continue
            for probe, outcome in expected.items():
                checks.append(self._check(f"{probe} from {one}", outcome, seen.get((one, probe))))
        return checks

    def _check(self, name: str, expected: str, seen: Observation | None) -> Check:
        if seen is None:
            return Check(name, "FAIL", "not run", self.again)
        detail = ": ".join(filter(None, (seen.outcome, seen.detail)))
        if not self.applying:
            return Check(name, "SKIPPED", detail)
        if seen.agrees(expected):
            return Check(name, "PASS", detail)
        return Check(name, "FAIL", f"{detail}; expected: {expected}", self.again)


def ask(
    way: WayIn,
    instance_ids: Sequence[str],
    *,
    neighbours: Sequence[str],
    bucket: str,
    region: str,
    change_id: str,
    applying: bool,
) -> Answers:
    """What the instances, and those of their neighbours that can be asked, see of the bucket.

    While planning they write nothing, and not being able to ask them is no failure yet.
    """
    wanted = {**READS, **WRITES, **UNREACHED} if applying else {**READS, **UNREACHED}
    expected = dict.fromkeys(instance_ids, wanted)
    script = probes.script(
        bucket=bucket,
        region=region,
        change_id=change_id,
        other_region=next(one for one in OTHER_REGIONS if one != region),
        other_bucket=bucket,
        writes=applying,
    )
    try:
        heard = way.ask(script, [*wanted], instance_ids, neighbours)
    except RunbookError as error:
        if applying:
            raise
        unasked = dict.fromkeys([*instance_ids, *neighbours], error.answer)
        return Answers([], expected, applying, unasked)
    if applying and (missing := {i: heard.silent[i] for i in instance_ids if i in heard.silent}):
        raise _unheard(missing)
    unasked = {one: silence.reason for one, silence in heard.silent.items()}
    return Answers(heard.observations, expected, applying, unasked, heard.again)


def _unheard(missing: Mapping[str, Silence]) -> CheckFailed:
    return CheckFailed(
        f"Could not run the checks on {', '.join(missing)}.",
        "; ".join(f"{one}: {silence.reason}" for one, silence in missing.items()),
        "; ".join(dict.fromkeys(silence.remedy for silence in missing.values())),
    )


def frame(observations: Iterable[Observation], expected: Expected) -> pd.DataFrame:
    """One row per instance and probe; a probe that is expected but said nothing is "not run"."""
    seen = {(one.instance_id, one.probe): one for one in observations}
    rows = []
    for instance_id in dict.fromkeys([*expected, *(instance_id for instance_id, _ in seen)]):
        for probe in PROBES:
            one, outcomes = seen.get((instance_id, probe)), expected.get(instance_id, {})
            if one or probe in outcomes:
                found = (one.outcome, one.detail) if one else ("not run", "")
                rows.append((instance_id, probe, outcomes.get(probe, ""), *found))
    return table(rows, PROBE_COLUMNS)

"""What a diagnosis has found: the first blocker, the next ones, and what could not be looked at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from private_s3.doctor import error_text, symptoms
from private_s3.doctor.error_text import Clue
from private_s3.record import Check
from private_s3.steps import Text
from private_s3.tables import table

if TYPE_CHECKING:
    import pandas as pd

    from private_s3.path.walk import Hop

COLUMNS = ("", "symptom", "what", "instance", "evidence", "fix")
FIRST = "first"
NOTHING = "Nothing was found that keeps the instances from the bucket."
# These do not keep an instance from its bucket: they are about the change, about others, or about
# the way to ask the instance.
BESIDES = frozenset({8, 9, 10, 16, 21, 22, 23, 24, 25, 26, 27, 28})


@dataclass(frozen=True)
class Finding:
    """One cause: what it is, what shows it, and what mends it.

    `symptom` is its number, None for what is none of them; `instance` whom it is about, if not all.
    """

    symptom: int | None
    title: str
    evidence: str
    fix: str
    instance: str = ""

    @classmethod
    def of(cls, symptom: int, evidence: str, instance: str = "", **known: str) -> Finding:
        """A finding of a known symptom, with what is known put into its fix."""
        title = symptoms.SYMPTOMS[symptom].title
        return cls(symptom, title, evidence, symptoms.fix(symptom, **known), instance)

    @property
    def heading(self) -> str:
        """What it is, with its number."""
        return f"{self.title} (symptom {self.symptom})" if self.symptom else self.title


@dataclass(frozen=True)
class Diagnosis:
    """Everything that was found, in the order in which it strikes.

    `looked` names what was looked at, `unread` what could not be; `hops` are those of the path.
    """

    findings: list[Finding]
    hops: list[Hop] = field(default_factory=list)
    looked: Sequence[str] = ()
    unread: Sequence[Check] = ()
    clues: Sequence[Clue] = ()

    @property
    def first(self) -> Finding | None:
        """What to mend first."""
        return self.findings[0] if self.findings else None

    def table(self) -> pd.DataFrame:
        """One row per finding, the first one marked."""
        rows = [
            (
                "" if n else FIRST,
                str(f.symptom or "-"),
                f.title,
                f.instance or "-",
                f.evidence,
                f.fix,
            )
            for n, f in enumerate(self.findings)
        ]
        return table(rows, COLUMNS)

    def path(self) -> pd.DataFrame:
        """One row per hop, the first blocker of each instance marked."""
        from private_s3 import path

        return path.frame(self.hops)

    def sentence(self) -> str:
        """What was found, or that nothing was; what was looked at, and what was not."""
        told = [*self._headline(), *self._left_over()]
        told += [f"Looked at: {', '.join(self.looked)}."] if self.looked else []
        return "\n".join([*told, *self._not_looked_at()])

    @property
    def _blockers(self) -> list[Finding]:
        """The findings that keep an instance from its bucket."""
        return [one for one in self.findings if one.symptom not in BESIDES]

    def _headline(self) -> list[str]:
        """The first finding and how many follow it."""
        if not self.first:
            return [NOTHING] if self.looked else []
        label = "First blocker" if self._blockers else "No blocker was found. Beside the way"
        label = label if self.looked else "Most likely"
        rest = len(self.findings) - 1
        more = {0: "Nothing else was found.", 1: "One more follows."}.get(rest)
        return [f"{label}: {self.first.heading}. {more or f'{rest} more follow.'}"]

    def _left_over(self) -> list[str]:
        """What a text says that no finding explains; where something blocks, that explains it."""
        found = {finding.symptom for finding in self.findings}
        clues = [clue for clue in self.clues if found.isdisjoint(clue.symptoms)]
        if clues and all(clue.kind == error_text.UNKNOWN for clue in clues):
            return [f"The text says nothing that is known here: {error_text.WANTED}."]
        if not clues or self._blockers:
            return []
        return [
            f"Yet the text says: {clues[0].quote}",
            "What remains: it was printed before something was changed, or the cause is on the "
            "instance itself (its resolver, a proxy, a firewall, other credentials than its "
            "role's). Step 50 asks the instance.",
        ]

    def _not_looked_at(self) -> list[str]:
        """One line for each thing that could not be looked at, with what it takes."""
        if not self.looked and not self.unread:
            return ["Not looked at: the account; give -f and the file of the parameters for that."]
        told = [f"{_not_known(one.name)}: {one.detail}" for one in self.unread]
        remedies = dict.fromkeys(one.remedy for one in self.unread if one.remedy)
        told += [f"To know more: {'; '.join(remedies)}."] if remedies else []
        return [*told, "Not looked at: what goes on within an instance; step 50 asks it."]

    def remedy(self) -> Text:
        """What mends the first finding."""
        if not self.first:
            return Text("There is nothing to mend.")
        return Text(f"**{self.first.heading}.** `{self.first.fix}`")

    def checks(self) -> list[Check]:
        """Whether everything could be looked at; a cause that was found is no failure of this."""
        seen = [Check(one, "PASS", "looked at") for one in self.looked]
        return [*seen, *self.unread]

    def facts(self) -> list[dict[str, Any]]:
        """Each finding, for the record."""
        return [asdict(finding) for finding in self.findings]


def _not_known(name: str) -> str:
    """What a check leaves open, as a sentence begins with it."""
    for verb in ("read", "understood", "judged"):
        if name.endswith(f" can be {verb}"):
            base = {"read": "read", "understood": "understand", "judged": "judge"}[verb]
            return f"Could not {base} {name.removesuffix(f' can be {verb}')}"
    return f"Not known whether {name}"


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """The findings in their order; the same one of several instances is one."""
    alike: dict[Finding, list[str]] = {}
    for finding in findings:
        alike.setdefault(replace(finding, instance=""), []).append(finding.instance)
    return [replace(f, instance=", ".join(filter(None, ids))) for f, ids in alike.items()]

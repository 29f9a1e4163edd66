"""What a report is made of: sections of tables, texts, commands, pictures and policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

# Every word that says how something stands, with the symbol beside it and its kind of colour:
# nothing is said by colour alone.
MARKS = {
    "PASS": ("✓", "good"),
    "FAIL": ("✗", "bad"),
    "SKIPPED": ("◌", "quiet"),
    "UNCERTAIN": ("?", "doubt"),
    # Whether that is good depends on who asks: a mark of its own says so.
    "allowed": ("✓", "plain"),
    "denied": ("✗", "plain"),
    "no way": ("⊘", "quiet"),
    "depends": ("?", "doubt"),
    "agrees": ("✓", "good"),
    "differs": ("✗", "bad"),
    "ended well": ("✓", "good"),
    "failed": ("✗", "bad"),
    "done": ("✓", "good"),
    "refused": ("✗", "bad"),
    "no answer": ("?", "doubt"),
    "planned": ("○", "quiet"),
    "approved": ("○", "quiet"),
    "begun": ("◐", "doubt"),
    "applied": ("✓", "good"),
    "undo begun": ("◐", "doubt"),
    "undone": ("↩", "doubt"),
    "nothing planned": ("○", "quiet"),
    "not done": ("✗", "bad"),
    "found": ("✓", "good"),
    "not found": ("✗", "bad"),
    "added": ("+", "good"),
    "removed": ("−", "bad"),  # noqa: RUF001 - the sign, as wide as the plus
    "changed": ("±", "doubt"),
    "unchanged": ("=", "quiet"),
}


@dataclass(frozen=True)
class Mark:
    """A word with its symbol."""

    word: str

    @property
    def symbol(self) -> str:
        return MARKS.get(self.word, ("?", "doubt"))[0]

    @property
    def tone(self) -> str:
        return MARKS.get(self.word, ("?", "doubt"))[1]


@dataclass(frozen=True)
class Turn:
    """What was so before, and is otherwise after."""

    before: Mark
    after: Mark


@dataclass(frozen=True)
class Link:
    """A text that leads to another file of the change folder."""

    text: str
    to: str


@dataclass(frozen=True)
class Picture:
    """A PNG picture, as text; `alt` says all that it shows."""

    base64: Markup
    alt: str
    width: int | None


Cell = str | Mark | Turn | Link


@dataclass(frozen=True)
class Table:
    """Rows beneath their columns; with `groups`, the rows of each beneath a line of its own."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    title: str = ""
    groups: Sequence[tuple[Sequence[Cell], Sequence[Sequence[Cell]]]] = ()

    kind = "table"


@dataclass(frozen=True)
class Box:
    """The facts to have at hand: each with its name."""

    facts: Sequence[tuple[str, Sequence[Cell]]]

    kind = "box"


@dataclass(frozen=True)
class Words:
    """A paragraph; its tone is `good`, `bad`, `doubt` or `quiet`."""

    text: str
    tone: str = ""

    kind = "words"


@dataclass(frozen=True)
class Lines:
    """Lines as they are, such as a command."""

    text: str

    kind = "lines"


@dataclass(frozen=True)
class Figure:
    """A picture with what is said beneath it."""

    picture: Picture
    caption: str

    kind = "figure"


@dataclass(frozen=True)
class Policy:
    """What becomes of each statement of a policy: the sign, its name, and what it says."""

    title: str
    statements: Sequence[tuple[Mark, str, Sequence[tuple[str, str]]]]

    kind = "policy"


@dataclass(frozen=True)
class Failure:
    """What went wrong in one step: the lines of its error, and its checks that do not hold."""

    step: str
    lines: Sequence[str]
    checks: Sequence[tuple[str, str, str]]  # name, detail, remedy
    notebook: Link | None

    kind = "failure"


@dataclass(frozen=True)
class Section:
    """A heading, what stands below it, and what its anchor is."""

    title: str
    anchor: str
    blocks: list[Any] = field(default_factory=list)

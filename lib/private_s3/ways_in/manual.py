"""A person's own hands: shows the script to run on each instance, and reads what it said there.

Whatever comes in so is marked as told by hand, wherever it is shown or kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from private_s3.clean import secrets
from private_s3.folder import pass_name, project_directory, write_text
from private_s3.probes import Observation
from private_s3.record import Record, show
from private_s3.steps import Text
from private_s3.ways_in import printed
from private_s3.ways_in.way import Heard, Silence, digest

# In the change folder: BY_HAND/PASS/MARK, one for each script that is to be run.
BY_HAND, SCRIPT, BY_A_PERSON = "by_hand", "check.sh", "told by hand"
END = "END-OF-THE-CHECKS"
AGAIN = (
    "once that is put right, run the script on the instance again, put what it prints into its "
    "file in place of what is there, and run this step again"
)


class Paste(Text):
    """A script, as it can be pasted into a shell whole."""

    def __init__(self, script: str) -> None:
        self.command = f"sh <<'{END}'\n{script}{END}"
        super().__init__(f"~~~~sh\n{self.command}\n~~~~")

    def __repr__(self) -> str:
        return self.command


@dataclass(frozen=True)
class ByHand:
    """The way of a person, for a plan: its digest tells one round of questions from another."""

    record: Record
    plan: str

    def ask(
        self,
        script: str,
        probes: Sequence[str],
        instance_ids: Sequence[str],
        optional: Sequence[str],
    ) -> Heard:
        """What the files say that a person has put into the change folder, and which are missing.

        It keeps the script there and shows it as long as an instance's answers are missing, and
        keeps with the facts which files were read.
        """
        mark = printed.mark(script, *self._about())
        text, folder = printed.marked(script, mark), Path(BY_HAND, self._pass, mark)
        if not (path := self.record.folder / folder / SCRIPT).exists():
            write_text(path, text)
        seen: list[Observation] = []
        silent: dict[str, Silence] = {}
        files: dict[str, Any] = {}
        for one in dict.fromkeys([*instance_ids, *optional]):
            file = answers_file(self.record.folder / folder, one)
            try:
                told = Told.read(file, one, mark, probes)
            except FileNotFoundError:
                silent[one] = _not_yet(path, file)
            except printed.Unreadable as error:
                silent[one] = _unreadable(path, file, error)
            else:
                seen += told.observations
                files[one] = {"sha256": told.sha256, "at": told.begun}
        about = {"script": f"sha256 {digest(text)}", "folder": folder.as_posix(), "answers": files}
        self.record.fact(BY_HAND, about)
        if silent:
            show(Paste(text))
        return Heard(seen, silent, AGAIN)

    @property
    def _pass(self) -> str:
        return pass_name(self.record.parameters)

    def _about(self) -> list[str]:
        """What must be the same for an answer to be one to this: what was planned, and written."""
        written = [f"{write.number} {write.time}" for write in self.record.effect.writes[-1:]]
        return [self.record.folder.name, self._pass, self.record.step, self.plan, *written]


@dataclass(frozen=True)
class Told:
    """What a file says that a person has put there; `begun` is by the clock of the instance."""

    observations: list[Observation]
    begun: str
    sha256: str

    @classmethod
    def read(cls, path: Path, instance_id: str, mark: str, probes: Sequence[str]) -> Told:
        """Raises FileNotFoundError where there is none, and Unreadable for what is no answer."""
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise printed.Unreadable("it is no plain file")
        with path.open("rb") as file:
            content = file.read(printed.LONGEST + 1)
        text = content.decode("utf-8-sig", errors="replace")
        if found := secrets(text):
            raise printed.Unreadable(f"it holds what looks like a secret: {', '.join(found)}")
        seen = printed.read(instance_id, text, mark, probes)
        return cls(
            [replace(one, detail=_marked(one.detail)) for one in seen],
            printed.begun(text, mark),
            hashlib.sha256(content).hexdigest(),
        )


def _marked(detail: str) -> str:
    return f"{BY_A_PERSON}: {detail}" if detail else BY_A_PERSON


def answers_file(folder: Path, instance_id: str) -> Path:
    """Where the answers of an instance belong."""
    return folder / f"{instance_id}.jsonl"


def _not_yet(script: Path, file: Path) -> Silence:
    return Silence(
        f"not asked yet: what {_shown(script)} prints there belongs into {_shown(file)}",
        f"run the script on the instance, put all that it prints into {_shown(file)}, and run "
        "this step again",
    )


def _unreadable(script: Path, file: Path, error: printed.Unreadable) -> Silence:
    return Silence(
        f"{_shown(file)} is not what {_shown(script)} prints: {error}",
        f"run the script on the instance once more, put all that it prints into {_shown(file)}, "
        "and run this step again",
    )


def _shown(path: Path) -> str:
    top = project_directory()
    return path.relative_to(top).as_posix() if path.is_relative_to(top) else str(path)

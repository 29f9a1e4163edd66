"""Whatever is done to a sealed folder is found, and named."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from private_s3.evidence import manifest
from private_s3.evidence.manifest import MANIFEST, SIGNATURE
from private_s3.evidence.verify import ok, verify
from tests.support import forging
from tests.support.sealed import Sealed, quick_report

JOURNAL = "journal.jsonl"
Content = Callable[[bytes], bytes]


def _flip(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


CONTENTS: dict[str, Content] = {
    "flip the first byte": lambda content: _flip(content, 0),
    "flip a byte in the middle": lambda content: _flip(content, len(content) // 2),
    "flip the last byte": lambda content: _flip(content, -1 % len(content)),
    "cut off half": lambda content: content[: len(content) // 2],
    "cut off the last byte": lambda content: content[:-1],
    "empty": lambda _: b"",
    "append a line": lambda content: content + b"{}\n",
    "append an empty line": lambda content: content + b"\n",
    "write it with other line ends": lambda content: content.replace(b"\n", b"\r\n"),
}


@dataclass
class Bench:
    """A sealed folder to tamper with, that is put back after each time; counts what was tried."""

    sealed: Sealed
    tried: Counter[str] = field(default_factory=Counter)
    unseen: list[str] = field(default_factory=list)

    def try_(self, what: str, name: str, tamper: Callable[[Path], None], *where: str) -> None:
        """Tampers, and demands a FAIL that names one of `where`, or else the file `name`."""
        folder = self.sealed.folder
        kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        tamper(folder)
        if {path: path.read_bytes() for path in kept if path.is_file()} != kept or any(
            path not in kept for path in folder.rglob("*") if not path.is_dir()
        ):
            found = verify(folder, self.sealed.allowed)
            self.tried[what] += 1
            named = [one.where for one in found if one.state == "FAIL"]
            if not any(one.startswith(tuple(where or (name,))) for one in named):
                self.unseen.append(f"{what}: {name}, found {[*map(str, found)]}")
        for path in [path for path in folder.rglob("*") if path not in kept]:
            if path.is_symlink() or path.is_file():
                path.unlink()
        for path, content in kept.items():
            if path.is_symlink():
                path.unlink()
            path.parent.mkdir(exist_ok=True)
            if not path.is_file() or path.read_bytes() != content:
                path.write_bytes(content)

    def done(self, least: int) -> None:
        """Demands that everything was seen, that enough was tried, and that all was put back."""
        print(f"{sum(self.tried.values())} tried, {len(self.unseen)} unseen: {dict(self.tried)}")
        assert not self.unseen, "\n".join(self.unseen)
        assert sum(self.tried.values()) > least
        assert ok(verify(self.sealed.folder, self.sealed.allowed))


@pytest.fixture
def bench(copied: Sealed) -> Bench:
    return Bench(copied)


@pytest.fixture
def another(copied: Sealed, tmp_path: Path) -> Path:
    """The folder of another change, with a file for each of this one, sealed by the same key."""
    folder = shutil.copytree(copied.folder, tmp_path / "another")
    for path in (path for path in folder.rglob("*") if path.is_file()):
        path.write_bytes(path.read_bytes().replace(b"rehearsal", b"another"))
    forging.seal_anew(folder, copied.key)
    return folder


def _names(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_every_change_to_the_content_of_every_file_is_found_and_named(bench: Bench) -> None:
    names = _names(bench.sealed.folder)
    assert {MANIFEST, SIGNATURE, "seals/0001.json", "seals/0001.json.sig"} <= {*names}
    for name in names:
        size = (bench.sealed.folder / name).stat().st_size
        for what, change in CONTENTS.items():

            def tamper(folder: Path, name: str = name, change: Content = change) -> None:
                (folder / name).write_bytes(change((folder / name).read_bytes()))

            if size or what.startswith("append"):
                bench.try_(what, name, tamper, name, f"{name}.sig")
    bench.done(9 * len(names) - 20)  # locks are empty


def test_every_file_that_is_lost_moved_linked_or_exchanged_is_found_and_named(
    bench: Bench, another: Path
) -> None:
    names = _names(bench.sealed.folder)
    for name, following in zip(names, [*names[1:], names[0]], strict=True):

        def delete(folder: Path, name: str = name) -> None:
            (folder / name).unlink()

        def rename(folder: Path, name: str = name) -> None:
            (folder / name).rename(folder / f"{name}.old")

        def link(folder: Path, name: str = name) -> None:
            (folder / name).unlink()
            (folder / name).symlink_to(bench.sealed.folder.parent / "elsewhere")

        def copy(folder: Path, name: str = name) -> None:
            shutil.copy(folder / name, folder / f"{name}-copy")

        def take_another(folder: Path, name: str = name) -> None:
            shutil.copy(another / name, folder / name)

        def exchange(folder: Path, name: str = name, other: str = following) -> None:
            one, two = folder / name, folder / other
            one_content, two_content = one.read_bytes(), two.read_bytes()
            one.write_bytes(two_content)
            two.write_bytes(one_content)

        bench.try_("delete", name, delete)
        bench.try_("rename", name, rename)
        bench.try_("link", name, link)
        bench.try_("copy", name, copy, f"{name}-copy")
        bench.try_("replace by another change's", name, take_another, name, f"{name}.sig")
        bench.try_("exchange with the next", name, exchange, name, f"{name}.sig", following)

    def take_seal(folder: Path) -> None:
        for name in (MANIFEST, SIGNATURE):
            shutil.copy(another / name, folder / name)

    bench.try_("take the whole seal of another change", MANIFEST, take_seal)
    bench.done(5 * len(names))


def _line_tampers(lines: list[bytes], at: int) -> Iterator[tuple[str, list[bytes]]]:
    line, before, after = lines[at], lines[:at], lines[at + 1 :]
    forged = json.dumps({**json.loads(line), "by": "somebody", "request": {}}).encode()
    yield "edit", [*before, forged, *after]
    yield "spell otherwise", [*before, json.dumps(json.loads(line), indent=1).encode(), *after]
    yield "delete", [*before, *after]
    yield "duplicate", [*before, line, line, *after]
    yield "forge one before", [*before, forged, line, *after]
    yield "cut off here", before
    yield "an empty line", [*before, line, b"", *after]
    if after:
        yield "exchange with the next", [*before, after[0], line, *after[1:]]


def test_whatever_is_done_to_a_line_of_the_journal_is_found_and_its_number_named(
    bench: Bench,
) -> None:
    folder = bench.sealed.folder
    texts = (folder / JOURNAL).read_bytes().splitlines()
    for at in range(len(texts)):
        for what, changed in _line_tampers(texts, at):

            def tamper(folder: Path, changed: list[bytes] = changed) -> None:
                (folder / JOURNAL).write_bytes(b"".join(line + b"\n" for line in changed))

            bench.try_(what, f"line {at + 1}", tamper, *_at(at))

        def rechain(folder: Path, at: int = at) -> None:
            told = forging.lines(folder)
            told[at]["time"] = "2026-11-24T10:00:00.000+00:00"
            forging.chain(folder, told)

        def leave_out(folder: Path, at: int = at) -> None:
            told = forging.lines(folder)
            forging.chain(folder, told[:at] + told[at + 1 :])

        bench.try_("edit and chain anew", f"line {at + 1}", rechain, *_at(at))
        bench.try_("leave out and chain anew", f"line {at + 1}", leave_out, *_at(at))
    bench.done(60)


def _at(at: int) -> list[str]:
    """Where a line is found: a run of lines is named by its first, one added by that before it."""
    number = at + 1
    places = f"line {number}", f"lines {number} ", f"after line {at}", f"after line {number}"
    return [f"{JOURNAL} {place}" for place in places]


def test_no_seal_but_one_by_a_known_key_stands(bench: Bench) -> None:
    """Whoever tampers can seal anew: the manifest is then right, and only the signature tells."""
    seals = (MANIFEST, SIGNATURE)
    for name in _names(bench.sealed.folder):
        for key in (None, bench.sealed.stranger):

            def tamper(folder: Path, name: str = name, key: Path | None = key) -> None:
                path = folder / name
                path.write_bytes(path.read_bytes()[:-2])
                forging.seal_anew(folder, key)

            signed = "signed by a stranger" if key else "unsigned"
            bench.try_(f"seal anew, {signed}", name, tamper, SIGNATURE)
    for what, seal in {
        "strip the signature": lambda folder: (folder / SIGNATURE).unlink(),
        "a stranger signs": lambda folder: forging.signature.sign(
            folder / MANIFEST, bench.sealed.stranger
        ),
        "an earlier seal, a stranger signs": lambda folder: forging.signature.sign(
            folder / "seals/0001.json", bench.sealed.stranger
        ),
        "no earlier seals, a stranger signs": lambda folder: forging.seal_anew(
            folder, bench.sealed.stranger, earlier=False
        ),
        "back to the earlier seal": lambda folder: [
            (folder / "seals" / f"0001.json{end}").rename(folder / f"{MANIFEST}{end}")
            for end in ("", ".sig")
        ],
    }.items():
        bench.try_(what, "", _discard(seal), *seals, "seals/0001.json.sig")
    bench.done(40)


def _discard(do: Callable[[Path], Any]) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        do(folder)

    return tamper


def test_what_the_library_seals_after_tampering_says_so_for_good(
    copied: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sealing again, even by the same key, does not heal: each later seal tells of it."""
    monkeypatch.setattr(manifest.report, "write", quick_report)
    altered = copied.folder / "apply/40_apply_bucket_policy.ipynb"
    altered.write_bytes(altered.read_bytes() + b" ")
    for _ in range(2):
        manifest.seal(copied.folder, copied.key)
        found = [str(one) for one in verify(copied.folder, copied.allowed) if one.state == "FAIL"]
        assert found[0].startswith("FAIL apply/40_apply_bucket_policy.ipynb: was altered or lost")
        (copied.folder / "note.txt").write_text("to be sealed again")


def test_nothing_is_found_in_what_nobody_has_touched(sealed: Sealed) -> None:
    found = verify(sealed.folder, sealed.allowed)
    assert ok(found)
    assert [one.where for one in found] == [SIGNATURE, "seals/0001.json.sig"]
    assert not ok(verify(replace(sealed, folder=sealed.folder.parent).folder))

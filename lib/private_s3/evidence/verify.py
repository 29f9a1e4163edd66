"""Verifies a sealed change folder, offline: what was altered since, and what contradicts itself."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from private_s3.errors import BadInput, CheckFailed
from private_s3.evidence import compare, consistency, manifest, signature
from private_s3.evidence.consistency import MALFORMED
from private_s3.evidence.finding import Finding, fail, note
from private_s3.evidence.manifest import MANIFEST, SEALS, SIGNATURE, Manifest
from private_s3.evidence.story import Story

__all__ = ["Finding", "ok", "verify"]

HASH = re.compile(r"[0-9a-f]{64}")


def verify(folder: Path, allowed_signers: Path | None = None) -> list[Finding]:
    """All that is found of a sealed folder: FAIL is not as it was sealed, NOTE is worth knowing.

    Nothing is written, and nobody is asked. Without `allowed_signers` a signature shows that the
    folder is as the owner of some key sealed it, but not who that is.
    """
    attempted = f"Could not verify {folder.name}."
    if not folder.is_dir():
        answer = f"There is no folder {folder}."
        raise BadInput(attempted, answer, "give the folder of one change: changes/CHANGE_ID")
    if allowed_signers and not allowed_signers.is_file():
        answer = f"There is no file {allowed_signers}."
        raise BadInput(attempted, answer, "give the file with the names and keys of who may sign")
    return list(dict.fromkeys(_findings(folder, allowed_signers)))


def ok(findings: Iterable[Finding]) -> bool:
    """Whether nothing is wrong."""
    return all(finding.state != "FAIL" for finding in findings)


def _findings(folder: Path, allowed_signers: Path | None) -> Iterator[Finding]:
    odd = list(compare.irregular(folder))
    yield from odd
    if not (folder / MANIFEST).exists():
        earlier = [path.name for path in (folder / SEALS).glob("*.json")]
        sealed = f"missing; the last seal before it is {SEALS}/{max(earlier)}" if earlier else ""
        yield fail(MANIFEST, sealed or "not sealed")
        return
    if odd:  # what it leads to may have no end
        yield fail(MANIFEST, "nothing was held against it, because of what is no file")
        return
    try:
        last = _read(folder / MANIFEST)
    except (CheckFailed, *MALFORMED) as error:
        yield fail(MANIFEST, getattr(error, "answer", f"It is no manifest: {error!r}."))
        return
    story = Story(folder)
    for parts in (
        _signed(folder / MANIFEST, last["sealed"], allowed_signers),
        _seals(folder, last, allowed_signers),
        _content(folder, last),
        _derived(story, last),
        _identity(story, last),
        consistency.contradictions(story),
    ):
        try:
            yield from parts
        except MALFORMED as error:
            yield fail(MANIFEST, f"could not be held against all of the folder: {error!r}")


def _content(folder: Path, last: Manifest) -> Iterator[Finding]:
    """The files and the lines of the journal are those that were sealed."""
    yield from compare.of_files(last["files"], manifest.files(folder))
    yield from compare.of_lines(folder, last["journal"]["lines"])


def _read(path: Path) -> Manifest:
    """A manifest whose parts are what they must be."""
    found = manifest.read(path)
    about = found["files"].values()
    texts = [*found["findings"], found["sealed"], found["journal"]["head"]]
    hashes = [*found["journal"]["lines"], *(one["sha256"] for one in about)]
    if not (
        all(isinstance(text, str) for text in texts)
        and all(HASH.fullmatch(one) for one in hashes)
        and all(isinstance(one["size"], int) and len(one) == 2 for one in about)
    ):
        raise ValueError("a part of it is not what it must be")
    return found


def _signed(
    path: Path, sealed: str, allowed: Path | None, by_later: bool = False
) -> Iterator[Finding]:
    """Who has signed a seal; `by_later`: a seal that is signed vouches for it."""
    where = f"{'' if path.name == MANIFEST else f'{SEALS}/'}{path.name}{signature.SUFFIX}"
    if not path.with_name(path.name + signature.SUFFIX).exists():
        finding = fail if allowed and not by_later else note
        yield finding(where, f"missing: it was sealed at {sealed} without a signature")
        return
    try:
        signer = signature.signer(path, allowed, sealed)
    except CheckFailed as error:
        yield fail(where, error.answer)
        return
    if signer.name:
        yield note(where, f"{signer.name} signed at {sealed}, with {signer.fingerprint}")
    elif allowed:
        yield fail(where, f"signed with {signer.fingerprint}, for which nobody vouches at {sealed}")
    else:
        words = "nobody vouches for it, give --allowed-signers"
        yield note(where, f"signed at {sealed} with {signer.fingerprint}: {words}")


def _seals(folder: Path, last: Manifest, allowed: Path | None) -> Iterator[Finding]:
    """The earlier seals are a chain, each of what is there still, and each signature holds."""
    signed, times = (folder / SIGNATURE).exists(), []
    paths = manifest.seals(folder)
    for number, path in enumerate(paths, 1):
        where = f"{SEALS}/{path.name}"
        if path.name != f"{number:04}.json":
            yield fail(f"{SEALS}/{number:04}.json", f"missing; {path.name} is there")
        try:
            seal = _read(path)
            times.append((where, seal["sealed"]))
            yield from _signed(path, seal["sealed"], allowed, by_later=signed)
            yield from _told(manifest.findings(folder, seal))
        except CheckFailed as error:
            yield fail(where, error.answer)
        except MALFORMED as error:
            yield fail(where, f"is no manifest: {error!r}")
    for (where, one), (_, other) in pairwise([*times, (MANIFEST, last["sealed"])]):
        if one >= other:
            yield fail(where, f"sealed at {one}, which is not before the next, at {other}")
    yield from _told(last["findings"])


def _told(sentences: Iterable[str]) -> Iterator[Finding]:
    """What was found when sealing anew, by the file that it is about."""
    for sentence in sentences:
        name, found, rest = sentence.partition(" was altered or lost ")
        yield fail(name, f"was altered or lost {rest}") if found else fail(MANIFEST, sentence)


def _derived(story: Story, sealed: Manifest) -> Iterator[Finding]:
    """What the manifest says of the story is what the folder tells."""
    told = json.loads(json.dumps(manifest.content(story, sealed["findings"])))
    for name in told.keys() ^ sealed.keys():
        yield fail(MANIFEST, f"{name}: {'missing' if name in told else 'no part of a seal'}")
    # Its id is that of the plans, whatever the folder is called where it was unpacked.
    told["change"]["id"] = sealed["change"]["id"]
    lines = sealed["journal"]["lines"]
    if lines and sealed["journal"]["head"] != lines[-1]:
        yield fail(MANIFEST, "journal: its head is not its last line")
    for name in told.keys() & sealed.keys() - {"sealed", "files", "journal"}:
        if told[name] != sealed[name]:
            yield fail(MANIFEST, f"{name}: {_differing(sealed[name], told[name])}")


def _differing(sealed: Any, told: Any) -> str:
    """The first part of two values that is not the same in both, in words."""
    if isinstance(sealed, dict) and isinstance(told, dict):
        names = [name for name in told | sealed if sealed.get(name) != told.get(name)]
        return f"{names[0]}: {_differing(sealed.get(names[0]), told.get(names[0]))}"
    if isinstance(sealed, list) and isinstance(told, list):
        pairs = [pair for pair in zip(sealed, told, strict=False) if pair[0] != pair[1]]
        if pairs:
            return _differing(*pairs[0])
        return f"{len(sealed)} when it was sealed, now the folder tells of {len(told)}"
    return f"{sealed!r} when it was sealed, now the folder tells {told!r}"


def _identity(story: Story, sealed: Manifest) -> Iterator[Finding]:
    """The change is that of its plans; a folder may be unpacked under any name."""
    named, by_plans = sealed["change"]["id"], consistency.change_id(story)
    if named != by_plans:
        yield fail(MANIFEST, f"seals the change {named}; the plans are of {by_plans}")
    if story.change_id != by_plans:
        yield note(story.change_id, f"the folder of the change {by_plans}, under another name")
    ended = sealed["ended"]
    if ended and ended > sealed["sealed"]:
        yield note(MANIFEST, f"sealed at {sealed['sealed']}, before the last run ended at {ended}")

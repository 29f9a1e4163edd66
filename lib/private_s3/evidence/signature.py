"""Signs a file with an SSH key, and says who has signed it; OpenSSH does the work, offline."""

from __future__ import annotations

import base64
import binascii
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from private_s3.errors import BadInput, CheckFailed
from private_s3.folder import write_text

NAMESPACE = "private-s3-evidence"
SUFFIX = ".sig"
# Seconds: to enter a passphrase or touch a key, where there is somebody to do it; and to verify.
PATIENCE, QUICK = 120, 20
_ARMOUR = "-----BEGIN SSH SIGNATURE-----\n{}-----END SSH SIGNATURE-----\n"


@dataclass(frozen=True)
class Signer:
    """Who has signed: `name` is empty if nobody vouches for the key with this fingerprint."""

    name: str
    fingerprint: str


def sign(path: Path, key: Path) -> Path:
    """Signs a file beside it, as `.sig`; raises CheckFailed if the key does not do it.

    `key` is a private key, or the public one of a key that an agent holds.
    """
    attempted = f"Could not sign {path.name} with the key {key.name}; it was not signed."
    if not key.is_file():
        raise BadInput(attempted, f"There is no file {key}.", "give the file of an SSH key")
    with tempfile.TemporaryDirectory() as folder:  # where no earlier signature is in the way
        copy = Path(folder) / "file"
        copy.write_bytes(path.read_bytes())
        command = ("sign", "-q", "-n", NAMESPACE, "-f", str(key.resolve()), str(copy))
        done = _keygen(attempted, *command, signing=True)
        signed = copy.with_name(copy.name + SUFFIX)
        if done.returncode or not signed.is_file():
            raise CheckFailed(
                attempted,
                f"ssh-keygen answered: {_said(done)}",
                "give a key that can be used here: one without a passphrase, or the .pub file of "
                "one that `ssh-add -l` lists; with a terminal, its passphrase is asked for",
            )
        beside = path.with_name(path.name + SUFFIX)
        write_text(beside, signed.read_text(encoding="ascii"))
    return beside


def signer(path: Path, allowed_signers: Path | None, when: str) -> Signer:
    """Who has signed a file, at `when`; raises CheckFailed if the signature does not hold.

    `when` is what the file says of itself: a key that was good then is good for it now.
    """
    attempted = f"Could not verify the signature of {path.name}."
    beside = path.with_name(path.name + SUFFIX).resolve()
    _require_whole(attempted, beside)
    content, signature = path.read_bytes(), ("-s", str(beside))
    done = _keygen(attempted, "check-novalidate", "-n", NAMESPACE, *signature, content=content)
    found = re.search(r"\bkey (SHA256:[A-Za-z0-9+/]+)", done.stdout.decode(errors="replace"))
    if done.returncode or not found:
        raise CheckFailed(
            attempted,
            f"It is not a signature of this file: {_said(done)}",
            "put the whole change folder back from a copy",
        )
    if not allowed_signers:
        return Signer("", found[1])
    at, known = f"-Overify-time={_moment(attempted, when)}", ("-f", str(allowed_signers.resolve()))
    names = _keygen(attempted, "find-principals", at, *signature, *known).stdout.splitlines()
    for name in (line.decode(errors="replace") for line in names):
        as_name = ("-n", NAMESPACE, "-I", name)
        done = _keygen(attempted, "verify", at, *as_name, *signature, *known, content=content)
        if not done.returncode:
            return Signer(name, found[1])
    return Signer("", found[1])


def _require_whole(attempted: str, path: Path) -> None:
    """Refuses a signature file that is not byte by byte as ssh-keygen writes it.

    It overlooks what stands around a signature; something added is no longer what was sealed.
    """
    try:
        text = path.read_bytes().decode("ascii")
        body = text.removeprefix(_ARMOUR.partition("{")[0]).partition("-----")[0]
        digits = base64.b64encode(binascii.a2b_base64(body.replace("\n", ""))).decode()
        lines = "".join(f"{digits[at : at + 70]}\n" for at in range(0, len(digits), 70))
        holds, why = text == _ARMOUR.format(lines), "it is not as ssh-keygen writes it"
    except (OSError, ValueError) as error:
        holds, why = False, str(error)
    if not holds:
        raise CheckFailed(
            attempted,
            f"The file {path.name} is no signature: {why}.",
            "put the whole change folder back from a copy",
        )


def _moment(attempted: str, when: str) -> str:
    """A time of ours as ssh-keygen takes it: in UTC, whatever the zone of this machine."""
    try:
        moment = datetime.fromisoformat(when)
        if moment.tzinfo is None:
            raise ValueError("it names no time zone")
        return f"{moment.astimezone(UTC):%Y%m%d%H%M%SZ}"
    except (ValueError, TypeError, OverflowError) as error:
        raise CheckFailed(
            attempted,
            f"It does not say when it was sealed: {when!r} ({error}).",
            "put the whole change folder back from a copy",
        ) from error


def _keygen(
    attempted: str, what: str, *arguments: str, content: bytes = b"", signing: bool = False
) -> subprocess.CompletedProcess[bytes]:
    """What ssh-keygen answers; it asks for a passphrase only where there is somebody to ask."""
    asks, patience = signing and sys.stdin.isatty(), PATIENCE if signing else QUICK
    # Limits in a file of allowed signers that name no zone mean UTC, wherever it is read.
    surroundings = {**os.environ, "TZ": "UTC", "LC_ALL": "C"}
    if not asks:
        surroundings["SSH_ASKPASS_REQUIRE"] = "never"
    try:
        return subprocess.run(
            ["ssh-keygen", "-Y", what, *arguments],
            input=None if asks else content,
            capture_output=True,
            check=False,
            env=surroundings,
            start_new_session=not asks,
            timeout=patience,
        )
    except FileNotFoundError as error:
        answer, remedy = "ssh-keygen is not installed.", "install OpenSSH 8.9 or later"
        raise CheckFailed(attempted, answer, remedy) from error
    except subprocess.TimeoutExpired as error:
        answer = f"ssh-keygen did not answer within {patience} seconds."
        remedy = "see whether the key, or the agent that holds it, waits for somebody"
        raise CheckFailed(attempted, answer, remedy) from error


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    return " ".join(done.stderr.decode(errors="replace").split()) or f"exit {done.returncode}"

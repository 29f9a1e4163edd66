"""Keeps secrets, names of this machine and control characters out of whatever is kept or shown."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

# What looks like a secret, wherever it stands.
SECRETS = {
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*KEY-----|\Z)",
    "signed URL": r"https?://[^\s\"'<>]*[?&](?:X-Amz-Signature|X-Amz-Credential|Signature)="
    r"[^\s\"'<>]*",
    "signature": r"X-Amz-(?:Signature|Credential|Security-Token)=[^&\s\"'<>]+",
    "access key": r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    "session token": r"(?<![A-Za-z0-9+/])(?:FwoG|FQoG|IQoJ)[A-Za-z0-9+/]{40,}=*",
    "token": r"(?<![A-Za-z0-9_-])(?:eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+"
    r"|gh[oprsu]_[A-Za-z0-9]{36,}|github_pat_\w{40,}|glpat-[\w-]{20,}|xox[abprs]-[\w-]{10,})",
    "authorization": r"(?i:\b(?:bearer|basic)) +[\w.~+/-]{16,}=*",
    "secret": r"(?i:(?:secret_?access_?key|session_?token|secret_?key|password|passwd))"
    r"[\"']?\s{0,2}[:=]\s{0,2}[\"']?[^\s\"'<>,;]{8,}",
}
# Environment variables whose value is one.
_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWO?R?D|CREDENTIAL|API_?KEY|(?:ACCESS|PRIVATE)_KEY")
_HOME = r"(?<![\w.-])/(?:home|Users)/[^/\s\"'<>:,;)]+"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # of a traceback, for one
# C0 but line and tab, DEL, C1, line separators, and what turns the direction of a text.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """The text without secrets, home directories, the host's name, colours; controls visible."""
    return _clean(text, _pattern(*_own()))


def cleaned(value: Any) -> Any:
    """The same for every text in a value that can be written as JSON."""
    return _cleaned(value, _pattern(*_own()))


def _clean(text: str, pattern: re.Pattern[str]) -> str:
    return _CONTROL.sub(_visible, pattern.sub(_stand_in, _COLOUR.sub("", text)))


def _cleaned(value: Any, pattern: re.Pattern[str]) -> Any:
    if isinstance(value, str):
        return _clean(value, pattern)
    if isinstance(value, Mapping):
        return {_clean(name, pattern): _cleaned(one, pattern) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(one, pattern) for one in value]
    return value


def secrets(text: str) -> list[str]:
    """What kinds of secrets a text holds; never the secrets themselves."""
    kinds = (_kind(match) for match in _pattern(*_own()).finditer(text))
    return sorted({kind for kind in kinds if kind not in ("home", "host")})


def _own() -> tuple[frozenset[str], str, frozenset[str]]:
    """What only this machine and its environment can tell: secrets, home directory, names."""
    return _told_by(tuple(os.environb.items()))


@cache
def _told_by(
    environment: tuple[tuple[bytes, bytes], ...],
) -> tuple[frozenset[str], str, frozenset[str]]:
    """The same, once for each environment: to look through it anew for every text takes longer."""
    told = {os.fsdecode(name): os.fsdecode(value) for name, value in environment}
    values = {
        value
        for name, value in told.items()
        if _SECRET_NAME.search(name.upper()) and len(value) >= 8
    }
    hosts = frozenset({socket.gethostname(), told.get("HOSTNAME", "")})  # a container's
    return frozenset(values), told.get("HOME", ""), hosts


@cache
def _pattern(values: frozenset[str], home: str, hosts: frozenset[str]) -> re.Pattern[str]:
    kinds = {kind.replace(" ", "_"): text for kind, text in SECRETS.items()}
    if values:
        longest_first = sorted(values, key=lambda value: (-len(value), value))
        kinds = {"secret_of_the_environment": "|".join(map(re.escape, longest_first)), **kinds}
    homes = [_HOME] if len(Path(home).parts) < 2 else [_own_home(home), _HOME]
    kinds["home"] = "|".join(homes)
    if pattern := "|".join(one for host in sorted(hosts) for one in _host(host)):
        kinds["host"] = pattern
    return re.compile("|".join(f"(?P<{kind}>{text})" for kind, text in kinds.items()))


def _own_home(home: str) -> str:
    return rf"(?<![\w.-]){re.escape(home.rstrip('/'))}(?![\w.-])"


def _host(host: str) -> Iterator[str]:
    """A host called like a word of the runbook must not blot it out: such a name needs a domain."""
    short = host.partition(".")[0]
    if host and host != short:
        yield rf"(?<![\w-]){re.escape(host)}(?![\w-])"
    if len(short) >= 5 and short != "localhost":
        domain = r"\.[\w.-]+" if short.isalpha() else ""
        yield rf"(?<![\w.-]){re.escape(short)}{domain}(?![\w-])"
        yield rf"(?<=@){re.escape(short)}(?![\w-])"


def _kind(match: re.Match[str]) -> str:
    return str(match.lastgroup).replace("_", " ")


def _stand_in(match: re.Match[str]) -> str:
    return {"home": "~", "host": "[this host]"}.get(_kind(match), f"[withheld: {_kind(match)}]")


def _visible(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"

"""The independent engine, as a process that is asked many cases and answers in order."""

import fcntl
import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from threading import Thread
from typing import Any

from tests.support.oracle.cases import Case

FOLDER = Path(__file__).parent
PACKAGE = "@cloud-copilot/iam-simulate"
_DECISIONS = {
    "Allowed": "allowed",
    "ExplicitlyDenied": "explicitly denied",
    "ImplicitlyDenied": "implicitly denied",
}


class Unavailable(Exception):
    """The engine cannot be had here, and why."""


def install() -> None:
    """Installs the pinned engine with npm, unless it is there."""
    if not (shutil.which("node") and shutil.which("npm")):
        raise Unavailable("node or npm is not installed (packages: nodejs npm)")
    there, pinned = FOLDER / "node_modules/.package-lock.json", FOLDER / "package-lock.json"
    with pinned.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # one test process installs, the others wait
        if there.exists() and there.stat().st_mtime >= pinned.stat().st_mtime:
            return
        command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"npm ci ended with {done.returncode}: {done.stderr.strip()}")


def version() -> str:
    """The version of the engine that is pinned."""
    pinned = json.loads((FOLDER / "package.json").read_text())["dependencies"]
    return str(pinned[PACKAGE])


class Engine:
    """A process of the engine, which ends with this one."""

    def __init__(self) -> None:
        install()
        command = ["node", "oracle.mjs"]
        self._process = subprocess.Popen(
            command, cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def answers(self, cases: Iterable[Case]) -> list[tuple[Case, str]]:
        """Each case with the decision on it, in the words of iam_verdict, or the errors."""
        asked = [*cases]
        asking = Thread(target=self._ask, args=[asked])
        asking.start()
        assert self._process.stdout
        lines = [self._process.stdout.readline().strip() for _ in asked]
        asking.join()
        assert all(lines), "the process of the engine has ended"
        return [(c, _DECISIONS.get(line, line)) for c, line in zip(asked, lines, strict=True)]

    def _ask(self, cases: list[Case]) -> None:
        assert self._process.stdin
        for case in cases:
            self._process.stdin.write(json.dumps(simulation(case)) + "\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """Ends it."""
        self._process.communicate()
        assert self._process.returncode == 0, f"node ended with {self._process.returncode}"


def simulation(case: Case) -> dict[str, Any]:
    """A case as the engine reads it. It knows no root, so it is told of a user who may do all."""
    caller, policies = case["principal"], case["policies"]
    identity = policies.get("identity", [])
    if caller["kind"] == "root":
        identity = [_FULL]
    given = {
        "request": {
            "principal": caller.get("session_arn") or caller.get("arn") or caller.get("service")
            or {"type": "Anonymous"},
            "action": case["action"],
            "resource": {"resource": case["resource"], "accountId": case["resource_account"]},
            "contextVariables": case["context"],
        },
        "identityPolicies": _named(identity),
        "serviceControlPolicies": _levels(policies.get("organization", [])),
        "resourceControlPolicies": _levels(policies.get("resource_control", [])),
        "additionalSettings": {
            "s3": {"blockPublicAccess": policies.get("restrict_public_buckets", False)}
        },
    }  # fmt: skip
    if "resource" in policies:
        given["resourcePolicy"] = policies["resource"]
    if session := policies.get("session"):
        (given["sessionPolicy"],) = session
    if "boundary" in policies:
        given["permissionBoundaryPolicies"] = _named([policies["boundary"]])
    if "endpoint" in policies:
        given["vpcEndpointPolicies"] = _named([policies["endpoint"]])
    return given


_FULL = {
    "Version": "2012-10-17",
    "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"},
}


def _named(documents: list[Any]) -> list[dict[str, Any]]:
    return [{"name": f"p{number}", "policy": given} for number, given in enumerate(documents)]


def _levels(levels: list[list[Any]]) -> list[dict[str, Any]]:
    return [
        {"orgIdentifier": f"level{number}", "policies": _named(documents)}
        for number, documents in enumerate(levels)
    ]

"""Change folders as earlier versions of the project left them, and the account of each.

`tests/formats/VERSION` holds a scenario, what an account has at its start, who may sign, and for
each state of a change an archive of its folder with a JSON file about it.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from botocore import xform_name

import rehearsal
from private_s3 import status
from private_s3.evidence import manifest, signature
from private_s3.evidence.manifest import MANIFEST
from private_s3.evidence.verify import verify
from private_s3.folder import change_folder
from private_s3.parameters import Parameters
from tests import PROJECT

FORMATS = PROJECT / "tests/formats"
SCENARIO, START, SIGNERS = "scenario.yaml", "start.json", "allowed_signers"
ARCHIVE = ".tar.xz"
CURRENT = PROJECT / "lib/rehearsal" / SCENARIO
ANOTHER_ACCOUNT = "The rehearsal account, and not the format, is different now"


@dataclass(frozen=True)
class Kept:
    """One state of a change, as one version of the formats left it."""

    version: str
    state: str

    def __str__(self) -> str:
        return f"{self.version}-{self.state}"

    @property
    def archive(self) -> Path:
        """The change folder."""
        return FORMATS / self.version / f"{self.state}{ARCHIVE}"

    @property
    def about(self) -> Path:
        """What else is known of it: parameters, calls, account, and what was said of it."""
        return FORMATS / self.version / f"{self.state}.json"

    @property
    def allowed_signers(self) -> Path:
        """Who may sign."""
        return FORMATS / self.version / SIGNERS

    @cached_property
    def then(self) -> dict[str, Any]:
        """The content of `about`."""
        read: dict[str, Any] = json.loads(self.about.read_text(encoding="utf-8"))
        return read

    @property
    def scenario(self) -> Path | None:
        """The scenario of its account; None if that is the current one."""
        path = FORMATS / self.version / SCENARIO
        return None if path.read_bytes() == CURRENT.read_bytes() else path

    def parameters(self, changes: Path, **values: Any) -> Parameters:
        """Its parameters, with the folder that it was unpacked into."""
        return Parameters.of({**self.then["parameters"], "changes_dir": str(changes), **values})

    def unpack(self, changes: Path) -> Path:
        """Puts the change folder into a folder of changes, and returns its path."""
        with tarfile.open(self.archive) as archive:
            archive.extractall(changes, filter="data")
        return change_folder(self.parameters(changes))

    def restore(self, account: rehearsal.Account) -> None:
        """Brings a fresh account to the state in which this change left it."""
        self.require_start(account)
        for call in self.then["calls"]:
            client = account.client(call["service"], call["who"])
            getattr(client, xform_name(call["operation"]))(**call["parameters"])
        assert holds(account) == self.then["account"], f"{ANOTHER_ACCOUNT}, after the same calls."

    def require_start(self, account: rehearsal.Account) -> None:
        """AssertionError unless the account is as it was at its start then."""
        start = json.loads((FORMATS / self.version / START).read_text(encoding="utf-8"))
        assert start_of(account) == start, f"{ANOTHER_ACCOUNT}, at its start."


def kept() -> list[Kept]:
    """Every state of every version."""
    paths = sorted(FORMATS.glob(f"*/*{ARCHIVE}"))
    return [Kept(path.parent.name, path.name.removesuffix(ARCHIVE)) for path in paths]


def start_of(account: rehearsal.Account) -> dict[str, Any]:
    """What a change folder relies on in an account at its start: its ids, and what it holds."""
    return {"ids": account.ids, **holds(account)}


def holds(account: rehearsal.Account) -> dict[str, Any]:
    """The gateway endpoints and the bucket policies of an account."""
    ec2, s3 = account.client("ec2"), account.client("s3")
    of_kind = [{"Name": "vpc-endpoint-type", "Values": ["Gateway"]}]
    endpoints = ec2.describe_vpc_endpoints(Filters=of_kind)["VpcEndpoints"]
    return {
        "endpoints": {
            one["VpcEndpointId"]: {
                "tables": sorted(one["RouteTableIds"]),
                "tags": {tag["Key"]: tag["Value"] for tag in one["Tags"]},
                "policy": one["PolicyDocument"],
            }
            for one in endpoints
        },
        "policies": {
            one["Name"]: text
            for one in s3.list_buckets()["Buckets"]
            if (text := policy(s3, one["Name"]))
        },
    }


def policy(s3: Any, bucket: str) -> str | None:
    """The policy of a bucket, byte for byte."""
    try:
        return str(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    except s3.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "NoSuchBucketPolicy"
        return None


def status_of(parameters: Parameters) -> dict[str, list[str]]:
    """What `status` says of a change."""
    found = status.of(parameters)
    return {"sentences": found.sentences, "next": found.next}


def verify_result(folder: Path, allowed_signers: Path) -> dict[str, Any]:
    """What `verify` finds in a folder, without its words, and who signed each seal."""
    is_signed = (folder / manifest.SIGNATURE).exists()
    findings = verify(folder, allowed_signers if is_signed else None)
    signers = {}
    for path in [*manifest.seals(folder), folder / MANIFEST]:
        if path.with_name(path.name + signature.SUFFIX).exists():
            sealed = manifest.read(path)["sealed"]
            where = path.relative_to(folder).as_posix()
            signers[where] = signature.signer(path, allowed_signers, sealed).name
    return {
        "findings": sorted(f"{one.state} {one.where}" for one in findings),
        "signers": signers,
    }


def json_text(value: Mapping[str, Any]) -> str:
    """The text of a JSON file beside an archive."""
    return json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

"""Fills in the IAM policies that operators need: to plan, to apply and undo, to check."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from private_s3 import approval
from private_s3.errors import BadInput
from private_s3.folder import change_folder, project_directory
from private_s3.journal import Journal
from private_s3.parameters import Parameters
from private_s3.snapshot import Snapshot

# One file each: all that a plan, an audit and a diagnosis read; what to apply and to undo adds to
# that; and what step 50 needs to ask the instances.
NAMES = ("read", "change", "check")
FOLDER = Path("params/iam")
# Of a managed policy, without white space. Source: IAM User Guide, "IAM and AWS STS quotas".
SIZE_LIMIT = 6_144
ANY = "*"
# What a statement is for whose Sid begins so; it is left out where the parameters ask for less.
WANTED: Mapping[str, Callable[[Parameters], bool]] = {
    "CheckBySsm": lambda given: given.check_by == "ssm",
    "CheckBySsh": lambda given: given.check_by == "ssh",
    "CheckAlsoBreakGlass": lambda given: "break-glass" in given.check_also,
}


def fill(parameters: Parameters) -> dict[str, str]:
    """The policies as JSON by name, without what is not needed; raises BadInput for one too large.

    Nothing is asked of AWS: VPC and instances are those of the parameters, else of the last plan;
    route tables and endpoints are those of that plan.
    """
    values = _values(parameters)
    found = {name: list(_statements(name, parameters, values)) for name in NAMES}
    texts = {
        name: json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2) + "\n"
        for name, statements in found.items()
        if statements
    }
    for name, text in texts.items():
        if size(text) > SIZE_LIMIT:
            raise BadInput(
                f"Could not fill in the policy {name} for operators.",
                f"It has {size(text):,} characters, IAM takes {SIZE_LIMIT:,}.",
                "name fewer instances in instance_ids, one change for each group of them",
            )
    return texts


def size(text: str) -> int:
    """Characters of a policy as IAM counts them: all but white space."""
    return len("".join(text.split()))


def open_ends(parameters: Parameters) -> list[str]:
    """What could be narrower if more was known, as sentences."""
    values, found = _values(parameters), []
    if values["VPC"] == [ANY]:
        found.append("They are for every VPC of the Region: set vpc_id, or plan before you do this")
    if values["ROUTE_TABLE"] == [ANY]:
        told = "every route table and S3 endpoint of the Region: plan before you do this"
        found.append(f"change is for {told}")
    if values["INSTANCE"] == [ANY] and parameters.check_by != "manual":
        told = "set instance_ids, or plan before you do this"
        if "neighbours" in parameters.check_also:
            told = "check_also has neighbours; put in the ids that notebook 40 shows, or leave it"
        found.append(f"check is for every instance of the Region: {told}")
    return found


def write(texts: Mapping[str, str], folder: Path) -> list[Path]:
    """Writes each policy into a file of its own; raises BadInput where that may not be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for name, text in texts.items():
            paths.append(folder / f"{name}.json")
            paths[-1].write_text(text, encoding="utf-8")
    except OSError as refused:
        raise BadInput(
            f"Could not write the policies for operators to {folder}.",
            str(refused),
            "give another folder with --to",
        ) from refused
    return paths


def _statements(
    name: str, parameters: Parameters, values: Mapping[str, Sequence[str]]
) -> Iterator[dict[str, Any]]:
    for statement in _shipped(name)["Statement"]:
        wanted = (test for prefix, test in WANTED.items() if statement["Sid"].startswith(prefix))
        if all(test(parameters) for test in wanted):
            parts = {key: statement[key] for key in ("Resource", "Condition") if key in statement}
            # Nothing is known to be changed that a statement without a resource would be for.
            if (filled := _filled(parts, values))["Resource"]:
                yield {**statement, **filled}


def _shipped(name: str) -> Any:
    path = project_directory() / FOLDER / f"{name}.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(
            f"Could not read the policy {FOLDER}/{path.name} for operators.",
            " ".join(str(error).split()),
            "run this in the project, and put the file back as it was",
        ) from error


def _values(parameters: Parameters) -> dict[str, list[str]]:
    """What stands for each word in capitals of the files."""
    seen = _seen(parameters)
    snapshot = seen.get("snapshot", {})
    instances = parameters.instance_ids or _ids(snapshot, "instance")
    if "neighbours" in parameters.check_also:
        instances = []  # these too are asked, and only AWS knows who they are
    return {
        "REGION": [parameters.region],
        "ACCOUNT": [parameters.expected_account],
        "BUCKET": [parameters.bucket],
        "VPC": [parameters.vpc_id or seen.get("vpc", ANY)],
        "ROUTE_TABLE": _tables(snapshot) or [ANY],
        "ENDPOINT": _ids(snapshot, "vpc-endpoint") if seen else [ANY],
        "INSTANCE": instances or [ANY],
        "BREAK_GLASS_ROLE": [parameters.break_glass_role],
    }


def _seen(parameters: Parameters) -> Mapping[str, Any]:
    """What the maker of the last plan of this change saw; empty without one."""
    folder = change_folder(parameters)
    shown = [line["plan"] for line in Journal(folder).lines() if line["event"] == "planned"]
    return approval.kept(folder, shown[-1])[1] if shown else {}


def _ids(snapshot: Snapshot, kind: str) -> list[str]:
    names = (name.partition("/") for name in snapshot)
    return sorted(name for found, _, name in names if found == kind)


def _tables(snapshot: Snapshot) -> list[str]:
    """The route tables of the instances of the change."""
    subnets = {snapshot[f"instance/{one}"]["subnet"] for one in _ids(snapshot, "instance")}
    return sorted({snapshot[f"subnet/{subnet}"]["route table"] for subnet in subnets})


def _filled(value: Any, values: Mapping[str, Sequence[str]]) -> Any:
    """A part of a statement; of a word with several values, one text for each."""
    if isinstance(value, dict):
        return {key: _filled(item, values) for key, item in value.items()}
    texts = value if isinstance(value, list) else [value]
    for word, meant in values.items():
        texts = [
            text.replace(word, one) for text in texts for one in (meant if word in text else [""])
        ]
    return texts if isinstance(value, list) or len(texts) != 1 else texts[0]

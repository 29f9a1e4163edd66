"""Runs the code of the notebooks within one process, and looks at what it leaves behind."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Any

import botocore.loaders
import botocore.session

import rehearsal
from private_s3 import (
    access_figure,
    approval,
    audit,
    aws,
    change,
    figures,
    journal,
    lint,
    probes,
    status,
    undo,
)
from private_s3.folder import change_folder
from private_s3.parameters import Parameters
from private_s3.plan import NEW_ENDPOINT, Change, Plan
from private_s3.record import Record
from private_s3.snapshot import Snapshot, differences
from private_s3.ways_in import ssm
from tests import PROJECT

# What the notebooks import is imported now, so that each process that is forked has it.
IMPORTED = (audit, change, journal, lint, undo)
CHANGE_TAG = "private-s3:change"
FIND, ENDPOINT, ROUTES, POLICY, CHECK, UNDO = (
    "10_find_vpc",
    "20_create_gateway_endpoint",
    "30_inspect_route_diff",
    "40_apply_bucket_policy",
    "50_check_from_instance",
    "90_roll_back",
)
# The steps of a change and of its undo, each with its pass, in the order in which they are run.
PLANNING, APPLYING = "plan", "apply"
CHANGE = (
    *(f"{PLANNING} {step}" for step in (FIND, ENDPOINT, ROUTES, POLICY)),
    *(f"{APPLYING} {step}" for step in (FIND, ENDPOINT, ROUTES, POLICY, CHECK)),
)
BACK = (f"{PLANNING} {UNDO}", f"{APPLYING} {UNDO}")
# The steps that later steps depend on; the others leave facts only.
NEEDED = (f"{PLANNING} {ENDPOINT}", f"{APPLYING} {ENDPOINT}", f"{APPLYING} {POLICY}", BACK[0])
# What status says of the changes of a plan, and what it then may be in the account.
CLAIMS = {
    "Done": ("after",),
    "Perhaps done": ("before", "after"),
    "Not done": ("before",),
    "Not begun": ("before",),
}


@dataclass
class Operator:
    """Runs steps against an account, with a change folder of its own.

    `probing`: the instances run their probes, and what they print is kept in `printed`, by step
    and pass. Otherwise they print that, and are quick.
    """

    folder: Path
    values: dict[str, Any] = field(default_factory=dict)
    printed: dict[str, str] = field(default_factory=dict)
    probing: bool = False

    def parameters(self, digest: str = "") -> Parameters:
        values = {"changes_dir": str(self.folder), "check_also": ["break-glass"], **self.values}
        return Parameters.of({**_rehearsal_parameters(), **values, "approved_plan": digest})

    @property
    def change_folder(self) -> Path:
        return change_folder(self.parameters())

    def do(self, step: str) -> None:
        """Runs a step in its pass, with the digest of the plan that was shown last."""
        name, notebook = step.split()
        self.run(notebook, self.shown().digest if name == APPLYING else "")

    def run(self, step: str, digest: str = "") -> None:
        """Runs the code cells of a notebook."""
        names = self.parameters(digest).model_dump()
        shown = contextlib.redirect_stdout(io.StringIO())
        with shown, self._instances(f"{step} {'apply' if digest else 'plan'}"):
            for code in _cells(step):
                exec(code, names)

    def status(self) -> status.Status:
        return status.of(self.parameters())

    def left(self) -> dict[str, Any] | None:
        """What a later audit will hold the account against; CheckFailed if it is not all there."""
        return Record(self.parameters(), "audit").left()

    def lines(self) -> list[dict[str, Any]]:
        """The lines of the journal, verified."""
        return journal.Journal(self.change_folder).lines()

    def shown(self) -> Plan:
        """The plan that was shown last."""
        shown = [line["plan"] for line in self.lines() if line["event"] == "planned"]
        return approval.kept(self.change_folder, shown[-1])[0]

    @contextlib.contextmanager
    def _instances(self, name: str) -> Iterator[None]:
        """Lets instances print what is kept, or keeps what they print."""
        real_script, real_output = probes.script, ssm._output

        def script(**values: Any) -> str:
            if self.probing:
                return real_script(**values)
            return f"cat <<'END'\n{self.printed[name]}\nEND\n"

        def output(*arguments: Any) -> str:
            text = real_output(*arguments)
            if self.probing:
                self.printed[name] = text.strip()
            return text

        probes.script, ssm._output = script, output
        try:
            yield
        finally:
            probes.script, ssm._output = real_script, real_output


class Eye:
    """Sees an account as it is, by calls of its own, whatever the library takes it for."""

    def __init__(self, account: rehearsal.Account) -> None:
        self._ec2, self._s3 = account.client("ec2"), account.client("s3")
        # The policy that the change puts lets nobody else from outside to the objects.
        self._inside = account.client("s3", "break-glass")
        parameters = _rehearsal_parameters()
        self._bucket, self._change_id = parameters["bucket"], parameters["change_id"]

    def endpoints(self) -> list[Any]:
        of_kind = [{"Name": "vpc-endpoint-type", "Values": ["Gateway"]}]
        return list(self._ec2.describe_vpc_endpoints(Filters=of_kind)["VpcEndpoints"])

    def policy(self) -> str | None:
        """The bucket policy, byte for byte."""
        try:
            return str(self._s3.get_bucket_policy(Bucket=self._bucket)["Policy"])
        except self._s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchBucketPolicy":
                raise
            return None

    def snapshot(self) -> Snapshot:
        """All that the change can touch, field by field, the ids of endpoints by a symbol."""
        endpoints = self.endpoints()
        seen: dict[str, dict[str, Any]] = {
            **{
                f"endpoint {e['VpcEndpointId']}": {
                    "state": e["State"],
                    "policy": e["PolicyDocument"],
                    "tables": sorted(e["RouteTableIds"]),
                    "tags": sorted(f"{tag['Key']}={tag['Value']}" for tag in e["Tags"]),
                }
                for e in endpoints
            },
            **{
                table["RouteTableId"]: {
                    "routes": sorted(json.dumps(route) for route in table["Routes"]),
                    "associations": sorted(map(json.dumps, table["Associations"])),
                }
                for table in self._ec2.describe_route_tables()["RouteTables"]
            },
            "bucket": {"text of the policy": self.policy(), "objects": self._objects()},
        }
        text = json.dumps(seen)
        for number, endpoint in enumerate(endpoints):
            text = text.replace(endpoint["VpcEndpointId"], f"vpce-({number})")
        symbolic: Snapshot = json.loads(text)
        return symbolic

    def _objects(self) -> list[str]:
        found = self._inside.list_objects_v2(Bucket=self._bucket).get("Contents", [])
        return [item["Key"] for item in found]

    def sides(self, plan: Plan) -> dict[str, str]:
        """By field of the plan: whether the account holds it as "before", "after", or "neither"."""
        tag = {"Key": CHANGE_TAG, "Value": self._change_id}
        ours = [endpoint for endpoint in self.endpoints() if tag in endpoint["Tags"]]
        tables = self._ec2.describe_route_tables()["RouteTables"]
        routes = {
            table["RouteTableId"]: route["GatewayId"]
            for table in tables
            for route in table["Routes"]
            if "DestinationPrefixListId" in route
        }

        def value(change: Change) -> str | None:
            kind, _, name = change.resource.partition("/")
            if kind == "bucket":
                return self.policy()
            if kind == "route-table":
                return routes.get(name)
            if not ours:
                return None
            if change.field == "service":
                return f"{ours[0]['ServiceName']} in {ours[0]['VpcId']}"
            return str(ours[0]["PolicyDocument"])

        def side(change: Change) -> str:
            text = value(change)
            for one in ours:
                text = text and text.replace(one["VpcEndpointId"], NEW_ENDPOINT)
            sides = [s for s in ("before", "after") if _same(text, getattr(change, s))]
            return sides[0] if sides else "neither"

        return {f"{c.field} of {c.resource}": side(c) for c in plan.changes}

    def lies(self, operator: Operator) -> list[str]:
        """What status says of the plan that it speaks of, and is not so in the account."""
        said = operator.status()
        found = []
        for digest, claims in _claims(said.sentences).items():
            plan, _ = approval.kept(operator.change_folder, digest)
            sides = self.sides(plan)
            named = [name for names in claims.values() for name in names]
            if "all" not in named and sorted(named) != sorted(sides):
                found.append(f"names {named} of {[*sides]}")
            for claim, names in claims.items():
                for name in sides if names == ["all"] else names:
                    if sides[name] not in CLAIMS[claim]:
                        found.append(f"{claim}: {name}, but it is as {sides[name]}")
        return [f"status says: {' '.join(said.sentences)} ({lie})" for lie in found]

    def dangling(self) -> list[str]:
        """Endpoints that the bucket policy names and that are not there: it locks readers out."""
        named = {*re.findall(r"vpce-[0-9a-f]+", self.policy() or "")}
        gone = named - {endpoint["VpcEndpointId"] for endpoint in self.endpoints()}
        return [f"the bucket policy names {one}, which is not there" for one in sorted(gone)]

    def restore(self, endpoints: list[Any], policy: str | None) -> None:
        """Creates what was seen before in an account at its start, which gives the same ids."""
        for seen in endpoints:
            self._ec2.create_vpc_endpoint(
                VpcId=seen["VpcId"],
                ServiceName=seen["ServiceName"],
                PolicyDocument=seen["PolicyDocument"],
                RouteTableIds=seen["RouteTableIds"],
                TagSpecifications=[{"ResourceType": "vpc-endpoint", "Tags": seen["Tags"]}],
            )
        if policy and policy != self.policy():
            self._s3.put_bucket_policy(Bucket=self._bucket, Policy=policy)

    def reset(self, policy: str) -> None:
        """Makes the account what it was at its start, but for its past."""
        if extra := [endpoint["VpcEndpointId"] for endpoint in self.endpoints()]:
            self._ec2.delete_vpc_endpoints(VpcEndpointIds=extra)
        if policy != self.policy():
            self._s3.put_bucket_policy(Bucket=self._bucket, Policy=policy)
        for name in self._objects():
            if name.startswith(probes.CHECK_PREFIX):
                self._inside.delete_object(Bucket=self._bucket, Key=name)


def unlike(expected: Snapshot, now: Snapshot) -> list[str]:
    """Every field that is not as expected, as lines."""
    return [
        f"{d.field} of {d.resource}: expected {d.before}, found {d.now}"
        for d in differences(expected, now)
    ]


def prepare() -> None:
    """Makes this process ready to be forked many times: what each child needs is loaded once."""
    os.chdir(PROJECT)
    os.environ.pop("AWS_PROFILE", None)
    figures.show = access_figure.show = lambda *_, **__: None
    loader = botocore.loaders.create_loader()
    botocore.session.create_loader = lambda *_: loader
    for step in (FIND, ENDPOINT, ROUTES, POLICY, CHECK, UNDO):
        _cells(step)


def told_by(module: str) -> Any:
    """What one of the drivers beside this module tells, run in a process of its own.

    It forks, which a process with threads, as pytest's may be, must not.
    """
    done = subprocess.run(
        [sys.executable, "-m", module], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def turn_to(account: rehearsal.Account) -> None:
    """Turns this process to an account, with clients that it and its children use again.

    They have no connection yet, so that each child has its own.
    """
    os.environ.update(account.environment())
    make, made = aws.boto3.Session.client, {}

    def client(session: Any, service: str, config: Any = None, **named: Any) -> Any:
        if named:
            return make(session, service, config=config, **named)
        key = session.get_credentials().access_key, service, config
        if key not in made:
            made[key] = make(session, service, config=config)
        return made[key]

    aws.boto3.Session.client = client
    for service in ("accessanalyzer", "ec2", "iam", "s3", "ssm", "sts"):
        for config in (aws.CONFIG, aws.ONCE):
            aws.boto3.Session().client(service, config=config)
    gc.collect()
    gc.freeze()


class Raised(Exception):
    """What a process of its own has raised, as text."""


def forked(work: Callable[[], Any]) -> Any:
    """What `work` gives, done in a process of its own; None if that was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        with os.fdopen(writer, "w") as pipe:
            try:
                json.dump({"gave": work()}, pipe)
            except Exception as error:  # whatever it is, it is for the one who waits
                steps = [line.strip() for line in traceback.format_tb(error.__traceback__)[-3:]]
                json.dump({"raised": "\n".join([f"{type(error).__name__}: {error}", *steps])}, pipe)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    _, ended = os.waitpid(child, 0)
    if os.WIFSIGNALED(ended):
        return None
    said = json.loads(text)
    if "raised" in said:
        raise Raised(said["raised"])
    return said["gave"]


@cache
def _rehearsal_parameters() -> dict[str, Any]:
    return Parameters.load(PROJECT / "params/rehearsal.yaml").model_dump()


@cache
def _cells(step: str) -> list[CodeType]:
    """The code cells, but for the one with the parameters."""
    notebook = json.loads((PROJECT / f"notebooks/{step}.ipynb").read_text("utf-8"))
    sources = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return [compile(source, step, "exec") for source in sources[1:]]


def _same(one: str | None, other: str | None) -> bool:
    """Whether two values are the same, JSON by what it says."""
    if one and other and one.startswith("{"):
        return bool(json.loads(one) == json.loads(other))
    return one == other


def _claims(sentences: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """By digest of a plan: what is said of which of its changes."""
    result: dict[str, dict[str, list[str]]] = {}
    of: dict[str, list[str]] = {}
    for sentence in sentences:
        if match := re.match(r"Plan (\w+) was begun, and is not", sentence):
            of = result.setdefault(match[1], {})
        elif match := re.match(r"Plan (\w+) was applied, and found in place", sentence):
            result[match[1]] = {"Done": ["all"]}
        elif match := re.match(r"Plan (\w+) to \w+ \d+ changes was shown", sentence):
            result[match[1]] = {"Not begun": ["all"]}
        elif match := re.match(r"(Done|Perhaps done|Not done|Not begun)\b.*?: (.*)\.$", sentence):
            of[match[1]] = match[2].split(", ")
    return result

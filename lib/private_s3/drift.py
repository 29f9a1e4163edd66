"""Tells what drifted between two snapshots from what AWS does by itself; asks nothing of AWS."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from private_s3 import snapshot, statements
from private_s3.errors import BadInput
from private_s3.parameters import Parameters
from private_s3.snapshot import Snapshot

Verdict = Literal["as left", "drift", "by AWS itself", "not ours", "not known", "not compared"]
ON_THE_INTERNET = ("igw-", "nat-", "eigw-")
BLOCK = "public access block"
PLAN_AGAIN = "plan again: private-s3 plan -f PARAMETERS"
PUT_BACK = f"{PLAN_AGAIN}; the plan puts it back"
ASK = (
    "ask who changed it; to take the account as it is now, plan and apply again, and the next "
    "audit compares with that"
)


class Finding(NamedTuple):
    """One thing that was held against how the change left it."""

    name: str
    verdict: Verdict
    was: str = ""
    now: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Drift:
    """The snapshot that a change left, and one of now, which has every instance of the VPC."""

    vpc: str
    before: Snapshot
    now: Snapshot
    parameters: Parameters

    def findings(self) -> Iterator[Finding]:
        """One for each thing that is as it was left, else one for each of its differences."""
        if not any(resource.startswith("route-table/") for resource in self.now):
            # Every VPC has a main route table; nothing that was in a VPC is there without it.
            yield Finding(f"VPC {self.vpc}", "drift", "there", "gone", "make a new change")
        else:
            for endpoint_id in self.endpoints:
                name = f"endpoint {endpoint_id}"
                yield from _else_as_left(name, self._endpoint(f"vpc-endpoint/{endpoint_id}"))
            for subnet in self.subnets:
                yield from _else_as_left(f"route table of {subnet}", self._subnet(subnet))
            for table_id in self.tables:
                yield from self._routes(table_id)
            yield from self._other_tables()
            for resource, instance in self.instances.items():
                name = f"instance {instance['name']} {_id(resource)}"
                yield from _else_as_left(name, self._instance(name, resource, instance))
        yield from self._prefix_list()
        yield from self._bucket()

    @cached_property
    def instances(self) -> dict[str, Mapping[str, Any]]:
        """The instances of the change as it left them, by resource."""
        return {r: fields for r, fields in self.before.items() if r.startswith("instance/")}

    @cached_property
    def replaced_by(self) -> dict[str, list[str]]:
        """By resource of an instance that is gone: ids of others that have its name now."""
        return {
            resource: [
                _id(other)
                for other, fields in self.now.items()
                if other.startswith("instance/")
                and other not in self.before
                and fields["name"] == instance["name"] != ""
            ]
            for resource, instance in self.instances.items()
            if resource not in self.now
        }

    @property
    def told(self) -> list[str]:
        """Ids of the instances that are gone, and of those that have taken their places."""
        gone = [_id(resource) for resource in self.replaced_by]
        return gone + [other for others in self.replaced_by.values() for other in others]

    @cached_property
    def subnets(self) -> list[str]:
        """Ids of the subnets that the instances were in."""
        return sorted({instance["subnet"] for instance in self.instances.values()})

    @cached_property
    def tables(self) -> list[str]:
        """Ids of the route tables that they followed, and that one of them follows still."""
        pairs = {
            (self._followed(self.before, s), self._followed(self.now, s)) for s in self.subnets
        }
        return sorted(before for before, now in pairs if before == now)

    @cached_property
    def endpoints(self) -> list[str]:
        """Ids of the endpoints that served these subnets."""
        targets = {
            str(way).split()[0]
            for subnet in self.subnets
            for way in self.before[f"route-table/{self._followed(self.before, subnet)}"].values()
        }
        return sorted(target for target in targets if f"vpc-endpoint/{target}" in self.before)

    def _followed(self, of: Snapshot, subnet: str) -> str:
        return str(of.get(f"subnet/{subnet}", {}).get("route table", "gone"))

    def _endpoint(self, resource: str) -> Iterator[Finding]:
        before, now, endpoint_id = self.before[resource], self.now.get(resource), _id(resource)
        name = f"endpoint {endpoint_id}"
        if now is None:
            text = f"{PLAN_AGAIN}; it makes a new one, and names that in the bucket policy"
            yield Finding(name, "drift", before["state"], "gone", text)
            return
        if now["state"] != "available":
            look = self._command("describe-vpc-endpoints", f"--vpc-endpoint-ids {endpoint_id}")
            text = f"{look} says why; delete it, then {PLAN_AGAIN}"
            yield Finding(f"state of {name}", "drift", before["state"], now["state"], text)
        if not statements.same(before["policy"], now["policy"]):
            was = statements.only(before["policy"], now["policy"])
            is_ = statements.only(now["policy"], before["policy"])
            text = f"{PUT_BACK} if this change made the endpoint; if not, {ASK}"
            yield Finding(f"policy of {name}", "drift", was, is_, text)
        old, new = set(before["route tables"]), set(now["route tables"])
        for table_id in sorted((old ^ new) - {*self.tables}):  # theirs are compared by their routes
            option = "add" if table_id in old else "remove"
            yield Finding(
                f"{table_id} at {name}",
                "drift",
                "served" if table_id in old else "not served",
                "not served" if table_id in old else "served",
                self._command(
                    "modify-vpc-endpoint",
                    f"--vpc-endpoint-id {endpoint_id} --{option}-route-table-ids {table_id}",
                ),
            )

    def _subnet(self, subnet: str) -> Iterator[Finding]:
        before, now = self._followed(self.before, subnet), self._followed(self.now, subnet)
        if before != now:
            routes = self.now.get(f"route-table/{now}", {}).items()
            out = [f"{_destination(f)} to {way}" for f, way in routes if _to_internet(way)]
            text = f"{now}, which leads to the internet: {', '.join(out)}" if out else now
            remedy = f"associate {subnet} with {before} again, or {PLAN_AGAIN}"
            yield Finding(f"route table of {subnet}", "drift", before, text, remedy)

    def _routes(self, table_id: str) -> Iterator[Finding]:
        resource = f"route-table/{table_id}"
        gone = [e for e in self.endpoints if f"vpc-endpoint/{e}" not in self.now]
        of_table = ({resource: one.get(resource, {})} for one in (self.before, self.now))
        found = snapshot.differences(*of_table)
        if not found:
            yield Finding(f"routes of {table_id}", "as left")
        for _, field, before, now in found:
            name, destination = f"{field} of {table_id}", _destination(field)
            if before and not now and before.split()[0] in gone:
                continue  # went with its endpoint, which is named already
            if not before and now in [f"{one} active" for one in self.endpoints]:
                # An endpoint that becomes dual-stack gets the list of IPv6 addresses as well.
                # Source: AWS PrivateLink Guide, "Gateway endpoints".
                text = f"{now}: another prefix list by the same endpoint, which is dual-stack"
                yield Finding(name, "by AWS itself", "-", text)
            elif now and _to_internet(now):
                remedy = self._delete_route(table_id, destination)
                text = f"{now}: leads to the internet"
                yield Finding(name, "drift", before or "-", text, remedy)
            elif destination in self._prefix_lists and (before or "").startswith("vpce-"):
                yield Finding(name, "drift", before, now or "gone", PUT_BACK)
            else:
                yield Finding(name, "drift", before or "-", now or "gone", ASK)

    def _other_tables(self) -> Iterator[Finding]:
        """One line for all of them: nothing of the change is there, and others look after them."""
        followed = {self._followed(self.before, subnet) for subnet in self.subnets}
        before, now = (
            {
                resource: fields
                for resource, fields in one.items()
                if resource.startswith("route-table/") and _id(resource) not in followed
            }
            for one in (self.before, self.now)
        )
        if found := snapshot.differences(before, now):
            tables = ", ".join(sorted({_id(d.resource) for d in found}))
            text = f"{len(found)} route{'s'[: len(found) != 1]} changed in {tables}"
            yield Finding("other route tables", "not ours", "-", text)

    def _instance(self, name: str, resource: str, before: Mapping[str, Any]) -> Iterator[Finding]:
        now, level = self.now.get(resource), self.parameters.restrict_to
        if now is None:
            others = ", ".join(self.replaced_by[resource])
            shut = f"; until then restrict_to {level} shuts it out" if "instance" in level else ""
            yield Finding(
                name,
                "drift",
                before["state"],
                f"replaced by {others}" if others else "gone",
                f"name {others or 'another'} in instance_ids or instance_name, then {PLAN_AGAIN}"
                + (shut if others else ""),
            )
            return
        if before["state"] == "running" and now["state"] in ("stopping", "stopped"):
            start = self._command("start-instances", f"--instance-ids {_id(resource)}")
            yield Finding(name, "drift", "running", now["state"], start)
        for field in ("role", "subnet"):
            if before[field] != now[field]:
                text = f"give it back its {field}, or {PLAN_AGAIN}"
                yield Finding(f"{field} of {name}", "drift", before[field], now[field], text)

    @cached_property
    def _prefix_lists(self) -> list[str]:
        return [_id(resource) for resource in self.before if resource.startswith("prefix-list/")]

    def _prefix_list(self) -> Iterator[Finding]:
        for list_id in self._prefix_lists:
            old, new = (
                set(one.get(f"prefix-list/{list_id}", {}).get("addresses", []))
                for one in (self.before, self.now)
            )
            if old != new:
                text = (
                    f"{len(new)} address ranges, {len(new - old)} new and {len(old - new)} gone; "
                    "network ACLs that name them may have to follow"
                )
                was = f"{len(old)} address ranges"
                yield Finding(f"prefix list {list_id}", "by AWS itself", was, text)

    def _bucket(self) -> Iterator[Finding]:
        name = self.parameters.bucket
        before, now = self.before[f"bucket/{name}"], self.now.get(f"bucket/{name}")
        if now is None:
            yield Finding(f"bucket {name}", "drift", "there", "gone", "make a new change")
            return
        yield from _else_as_left("bucket policy", _policy(before["policy"], now["policy"]))
        block = self._block(before.get(BLOCK), now.get(BLOCK))
        yield from _else_as_left("Block Public Access", block)

    def _block(
        self, before: Mapping[str, bool] | None, now: Mapping[str, bool] | None
    ) -> Iterator[Finding]:
        name, bucket = "Block Public Access", self.parameters.bucket
        if before is None or now is None:
            texts = (_settings(before), _settings(now))
            remedy = f"grant s3:GetBucketPublicAccessBlock on {bucket} to the operator"
            yield Finding(name, "not known", *texts, remedy)
        elif _settings(before) != _settings(now):
            weaker = any(value and not now.get(setting) for setting, value in before.items())
            wanted = ",".join(f"{s}={str(value).lower()}" for s, value in sorted(before.items()))
            put = (
                f"aws s3api put-public-access-block --region {self.parameters.region} "
                f"--bucket {bucket} --public-access-block-configuration {wanted}"
            )
            yield Finding(name, "drift", _settings(before), _settings(now), put if weaker else ASK)

    def _command(self, operation: str, options: str) -> str:
        return f"aws ec2 {operation} --region {self.parameters.region} {options}"

    def _delete_route(self, table_id: str, destination: str) -> str:
        kind = "ipv6-cidr-block" if ":" in destination else "cidr-block"
        kind = "prefix-list-id" if destination.startswith("pl-") else kind
        return self._command(
            "delete-route", f"--route-table-id {table_id} --destination-{kind} {destination}"
        )


def _policy(before: str | None, now: str | None) -> Iterator[Finding]:
    """Statement by statement, by content; a Sid is all that says that two are one, changed."""
    if before == now:
        return
    old, new = statements.by_content(before), statements.by_content(now)
    gone = _by_sid(old[text] for text in old.keys() - new.keys())
    added = _by_sid(new[text] for text in new.keys() - old.keys())
    for sid in sorted({*gone, *added}):
        whose = "ours" if sid in statements.REQUIREMENTS else "somebody else's"
        what = "changed" if sid in gone and sid in added else "gone" if sid in gone else "added"
        remedy = PUT_BACK if sid in statements.REQUIREMENTS else ASK
        for statement in added.get(sid, []):
            try:
                statements.is_ours(statement)
            except BadInput as error:  # no plan takes such a statement away
                remedy = f"{error.remedy}; then {PUT_BACK}"
        yield Finding(
            f"statement {sid} ({whose}) {what}",
            "drift",
            _texts(gone.get(sid, [])),
            _texts(added.get(sid, [])),
            remedy,
        )
    if not gone and not added:
        count = f"{len(old)} statements"
        text = f"{count}, rewritten by S3; they mean the same"
        yield Finding("bucket policy", "by AWS itself", count, text)


def _by_sid(found: Iterable[statements.Statement]) -> dict[str, list[statements.Statement]]:
    by_sid: dict[str, list[statements.Statement]] = defaultdict(list)
    for statement in found:
        by_sid[statement.get("Sid") or "without a Sid"].append(statement)
    return by_sid


def _texts(found: Iterable[statements.Statement]) -> str:
    return "; ".join(sorted(json.dumps(one, sort_keys=True) for one in found)) or "-"


def _else_as_left(name: str, found: Iterable[Finding]) -> list[Finding]:
    return [*found] or [Finding(name, "as left")]


def _settings(block: Mapping[str, bool] | None) -> str:
    """The settings that are on; one that is not given is off."""
    if block is None:
        return "could not be read"
    return ", ".join(sorted(setting for setting, on in block.items() if on)) or "all off"


def _to_internet(way: str) -> bool:
    return way.startswith(ON_THE_INTERNET) and way.endswith(" active")


def _destination(field: str) -> str:
    return field.removeprefix("route ")


def _id(resource: str) -> str:
    return resource.split("/", 1)[1]

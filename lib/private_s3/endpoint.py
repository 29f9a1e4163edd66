"""Plans and makes the S3 gateway endpoint: create one, or add route tables to the one there is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from private_s3 import aws, statements
from private_s3.errors import AwsRefused, BadInput, CheckFailed
from private_s3.folder import project_directory
from private_s3.network import Network, endpoints, name, tags
from private_s3.parameters import Parameters
from private_s3.plan import NEW_ENDPOINT, Change, State
from private_s3.record import Check, Record

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import VpcEndpointTypeDef

CHANGE_TAG = "private-s3:change"
USABLE = ("available", "pending")
S3_ROUTE = "S3 route"
# The resources of a plan that are made here.
PARTS: tuple[str, ...] = ("vpc-endpoint/", "route-table/")
# Seconds; Terraform's provider waits as long.
TIME_LIMIT = 600


def created(network: Network, change_id: str) -> VpcEndpointTypeDef | None:
    """The endpoint that this change has made, if it has."""
    ours = (e for e in network.endpoints if tags(e).get(CHANGE_TAG) == change_id)
    return next(ours, None)


def state(network: Network, parameters: Parameters) -> State:
    """What the VPC holds of what the plan may change.

    The endpoint that this change made goes by its symbol, as in the plan.
    """
    ours = created(network, parameters.change_id)
    resource = f"vpc-endpoint/{parameters.endpoint_name}"
    return {
        (resource, "service"): f"{ours['ServiceName']} in {ours['VpcId']}" if ours else None,
        (resource, "policy"): ours["PolicyDocument"] if ours else None,
        **{
            (f"route-table/{table}", S3_ROUTE): symbolic(endpoint_id, network, parameters)
            for table, endpoint_id in _serving(network).items()
        },
    }


def wanted(network: Network, parameters: Parameters) -> State:
    """What it shall hold: each target route table served, by one endpoint wherever possible.

    A table that some endpoint serves already stays as it is: S3 takes one endpoint per table.
    """
    _require_usable(network)
    serving = _serving(network)
    targets = network.target_tables
    missing = [table for table in targets if table not in serving]
    result: dict[tuple[str, str], str | None] = {}
    endpoint_id = ""
    if missing or created(network, parameters.change_id):
        endpoint_id = _choose(network, parameters, serving)
        if endpoint_id == NEW_ENDPOINT:
            resource = f"vpc-endpoint/{parameters.endpoint_name}"
            result[resource, "service"] = f"{network.service_name} in {network.vpc_id}"
            result[resource, "policy"] = json.dumps(policy(parameters), sort_keys=True)
    for table in targets:
        served_by = serving.get(table)
        result[f"route-table/{table}", S3_ROUTE] = (
            symbolic(served_by, network, parameters) if served_by else endpoint_id
        )
    return result


def policy(parameters: Parameters) -> statements.Policy:
    """The endpoint policy that the parameters ask for; raises BadInput for an unreadable file."""
    if parameters.endpoint_policy == "full-access":
        return statements.full_access()
    if parameters.endpoint_policy == "bucket-only":
        return statements.bucket_only(parameters.bucket)
    path = project_directory() / Path(parameters.endpoint_policy)
    try:
        return statements.parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            "Could not read the endpoint policy; nothing was written.",
            str(error),
            "correct endpoint_policy: full-access, bucket-only, or a path from the project's top",
        ) from error


def created_id(network: Network, change_id: str) -> str:
    """Id of the endpoint that this change has made; empty if it has made none."""
    ours = created(network, change_id)
    return ours["VpcEndpointId"] if ours else ""


def symbolic(text: str, network: Network, parameters: Parameters) -> str:
    """The text as a plan says it: the id of the endpoint that this change made by its symbol."""
    ours = created_id(network, parameters.change_id)
    return text.replace(ours, NEW_ENDPOINT) if ours else text


def resolved(text: str, endpoint_id: str) -> str:
    """The text with the real id of the endpoint that this change made, if it has made one."""
    return text.replace(NEW_ENDPOINT, endpoint_id) if endpoint_id else text


def waiting(network: Network) -> bool:
    """Whether an endpoint is not yet at work that serves the instances."""
    serving = _serving(network)
    at_work = {serving.get(table) for table in network.target_tables}
    return any(
        e["VpcEndpointId"] in at_work and e["State"].lower() != "available"
        for e in network.endpoints
    )


def apply(
    account: aws.Account, network: Network, todo: list[Change], endpoint_id: str, record: Record
) -> None:
    """Carries out the changes with one call for each endpoint, and waits to see them.

    `endpoint_id` is that of the endpoint which this change has made, if it has.
    """
    service = next((c for c in todo if c.field == "service"), None)
    if service and service.after:
        endpoint_id = _create(account, network, todo, record)
    elif service:
        _delete(account, endpoint_id, todo, record)
    for other_id, changes in _by_endpoint([] if service else todo, endpoint_id).items():
        _modify(account, other_id, changes, record)
    planned = {
        c.resource.split("/")[1]: resolved(c.after, endpoint_id) if c.after else None
        for c in todo
        if c.field == S3_ROUTE
    }
    # What an earlier run has made may not be at work yet.
    serving = _serving(network)
    wanted = {**{table: serving.get(table) for table in network.target_tables}, **planned}
    aws.wait(
        f"the endpoints of {network.vpc_id} to serve as planned",
        lambda: _Seen(endpoints(account.ec2, network.vpc_id, network.service_name)),
        lambda seen: _in_place(seen.endpoints, wanted, todo, endpoint_id),
        TIME_LIMIT,
    )


def checks(network: Network, parameters: Parameters) -> list[Check]:
    """Whether the endpoints that serve the instances have the policy that was asked for.

    The policy of an endpoint that others have made is theirs: it is not changed, and whether it
    lets the bucket through is seen from the instance.
    """
    if not parameters.applying:
        return [Check("endpoint policy as asked", "SKIPPED", "nothing was applied")]
    asked = json.dumps(policy(parameters))
    serving = {_serving(network).get(table) for table in network.target_tables}
    result = []
    for found in (e for e in network.endpoints if e["VpcEndpointId"] in serving):
        title = f"endpoint policy of {found['VpcEndpointId']} as asked"
        if statements.same(found["PolicyDocument"], asked):
            result.append(Check(title, "PASS", parameters.endpoint_policy))
        else:
            detail = "kept as others have made it; step 50 shows whether it serves"
            result.append(Check(title, "UNCERTAIN", detail))
    return result


def creation(network: Network, todo: Sequence[Change], record: Record) -> dict[str, Any]:
    """The request that creates the endpoint of these changes."""
    change_id, digest = record.parameters.change_id, record.parameters.approved_plan
    by_field = {c.field: c for c in todo}
    tag_list = [
        {"Key": "Name", "Value": by_field["service"].resource.removeprefix("vpc-endpoint/")},
        {"Key": CHANGE_TAG, "Value": change_id},
    ]
    # The same token makes no second endpoint, should the answer to the first call be lost. Once
    # one was made another is wanted: for the old token AWS may answer with an endpoint long gone,
    # be it of another folder with this change_id. So it counts when this one was first planned.
    # Source: EC2 API Reference, "Ensuring idempotency".
    planned = (line["time"] for line in record.journal.lines() if line["event"] == "planned")
    token = f"{change_id} {digest} {next(planned, '')} {len(record.effect.endpoint_ids)}"
    return {
        "VpcEndpointType": "Gateway",
        "VpcId": network.vpc_id,
        "ServiceName": network.service_name,
        "RouteTableIds": _tables(todo),
        "PolicyDocument": str(by_field["policy"].after),
        "TagSpecifications": [{"ResourceType": "vpc-endpoint", "Tags": tag_list}],
        "ClientToken": hashlib.sha256(token.encode()).hexdigest()[:32],
    }


def modifications(todo: Sequence[Change], made: str) -> dict[str, dict[str, Any]]:
    """By endpoint id, the request that modifies it; `made` is that of this change's own."""
    return {one: _modification(one, changes) for one, changes in _by_endpoint(todo, made).items()}


def _create(account: aws.Account, network: Network, todo: list[Change], record: Record) -> str:
    request = creation(network, todo, record)
    remedy = "if a route table is served already, plan again: the endpoint there will be used"
    with record.write("CreateVpcEndpoint", request, remedy, _keys(todo)) as outcome:
        answer = account.ec2_once.create_vpc_endpoint(**request)
        endpoint_id = answer["VpcEndpoint"]["VpcEndpointId"]
        outcome.answered(answer, endpoint_id=endpoint_id)
    return endpoint_id


def _modify(account: aws.Account, endpoint_id: str, changes: list[Change], record: Record) -> None:
    request = _modification(endpoint_id, changes)
    remedy = "make a new plan and look at it"
    with record.write("ModifyVpcEndpoint", request, remedy, _keys(changes)) as outcome:
        outcome.answered(account.ec2_once.modify_vpc_endpoint(**request))


def _modification(endpoint_id: str, changes: Sequence[Change]) -> dict[str, Any]:
    request: dict[str, Any] = {"VpcEndpointId": endpoint_id}
    routes = [c for c in changes if c.field == S3_ROUTE]
    if added := _tables(c for c in routes if c.after):
        request["AddRouteTableIds"] = added
    if removed := _tables(c for c in routes if not c.after):
        request["RemoveRouteTableIds"] = removed
    if policies := [c.after for c in changes if c.field == "policy"]:
        request["PolicyDocument"] = policies[0]
    return request


def _delete(account: aws.Account, endpoint_id: str, todo: list[Change], record: Record) -> None:
    request: Any = {"VpcEndpointIds": [endpoint_id]}
    remedy = (
        "if an interface endpoint for S3 with private DNS for inbound resolvers needs it, have "
        "that one deleted or changed first"
    )
    with record.write("DeleteVpcEndpoints", request, remedy, _keys(todo)) as outcome:
        answer = account.ec2_once.delete_vpc_endpoints(**request)
        outcome.answered(answer)
        # AWS answers 200 also when it has not deleted.
        for failed in answer.get("Unsuccessful", []):
            error = failed["Error"]
            if error["Code"] != "InvalidVpcEndpoint.NotFound":
                raise AwsRefused(
                    f"Could not delete {endpoint_id}.",
                    f"AWS answered {error['Code']}: {error['Message']}",
                    remedy,
                    error["Code"],
                    status=400,
                    request_id=outcome.request_id,
                )


def _by_endpoint(todo: Sequence[Change], made: str) -> dict[str, list[Change]]:
    """By endpoint id, what to change of it."""
    result: dict[str, list[Change]] = {}
    for change in todo:
        served_by = change.after or change.before if change.field == S3_ROUTE else NEW_ENDPOINT
        result.setdefault(resolved(str(served_by), made), []).append(change)
    return result


class _Seen(NamedTuple):
    """One reading of the endpoints; prints as their states."""

    endpoints: list[VpcEndpointTypeDef]

    def __str__(self) -> str:
        return "; ".join(_brief(e) for e in self.endpoints) or "no endpoint"


def _brief(endpoint: VpcEndpointTypeDef) -> str:
    tables = ", ".join(endpoint.get("RouteTableIds", [])) or "no route table"
    return f"{endpoint['VpcEndpointId']} is {endpoint['State']} and serves {tables}"


def _in_place(
    seen: list[VpcEndpointTypeDef],
    wanted: Mapping[str, str | None],
    todo: list[Change],
    made: str,
) -> bool:
    """Whether every route table is served as wanted, by endpoints that are at work."""
    serving = {table: e["VpcEndpointId"] for e in seen for table in e.get("RouteTableIds", [])}
    policies = {e["VpcEndpointId"]: e["PolicyDocument"] for e in seen}
    at_work = {e["VpcEndpointId"] for e in seen if e["State"].lower() == "available"}
    return (
        {*filter(None, wanted.values())} <= at_work
        and all(serving.get(table) == endpoint_id for table, endpoint_id in wanted.items())
        and all(c.same(policies.get(made), c.after) for c in todo if c.field == "policy")
    )


def _tables(changes: Iterable[Change]) -> list[str]:
    """Ids of the route tables that get or lose their S3 route."""
    return sorted(c.resource.split("/")[1] for c in changes if c.field == S3_ROUTE)


def _keys(changes: Iterable[Change]) -> list[tuple[str, str]]:
    return [(change.resource, change.field) for change in changes]


def _serving(network: Network) -> dict[str, str]:
    """Route table id to the id of the gateway endpoint that has its S3 route."""
    return {
        table: endpoint["VpcEndpointId"]
        for endpoint in network.endpoints
        for table in endpoint.get("RouteTableIds", [])
    }


def _choose(network: Network, parameters: Parameters, serving: Mapping[str, str]) -> str:
    """The endpoint that shall serve the tables that none serves: ours, one there is, or a new."""
    if created(network, parameters.change_id) or not network.endpoints:
        return NEW_ENDPOINT
    at_work = {serving[table] for table in network.target_tables if table in serving}
    named = {e["VpcEndpointId"] for e in network.endpoints if name(e) == parameters.endpoint_name}
    every = {e["VpcEndpointId"] for e in network.endpoints}
    for candidates in (at_work, named, every):
        if len(candidates) == 1:
            return candidates.pop()
    raise BadInput(
        f"Could not choose an S3 gateway endpoint of {network.vpc_id}.",
        f"There are several: {', '.join(sorted(every))}.",
        "set endpoint_name to the Name tag of the one that shall serve the instances",
    )


def _require_usable(network: Network) -> None:
    for endpoint in network.endpoints:
        if endpoint["State"].lower() not in USABLE:
            raise CheckFailed(
                f"Could not plan with the endpoint {endpoint['VpcEndpointId']}.",
                f"Its state is {endpoint['State']}: {endpoint.get('LastError', {})}",
                "delete it, or have AWS Support look at it, and plan again",
            )

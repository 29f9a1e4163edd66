"""Plans and makes the S3 gateway endpoint: create one, or add route tables to the one there is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from private_s3 import aws, statements
from private_s3.errors import BadInput, CheckFailed
from private_s3.network import Network, name, tags
from private_s3.parameters import Parameters
from private_s3.plan import NEW_ENDPOINT, Change, Plan, State
from private_s3.record import Check, Record, project_directory

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import VpcEndpointTypeDef

CHANGE_TAG = "private-s3:change"
USABLE = ("available", "pending")
S3_ROUTE = "S3 route"
# The resources of a plan that are made here.
PARTS = ("vpc-endpoint/", "route-table/")


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


def symbolic(text: str, network: Network, parameters: Parameters) -> str:
    """The text as a plan says it: the id of the endpoint that this change made by its symbol."""
    ours = created(network, parameters.change_id)
    return text.replace(ours["VpcEndpointId"], NEW_ENDPOINT) if ours else text


def resolved(text: str, network: Network, change_id: str) -> str:
    """The text with the real id of the endpoint that this change made, if it has made one."""
    ours = created(network, change_id)
    return text.replace(NEW_ENDPOINT, ours["VpcEndpointId"]) if ours else text


def apply(
    account: aws.Account, network: Network, plan: Plan, finished: frozenset[Change], record: Record
) -> None:
    """Makes the endpoint part of the plan real, with at most two calls, and waits to see it."""
    todo = {
        (c.resource, c.field): c.after
        for c in plan.changes
        if c not in finished and c.resource.startswith(PARTS)
    }
    tables = sorted(r.split("/")[1] for r, field in todo if field == S3_ROUTE)
    resource = next((r for r, field in todo if field == "service"), None)
    new_policy = next((after for (_, field), after in todo.items() if field == "policy"), None)
    if resource:
        endpoint_id = _create(
            account, network, plan, resource.split("/")[1], str(new_policy), tables, record
        )
    elif tables or new_policy:
        endpoint_id = _modify(account, network, todo, new_policy, tables, record)
    else:
        return
    aws.wait(
        f"{endpoint_id} to serve {', '.join(tables) or 'as asked'}",
        lambda: _seen(account, endpoint_id),
        lambda seen: (
            seen.get("State", "").lower() == "available"
            and set(tables) <= set(seen["RouteTableIds"])
        ),
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


def _create(
    account: aws.Account,
    network: Network,
    plan: Plan,
    endpoint_name: str,
    policy_document: str,
    tables: list[str],
    record: Record,
) -> str:
    tag_list = [
        {"Key": "Name", "Value": endpoint_name},
        {"Key": CHANGE_TAG, "Value": plan.change_id},
    ]
    request = {
        "VpcEndpointType": "Gateway",
        "VpcId": network.vpc_id,
        "ServiceName": network.service_name,
        "RouteTableIds": tables,
        "PolicyDocument": policy_document,
        "TagSpecifications": [{"ResourceType": "vpc-endpoint", "Tags": tag_list}],
        # The same token makes no second endpoint, should the answer to the first call be lost.
        "ClientToken": hashlib.sha256(f"{plan.change_id} {plan.digest}".encode()).hexdigest()[:32],
    }
    remedy = "if a route table is served already, plan again: the endpoint there will be used"
    with record.write("CreateVpcEndpoint", request, remedy) as outcome:
        answer = account.ec2.create_vpc_endpoint(**request)  # type: ignore[arg-type]
        endpoint_id = answer["VpcEndpoint"]["VpcEndpointId"]
        outcome.answered(answer, endpoint_id=endpoint_id)
    return endpoint_id


def _modify(
    account: aws.Account,
    network: Network,
    todo: Mapping[tuple[str, str], str | None],
    policy_document: str | None,
    tables: list[str],
    record: Record,
) -> str:
    ours = created(network, record.parameters.change_id)
    chosen = next((str(after) for (_, f), after in todo.items() if f == S3_ROUTE), NEW_ENDPOINT)
    endpoint_id = ours["VpcEndpointId"] if chosen == NEW_ENDPOINT and ours else chosen
    request: dict[str, Any] = {"VpcEndpointId": endpoint_id}
    if tables:
        request["AddRouteTableIds"] = tables
    if policy_document:
        request["PolicyDocument"] = policy_document
    with record.write("ModifyVpcEndpoint", request, "make a new plan and look at it") as outcome:
        outcome.answered(account.ec2.modify_vpc_endpoint(**request))
    return endpoint_id


def _seen(account: aws.Account, endpoint_id: str) -> Mapping[str, Any]:
    with aws.attempt(f"read {endpoint_id}", "grant ec2:DescribeVpcEndpoints to the caller"):
        by_id = [{"Name": "vpc-endpoint-id", "Values": [endpoint_id]}]
        found = aws.pages(account.ec2, "describe_vpc_endpoints", "VpcEndpoints", Filters=by_id)
    return found[0] if found else {}


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

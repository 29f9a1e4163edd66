"""What an account holds of the path to the bucket, field by field, to be compared later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from private_s3 import statements
from private_s3.network import Network, name, role_name
from private_s3.tables import table

if TYPE_CHECKING:
    import pandas as pd

# By resource and field; all of it can be written as JSON.
Snapshot = Mapping[str, Mapping[str, Any]]
COLUMNS = ("resource", "field", "before", "now")


class Difference(NamedTuple):
    """One field that two snapshots do not have alike; None for what is not there."""

    resource: str
    field: str
    before: Any
    now: Any


def take(network: Network, bucket: str, policy: str | None) -> dict[str, dict[str, Any]]:
    """The snapshot of one reading of the account."""
    tables: dict[str, dict[str, str]] = {t["RouteTableId"]: {} for t in network.route_tables}
    for route in network.routes():
        tables[route.route_table][f"route {route.destination}"] = f"{route.target} {route.state}"
    return {
        **{f"route-table/{table_id}": routes for table_id, routes in tables.items()},
        **{
            f"subnet/{subnet['SubnetId']}": {
                "route table": network.route_table_of(subnet["SubnetId"])["RouteTableId"]
            }
            for subnet in network.subnets
        },
        **{
            f"vpc-endpoint/{endpoint['VpcEndpointId']}": {
                "state": endpoint["State"].lower(),
                "policy": endpoint["PolicyDocument"],
                "route tables": sorted(endpoint.get("RouteTableIds", [])),
            }
            for endpoint in network.endpoints
        },
        **{
            f"instance/{instance['InstanceId']}": {
                "name": name(instance),
                "state": instance["State"]["Name"],
                "subnet": instance.get("SubnetId", ""),
                "role": role_name(instance),
            }
            for instance in network.instances
        },
        f"prefix-list/{network.prefix_list_id}": {"addresses": sorted(network.prefixes)},
        f"bucket/{bucket}": {"policy": policy},
    }


def differences(before: Snapshot, now: Snapshot) -> list[Difference]:
    """Every field that is not the same, sorted; policies are compared by content, not by text."""
    keys = sorted({(r, f) for one in (before, now) for r, fields in one.items() for f in fields})
    pairs = (Difference(r, f, before.get(r, {}).get(f), now.get(r, {}).get(f)) for r, f in keys)
    return [pair for pair in pairs if not _same(pair)]


def frame(found: list[Difference]) -> pd.DataFrame:
    """One row per difference; of policies the statements that the other does not have."""
    return table([(d.resource, d.field, *_versions(d)) for d in found], COLUMNS)


def _versions(pair: Difference) -> tuple[str, str]:
    if pair.field == "policy":
        return statements.only(pair.before, pair.now), statements.only(pair.now, pair.before)
    return _brief(pair.before), _brief(pair.now)


def _same(pair: Difference) -> bool:
    if pair.field == "policy" and pair.before and pair.now:
        return statements.same(pair.before, pair.now)
    return bool(pair.before == pair.now)


def _brief(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return str(value) if value else "-"

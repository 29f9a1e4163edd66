"""Reads the instances and the VPC, and says where each subnet's S3 traffic goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from private_s3 import aws
from private_s3.clean import clean
from private_s3.errors import AwsRefused, BadInput
from private_s3.parameters import Parameters
from private_s3.record import Check
from private_s3.tables import table

if TYPE_CHECKING:
    import pandas as pd
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import (
        InstanceTypeDef,
        RouteTableTypeDef,
        RouteTypeDef,
        SubnetTypeDef,
        VpcEndpointTypeDef,
    )

INSTANCE_COLUMNS = ("instance", "id", "state", "address", "subnet", "vpc", "role")
SUBNET_COLUMNS = ("subnet", "id", "route_table", "association", "s3_goes_to", "instances")
NOWHERE = "nowhere"
# Filters out what is terminated, or on its way to be.
THERE = {
    "Name": "instance-state-name",
    "Values": ["pending", "running", "stopping", "stopped"],
}
DESTINATIONS = ("DestinationPrefixListId", "DestinationCidrBlock", "DestinationIpv6CidrBlock")
TARGETS = (
    "GatewayId",
    "NatGatewayId",
    "TransitGatewayId",
    "VpcPeeringConnectionId",
    "EgressOnlyInternetGatewayId",
    "NetworkInterfaceId",
    "InstanceId",
    "LocalGatewayId",
    "CarrierGatewayId",
    "CoreNetworkArn",
)


class Route(NamedTuple):
    """One route of a route table; two readings are compared as sets of these."""

    route_table: str
    destination: str
    target: str
    state: str


@dataclass(frozen=True)
class Network:
    """One reading of a VPC: what AWS answered, and the instances the change is for.

    `endpoints` are the gateway endpoints for S3; the answer holds its interface endpoints too.
    `service_lists` are the addresses of AWS's own prefix lists by id, of which S3's is one.
    """

    vpc_id: str
    service_name: str
    prefix_list_id: str
    prefixes: list[str]
    instances: list[InstanceTypeDef]
    subnets: list[SubnetTypeDef]
    route_tables: list[RouteTableTypeDef]
    endpoints: list[VpcEndpointTypeDef]
    interface_endpoints: list[VpcEndpointTypeDef] = field(default_factory=list)
    service_lists: Mapping[str, list[str]] = field(default_factory=dict)

    def route_table_of(self, subnet_id: str) -> RouteTableTypeDef:
        """The subnet's effective route table: the associated one, else the VPC's main table.

        Source: Amazon VPC User Guide, "Subnet route tables".
        """
        main = None
        for route_table in self.route_tables:
            for association in route_table["Associations"]:
                if association.get("SubnetId") == subnet_id:
                    return route_table
                if association.get("Main"):
                    main = route_table
        assert main is not None, f"{self.vpc_id} has no main route table"
        return main

    @property
    def target_tables(self) -> list[str]:
        """Ids of the route tables that the instances' traffic follows, sorted."""
        return sorted({self.route_table_of(i["SubnetId"])["RouteTableId"] for i in self.instances})

    def s3_goes_to(self, route_table: RouteTableTypeDef) -> str:
        """Target that the table has for S3: a gateway endpoint, a way out, or `nowhere`.

        Goes by the routes for S3's list and for everything; `private_s3.path` follows all of them.
        """
        by_destination = {  # a black hole takes its packets too, and drops them
            destination(route): target(route) if route.get("State") == "active" else NOWHERE
            for route in route_table["Routes"]
        }
        return by_destination.get(self.prefix_list_id) or by_destination.get("0.0.0.0/0", NOWHERE)

    def predicted(self, s3_routes: Mapping[str, str | None]) -> Network:
        """This reading as it will be with these S3 routes: endpoint id by route table id."""
        tables = [self._with_s3_route(table, s3_routes) for table in self.route_tables]
        return replace(self, route_tables=tables)

    def _with_s3_route(
        self, table: RouteTableTypeDef, s3_routes: Mapping[str, str | None]
    ) -> RouteTableTypeDef:
        table_id = table["RouteTableId"]
        if table_id not in s3_routes:
            return table
        others = [
            r for r in table["Routes"] if r.get("DestinationPrefixListId") != self.prefix_list_id
        ]
        endpoint_id = s3_routes[table_id]
        new = [self._s3_route(endpoint_id)] if endpoint_id else []
        return {**table, "Routes": [*others, *new]}

    def _s3_route(self, endpoint_id: str) -> RouteTypeDef:
        return {
            "DestinationPrefixListId": self.prefix_list_id,
            "GatewayId": endpoint_id,
            "State": "active",
        }

    def routes(self) -> list[Route]:
        """Every route of every route table of the VPC, sorted."""
        return sorted(
            Route(
                table["RouteTableId"],
                destination(route),
                target(route),
                route.get("State", ""),
            )
            for table in self.route_tables
            for route in table["Routes"]
        )


def find_instances(ec2: EC2Client, parameters: Parameters) -> list[InstanceTypeDef]:
    """The instances of the change, by id or name; raises BadInput unless all are in one VPC."""
    wanted = ", ".join(parameters.instance_ids) or f"the name {parameters.instance_name}"
    attempted = f"find the instances {wanted} in {parameters.region}"
    if parameters.instance_ids:
        request: dict[str, Any] = {"InstanceIds": parameters.instance_ids}
    else:
        named = {"Name": "tag:Name", "Values": [parameters.instance_name]}
        request = {"Filters": [named, THERE]}
    try:
        with aws.attempt(attempted, "grant ec2:DescribeInstances to the caller"):
            reservations = aws.pages(ec2, "describe_instances", "Reservations", **request)
    except AwsRefused as error:
        if error.code.startswith("InvalidInstanceID"):
            raise BadInput(error.attempted, error.answer, "correct instance_ids") from error
        raise
    found = sorted((i for r in reservations for i in r["Instances"]), key=lambda i: i["InstanceId"])
    _require_one_vpc(attempted, found, parameters)
    return found


def _require_one_vpc(attempted: str, found: list[InstanceTypeDef], parameters: Parameters) -> None:
    vpcs = {instance["InstanceId"]: instance.get("VpcId", "no VPC") for instance in found}
    if not found or "no VPC" in vpcs.values():
        raise BadInput(
            f"Could not {attempted}.",
            f"Found {vpcs or 'none'}.",
            "correct instance_name or instance_ids: a terminated instance has no VPC",
        )
    if len(set(vpcs.values())) > 1 or parameters.vpc_id not in ("", *vpcs.values()):
        raise BadInput(
            f"Could not {attempted}.",
            f"They must be in one VPC ({parameters.vpc_id or 'any'}), but are in {vpcs}.",
            "make one change for each VPC, or correct vpc_id",
        )


def read(ec2: EC2Client, vpc_id: str, instances: list[InstanceTypeDef], region: str) -> Network:
    """One reading of the instances' VPC: subnets, route tables, S3 endpoints, prefix lists.

    Four calls, whatever else the account holds.
    """
    service_name = f"com.amazonaws.{region}.s3"
    in_vpc = {"Name": "vpc-id", "Values": [vpc_id]}
    with aws.attempt(
        f"read the network of {vpc_id} in {region}",
        "grant ec2:DescribePrefixLists, ec2:DescribeSubnets and ec2:DescribeRouteTables",
    ):
        # All of AWS's, which are few: a route or a rule may name another than that of S3.
        lists = aws.pages(ec2, "describe_prefix_lists", "PrefixLists")
        subnets = aws.pages(ec2, "describe_subnets", "Subnets", Filters=[in_vpc])
        tables = aws.pages(ec2, "describe_route_tables", "RouteTables", Filters=[in_vpc])
    by_name = {one["PrefixListName"]: one for one in lists}
    of_type = _endpoints(ec2, vpc_id, service_name)
    return Network(
        vpc_id=vpc_id,
        service_name=service_name,
        prefix_list_id=by_name[service_name]["PrefixListId"],
        prefixes=by_name[service_name]["Cidrs"],
        instances=instances,
        subnets=sorted(subnets, key=lambda item: (name(item), item["SubnetId"])),
        route_tables=sorted(tables, key=lambda item: (name(item), item["RouteTableId"])),
        endpoints=of_type["Gateway"],
        interface_endpoints=of_type["Interface"],
        service_lists={one["PrefixListId"]: one["Cidrs"] for one in lists},
    )


def endpoints(ec2: EC2Client, vpc_id: str, service_name: str) -> list[VpcEndpointTypeDef]:
    """The gateway endpoints of a VPC for a service, sorted by id, without those that are gone."""
    return _endpoints(ec2, vpc_id, service_name)["Gateway"]


def _endpoints(
    ec2: EC2Client, vpc_id: str, service_name: str
) -> dict[str, list[VpcEndpointTypeDef]]:
    """The endpoints of a VPC for a service by type, sorted by id, without those that are gone."""
    in_vpc = {"Name": "vpc-id", "Values": [vpc_id]}
    of_service = {"Name": "service-name", "Values": [service_name]}
    with aws.attempt(
        f"read the endpoints of {vpc_id}", "grant ec2:DescribeVpcEndpoints to the caller"
    ):
        found = aws.pages(
            ec2, "describe_vpc_endpoints", "VpcEndpoints", Filters=[in_vpc, of_service]
        )
    of_type: dict[str, list[VpcEndpointTypeDef]] = {"Gateway": [], "Interface": []}
    for endpoint in sorted(found, key=lambda item: item["VpcEndpointId"]):
        # The state's case varies between answers and documents of AWS; hence lower().
        if endpoint["State"].lower() not in ("deleting", "deleted"):
            of_type.setdefault(endpoint["VpcEndpointType"], []).append(endpoint)
    return of_type


def neighbours(ec2: EC2Client, vpc_id: str) -> list[InstanceTypeDef]:
    """Every instance of a VPC that is there to stay."""
    in_vpc = {"Name": "vpc-id", "Values": [vpc_id]}
    with aws.attempt(f"read the instances of {vpc_id}", "grant ec2:DescribeInstances"):
        reservations = aws.pages(ec2, "describe_instances", "Reservations", Filters=[in_vpc, THERE])
    return [instance for reservation in reservations for instance in reservation["Instances"]]


def others(ec2: EC2Client, network: Network) -> dict[str, list[str]]:
    """By subnet id, the names of the VPC's instances that are not of the change."""
    ours = {instance["InstanceId"] for instance in network.instances}
    found: dict[str, list[str]] = {}
    for one in neighbours(ec2, network.vpc_id):
        if one["InstanceId"] not in ours:
            found.setdefault(one["SubnetId"], []).append(name(one) or one["InstanceId"])
    return {subnet: sorted(names) for subnet, names in found.items()}


def name(item: Mapping[str, object]) -> str:
    """The Name tag of what AWS described, or the empty string."""
    return clean(tags(item).get("Name", ""))


def tags(item: Mapping[str, object]) -> dict[str, str]:
    """The tags of what AWS described."""
    found = item.get("Tags", [])
    assert isinstance(found, list)
    return {tag["Key"]: tag["Value"] for tag in found}


def role_name(instance: InstanceTypeDef) -> str:
    """Name of the instance profile, which the console calls the instance's role."""
    return instance.get("IamInstanceProfile", {}).get("Arn", "no role").rsplit("/", 1)[-1]


def instances_frame(instances: list[InstanceTypeDef]) -> pd.DataFrame:
    """One row per instance of the change."""
    rows = [
        (
            name(instance),
            instance["InstanceId"],
            instance["State"]["Name"],
            instance.get("PrivateIpAddress", ""),
            instance.get("SubnetId", ""),
            instance.get("VpcId", ""),
            role_name(instance),
        )
        for instance in instances
    ]
    return table(rows, INSTANCE_COLUMNS)


def subnets_frame(network: Network) -> pd.DataFrame:
    """One row per subnet: its effective route table and where that sends S3 traffic."""
    rows = []
    for subnet in network.subnets:
        route_table = network.route_table_of(subnet["SubnetId"])
        associations = route_table["Associations"]
        explicit = any(a.get("SubnetId") == subnet["SubnetId"] for a in associations)
        inside = [
            name(instance) or instance["InstanceId"]
            for instance in network.instances
            if instance["SubnetId"] == subnet["SubnetId"]
        ]
        rows.append(
            (
                name(subnet),
                subnet["SubnetId"],
                label(route_table),
                "explicit" if explicit else "main table",
                network.s3_goes_to(route_table),
                ", ".join(inside),
            )
        )
    return table(rows, SUBNET_COLUMNS)


def checks(network: Network) -> list[Check]:
    """Whether each instance runs, in a subnet that has no internet gateway."""
    running = {instance["InstanceId"]: instance["State"]["Name"] for instance in network.instances}
    gateways = [
        route
        for route in network.routes()
        if route.route_table in network.target_tables and route.target.startswith("igw-")
    ]
    return [
        Check.of(
            "every instance is running",
            set(running.values()) == {"running"},
            ", ".join(f"{key} is {value}" for key, value in running.items()),
        ),
        Check.of(
            "no internet gateway on their route tables",
            not gateways,
            "; ".join(f"{r.destination} to {r.target} in {r.route_table}" for r in gateways)
            or ", ".join(network.target_tables),
        ),
    ]


def destination(route: RouteTypeDef) -> str:
    """Where the packets go that a route is for: a prefix list's id, or a range of addresses."""
    return _first(route, DESTINATIONS)


def target(route: RouteTypeDef) -> str:
    """Id of what a route sends packets to, or `local`."""
    return _first(route, TARGETS)


def label(route_table: RouteTableTypeDef) -> str:
    """Name and id of a route table, for people."""
    return f"{name(route_table)} {route_table['RouteTableId']}".strip()


def difference(before: list[Route], after: list[Route]) -> pd.DataFrame:
    """Only the changed routes, one row each, marked + or -."""
    rows = [("+", *route) for route in sorted(set(after) - set(before))]
    rows += [("-", *route) for route in sorted(set(before) - set(after))]
    return table(rows, ["", *Route._fields])


def difference_sentence(before: list[Route], after: list[Route]) -> str:
    """The counts of a comparison, as a sentence."""
    old, new = set(before), set(after)
    return f"{len(new - old)} added, {len(old - new)} removed, {len(old & new)} unchanged."


def _first(route: RouteTypeDef, keys: tuple[str, ...]) -> str:
    return next((str(route[key]) for key in keys if route.get(key)), "unknown")  # type: ignore[literal-required]

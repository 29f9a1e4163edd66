"""VPC endpoints: their life, the routes they own, and what AWS refuses."""

import json
from contextvars import ContextVar
from functools import cache
from hashlib import sha256
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError, InvalidParameter
from moto.ec2.models import EC2Backend
from moto.ec2.models.vpcs import VPCBackend, VPCEndPoint
from moto.ec2.responses.route_tables import RouteTables
from moto.ec2.responses.vpcs import VPCs

from iam_verdict import PolicyError, parse
from rehearsal import quotas
from rehearsal.repairs import repair
from rehearsal.repairs.network import ipv6_name

# The state of the endpoints that are made.
STATE_AT_BIRTH: ContextVar[str] = ContextVar("state_at_birth", default="available")
_FAMILIES = {"ipv4": ("IPv4",), "dualstack": ("IPv4", "IPv6"), "ipv6": ("IPv6",)}
_GATEWAY_SERVICES = ("dynamodb", "s3")
_INTERFACE_SERVICES = ("dynamodb", "ec2", "ec2messages", "logs", "s3", "ssm", "ssmmessages", "sts")


@repair(VPCs, "create_vpc_endpoint")
def answer_create(original: Any, self: VPCs) -> Any:
    """moto: a dry run creates the endpoint; a token that was used creates a second one.

    How long AWS remembers a token it does not say: here forever, beyond the endpoint's end too.
    """
    self.error_on_dryrun()
    token = self._get_param("ClientToken")
    asked = {name: self._get_param(name) for name in sorted(self._get_params()) if name != "DryRun"}
    used = vars(self.ec2_backend).setdefault("client_tokens", {})
    if token and token in used:
        first, endpoint = used[token]
        if first != asked:
            raise EC2ClientError(
                "IdempotentParameterMismatch",
                f"The request uses the same client token as a previous, but non-identical request:"
                f" {token}",
            )
        return ActionResult({"VpcEndpoint": endpoint, "ClientToken": token})
    address_type = _address_type(self)
    result = original(self)
    if address_type:
        set_address_type(self.ec2_backend, result.result["VpcEndpoint"], address_type)
    if token:
        used[token] = asked, result.result["VpcEndpoint"]
        result.result["ClientToken"] = token
    return result


@repair(VPCs, "modify_vpc_endpoint")
def answer_modify(original: Any, self: VPCs) -> Any:
    """moto: a dry run modifies; ResetPolicy and IpAddressType are ignored."""
    self.error_on_dryrun()
    address_type = _address_type(self)
    result = original(self)
    endpoint = self.ec2_backend.get_vpc_end_point(self._get_param("VpcEndpointId"))
    if self._get_param("ResetPolicy"):
        endpoint.policy_document = json.dumps(VPCEndPoint.DEFAULT_POLICY)
    if address_type:
        set_address_type(self.ec2_backend, endpoint, address_type)
    return result


@repair(VPCs, "delete_vpc_endpoints")
def answer_delete(original: Any, self: VPCs) -> Any:
    """moto: a dry run deletes; an unknown id is not reported."""
    self.error_on_dryrun()
    wanted = self._get_param("VpcEndpointIds", [])
    unknown = [name for name in wanted if name not in self.ec2_backend.vpc_end_points]
    self.ec2_backend.delete_vpc_endpoints([name for name in wanted if name not in unknown])
    errors = {
        name: {
            "Code": "InvalidVpcEndpoint.NotFound",
            "Message": f"The VpcEndpoint Id '{name}' does not exist",
        }
        for name in unknown
    }
    return ActionResult(
        {"Unsuccessful": [{"ResourceId": name, "Error": error} for name, error in errors.items()]}
    )


@repair(EC2Backend, "create_vpc_endpoint")
def create(
    original: Any,
    self: EC2Backend,
    vpc_id: str,
    service_name: str,
    endpoint_type: str | None,
    policy_document: str | None,
    route_table_ids: list[str],
    **kwargs: Any,
) -> VPCEndPoint:
    """moto: anything is accepted, a refused endpoint stays, no type is None instead of Gateway."""
    endpoint_type = endpoint_type or "Gateway"
    self.get_vpc(vpc_id)
    _check_service(self, service_name, endpoint_type)
    _check_policy(policy_document)
    if endpoint_type == "Gateway":
        _check_quotas(self, vpc_id)
        _check_route_tables(self, vpc_id, service_name, route_table_ids)
        kwargs["private_dns_enabled"] = False  # moto: true
    endpoint: VPCEndPoint = original(
        self, vpc_id, service_name, endpoint_type, policy_document, list(route_table_ids), **kwargs
    )
    _correct_interfaces(self, endpoint)
    endpoint.state = STATE_AT_BIRTH.get()
    _lay_routes(self, endpoint)
    return endpoint


@repair(EC2Backend, "modify_vpc_endpoint")
def modify(
    original: Any,
    self: EC2Backend,
    vpc_id: str,
    policy_doc: str | None = None,
    add_route_tables: list[str] | None = None,
    remove_route_tables: list[str] | None = None,
    **kwargs: Any,
) -> None:
    """moto: the list of route tables changes, their routes do not."""
    endpoint = self.get_vpc_end_point(vpc_id)  # it is the endpoint's id
    added = [name for name in add_route_tables or [] if name not in endpoint.route_table_ids]
    _check_policy(policy_doc)
    _check_route_tables(self, endpoint.vpc_id, endpoint.service_name, added)
    original(
        self,
        vpc_id,
        policy_doc,
        add_route_tables=added,
        remove_route_tables=remove_route_tables,
        **kwargs,
    )
    _lay_routes(self, endpoint)
    _remove_routes(self, endpoint, remove_route_tables or [])


@repair(EC2Backend, "delete_vpc_endpoints")
def delete(original: Any, self: EC2Backend, vpce_ids: list[str]) -> None:
    """moto: fails where a route is missing already; what was deleted stays in the list."""
    for name in vpce_ids:
        endpoint = self.vpc_end_points.pop(name)
        endpoint.state = "deleted"  # as its client token goes on to show it
        _remove_routes(self, endpoint, self.route_tables)
        for interface in endpoint.network_interface_ids:
            self.enis.pop(interface, None)


def become_available(backend: EC2Backend, name: str) -> None:
    """An endpoint that was pending gets its routes, unless it was deleted meanwhile."""
    if endpoint := backend.vpc_end_points.get(name):
        endpoint.state = "available"
        _lay_routes(backend, endpoint)


def set_address_type(backend: EC2Backend, endpoint: VPCEndPoint, address_type: str) -> None:
    """A gateway endpoint has one route per route table and family of addresses."""
    if endpoint.vpc_endpoint_type == "Gateway":
        endpoint.ip_address_type = address_type
        _lay_routes(backend, endpoint)


def _address_type(response: VPCs) -> str | None:
    asked: str | None = response._get_param("IpAddressType")
    if asked and asked not in _FAMILIES:
        raise InvalidParameter(f"The IP address type '{asked}' is not valid")
    return asked


def _check_service(backend: EC2Backend, service: str, endpoint_type: str) -> None:
    offered = backend._collect_default_endpoint_services(backend.account_id, backend.region_name)
    if not any(
        item["ServiceName"] == service and item["ServiceType"][0]["ServiceType"] == endpoint_type
        for item in offered
    ):
        raise EC2ClientError(
            "InvalidServiceName", f"The Vpc Endpoint Service '{service}' does not exist"
        )


def _check_policy(document: str | None) -> None:
    try:
        if document:
            parse(document, names_principals=True)
    except PolicyError as error:
        raise EC2ClientError(
            "InvalidPolicyDocument", f"The policy document is not valid: {error}"
        ) from error


def _check_quotas(backend: EC2Backend, vpc_id: str) -> None:
    """moto: there may be any number of endpoints."""
    vpcs = [e.vpc_id for e in backend.vpc_end_points.values() if e.vpc_endpoint_type == "Gateway"]
    most = quotas.limit(backend, quotas.GATEWAY_ENDPOINTS)
    if len(vpcs) >= most or vpcs.count(vpc_id) >= quotas.GATEWAY_ENDPOINTS_PER_VPC:
        raise EC2ClientError(
            "VpcEndpointLimitExceeded", "The maximum number of VPC endpoints has been reached."
        )


def _check_route_tables(backend: EC2Backend, vpc_id: str, service: str, names: list[str]) -> None:
    """One endpoint per service and route table, and only of its own VPC."""
    # One that is pending has its route tables already, but not yet its routes.
    served = {
        table: endpoint.destination_prefix_list_id
        for endpoint in backend.vpc_end_points.values()
        if endpoint.service_name == service and endpoint.vpc_endpoint_type == "Gateway"
        for table in endpoint.route_table_ids
    }
    for name in names:
        table = backend.get_route_table(name)
        if table.vpc_id != vpc_id:
            raise InvalidParameter(
                f"route table {name} and network {vpc_id} belong to different networks"
            )
        if len(table.routes) >= quotas.limit(backend, quotas.ROUTES):
            raise EC2ClientError(
                "RouteLimitExceeded", f"route table {name} has as many routes as it may have"
            )
        lists = [route.destination_prefix_list for route in table.routes]
        routed = [item.id for item in lists if item and item.prefix_list_name == service]
        if name in served or routed:
            raise EC2ClientError(
                "RouteAlreadyExists",
                f"route table {name} already has a route with destination-prefix-list-id"
                f" {served.get(name) or routed[0]}",
            )


def _lay_routes(backend: EC2Backend, endpoint: VPCEndPoint) -> None:
    """Its route tables have its routes if it is available, and no route that is not its due."""
    due = _prefix_lists(backend, endpoint) if endpoint.state == "available" else []
    for table in backend.route_tables.values():
        if table.id not in endpoint.route_table_ids:
            continue
        owned = _owned(table, endpoint)
        for prefix_list in owned.keys() - due:
            del table._routes[owned[prefix_list]]
        for prefix_list in [name for name in due if name not in owned]:
            backend.create_route(
                table.id,
                None,
                gateway_id=endpoint.id,
                destination_prefix_list_id=prefix_list,
            )


def _prefix_lists(backend: EC2Backend, endpoint: VPCEndPoint) -> list[str]:
    """The prefix lists that a gateway endpoint routes, by its type of addresses."""
    families = _FAMILIES[getattr(endpoint, "ip_address_type", "ipv4")]
    names = (endpoint.service_name, ipv6_name(endpoint.service_name))
    return [
        prefix_list.id
        for prefix_list in backend.managed_prefix_lists.values()
        if prefix_list.prefix_list_name in names and prefix_list.address_family in families
    ]


def _owned(table: Any, endpoint: VPCEndPoint) -> dict[str, str]:
    """The keys of the endpoint's routes in a table, by prefix list."""
    return {
        route.destination_prefix_list_id: key
        for key, route in table._routes.items()
        if route.gateway_id == endpoint.id
    }


def _remove_routes(backend: EC2Backend, endpoint: VPCEndPoint, names: Any) -> None:
    for name in names:
        table = backend.get_route_table(name)
        for key in _owned(table, endpoint).values():
            del table._routes[key]


def _correct_interfaces(backend: EC2Backend, endpoint: VPCEndPoint) -> None:
    """moto: an endpoint's interfaces have addresses from anywhere, and another name in DNS."""
    for name in endpoint.network_interface_ids:
        interface = backend.enis[name]
        address = interface.subnet.get_available_subnet_ip(interface)
        interface.private_ip_address = address
        interface.private_ip_addresses = [{"Primary": True, "PrivateIpAddress": address}]
    region = backend.region_name
    service = endpoint.service_name.rpartition(".")[2]
    for entry in endpoint.dns_entries or []:
        hash_part = entry["dns_name"].split(".")[0].rpartition("-")[2]
        entry["dns_name"] = f"{endpoint.id}-{hash_part}.{service}.{region}.vpce.amazonaws.com"


@repair(RouteTables, "create_route", "replace_route", "delete_route")
def refuse_endpoint_route(original: Any, self: RouteTables) -> Any:
    """moto: the route of a gateway endpoint can be made and removed by hand."""
    wanted = self._get_param("DestinationPrefixListId")
    target = self._get_param("GatewayId") or self._get_param("VpcEndpointId") or ""
    table = self.ec2_backend.get_route_table(self._get_param("RouteTableId"))
    owned = any(
        wanted == route.destination_prefix_list_id and (route.gateway_id or "").startswith("vpce-")
        for route in table.routes
    )
    if wanted and (owned or target.startswith("vpce-")):
        raise EC2ClientError(
            "InvalidParameterValue",
            f"cannot create, replace or delete the route to {wanted} in {table.id}:"
            " it belongs to a VPC endpoint",
        )
    return original(self)


@repair(VPCEndPoint, "get_filter_value")
def filter_value(original: Any, self: VPCEndPoint, name: str, method: Any = None) -> Any:
    """moto: no filter vpc-endpoint-id."""
    return self.id if name == "vpc-endpoint-id" else original(self, name, method)


@cache
def _offered_services(account_id: str, region: str) -> list[dict[str, Any]]:
    """moto asks all its services, for over a second; these are the ones with endpoints here."""
    kinds = [(name, "Interface") for name in _INTERFACE_SERVICES]
    kinds += [(name, "Gateway") for name in _GATEWAY_SERVICES]
    zones = [f"{region}a", f"{region}c"]
    services = []
    for name, kind in kinds:
        (service,) = EC2Backend.default_vpc_endpoint_service_factory(region, zones, name, kind)
        service["ServiceId"] = (
            f"vpce-svc-0{sha256(f'{region} {name} {kind}'.encode()).hexdigest()[:16]}"
        )
        services.append(service)
    return services


_filter_services = VPCBackend._filter_endpoint_services


def _filter_endpoint_services(names: Any, filters: Any, services: Any) -> Any:
    """moto: reads `Value` where AWS has `Values`."""
    read = [{**item, "Value": item.get("Values", [])} for item in filters]
    return _filter_services(names, read, services)


VPCBackend._collect_default_endpoint_services = staticmethod(_offered_services)
VPCBackend._filter_endpoint_services = staticmethod(_filter_endpoint_services)

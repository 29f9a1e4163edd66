"""app-1 and what lies around it, as root finds it in the account."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from rehearsal import Account

Undo = Callable[[], None]

INSTANCE, BUCKET = "app-1", "rehearsal-private-data"
OTHER_BUCKET = "rehearsal-us-east-1"
BUCKET_ARN = f"arn:aws:s3:::{BUCKET}"


class Ground:
    """Root's clients, and the things of app-1 as they are when they are asked for."""

    def __init__(self, account: Account) -> None:
        self.account = account

    @cached_property
    def ec2(self) -> Any:
        return self.account.client("ec2")

    @cached_property
    def s3(self) -> Any:
        return self.account.client("s3")

    @cached_property
    def iam(self) -> Any:
        return self.account.client("iam")

    @cached_property
    def kms(self) -> Any:
        return self.account.client("kms")

    @cached_property
    def instance(self) -> dict[str, Any]:
        """app-1 as DescribeInstances shows it."""
        found = self.ec2.describe_instances(InstanceIds=[self.account.ids[INSTANCE]])
        return dict(found["Reservations"][0]["Instances"][0])

    @property
    def vpc_id(self) -> str:
        return str(self.instance["VpcId"])

    @property
    def service(self) -> str:
        """The name of S3 as the service of an endpoint."""
        return f"com.amazonaws.{self.account.region}.s3"

    @property
    def route_table(self) -> dict[str, Any]:
        """The route table of app-1's subnet: its own, or else the main one of the VPC."""
        own = {"association.subnet-id": self.instance["SubnetId"]}
        main = {"vpc-id": self.vpc_id, "association.main": "true"}
        for wanted in (own, main):
            filters = [{"Name": name, "Values": [value]} for name, value in wanted.items()]
            if found := self.ec2.describe_route_tables(Filters=filters)["RouteTables"]:
                return dict(found[0])
        raise LookupError(f"{self.vpc_id} has no main route table")

    @property
    def endpoints(self) -> list[dict[str, Any]]:
        """The gateway endpoints for S3 in app-1's VPC, those of its route table first."""
        wanted = {
            "vpc-id": self.vpc_id,
            "service-name": self.service,
            "vpc-endpoint-type": "Gateway",
        }
        filters = [{"Name": name, "Values": [value]} for name, value in wanted.items()]
        found: list[dict[str, Any]] = self.ec2.describe_vpc_endpoints(Filters=filters)[
            "VpcEndpoints"
        ]
        table = self.route_table["RouteTableId"]
        return sorted(found, key=lambda endpoint: table not in endpoint["RouteTableIds"])

    @property
    def endpoint(self) -> dict[str, Any]:
        """The endpoint that app-1 reaches S3 through."""
        if not self.endpoints:
            raise LookupError(f"{self.vpc_id} has no gateway endpoint for S3: open the path first")
        return self.endpoints[0]

    @property
    def endpoint_id(self) -> str:
        return str(self.endpoint["VpcEndpointId"])

    @cached_property
    def role(self) -> str:
        """The name of app-1's role."""
        profile = self.instance["IamInstanceProfile"]["Arn"].rpartition("/")[2]
        found = self.iam.get_instance_profile(InstanceProfileName=profile)["InstanceProfile"]
        return str(found["Roles"][0]["RoleName"])

"""Builds the account that scenario.yaml describes, by the calls that its root would make."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from moto.ec2.models import ec2_backends

from rehearsal import shipped
from rehearsal.front import Front
from rehearsal.inside import client, session

Description = dict[str, Any]


class NoScenario(OSError):
    """A file describes no account; in three lines."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"Could not start the rehearsal account that {path or 'scenario.yaml'} describes.\n"
            f"{' '.join(reason.split())}\n"
            "Next: give a file in the form of lib/rehearsal/scenario.yaml"
        )


def read(path: str = "") -> Description:
    """The description of an account; without a path, that of the rehearsal account."""
    file = Path(path) if path else files("rehearsal").joinpath("scenario.yaml")
    try:
        described = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise NoScenario(path, str(error)) from error
    parts = ("account", "region", "trail", "people", "operators", "roles", "buckets", "vpcs")
    if not isinstance(described, dict):
        raise NoScenario(path, "It holds no names with values.")
    if missing := [name for name in parts if name not in described]:
        raise NoScenario(path, f"It has no {', no '.join(missing)}.")
    return described


class Builder:
    """Makes what a description says; `ids` tells the id of the first thing of each name."""

    def __init__(self, front: Front, description: Description) -> None:
        region = description["region"]
        self._description = description
        self._root = session(front, front.callers.root, region)
        self._ec2, self._iam = client(self._root, "ec2"), client(self._root, "iam")
        self._image = _image(description["account"], region)
        self.ids: dict[str, str] = {}

    def build(self) -> dict[str, str]:
        """Makes all of it."""
        for name, role in self._description["roles"].items():
            self._role(name, role)
        for name, bucket in self._description["buckets"].items():
            self._bucket(name, bucket)
        for name, vpc in self._description["vpcs"].items():
            self._vpc(name, vpc)
        self._shipped_policies()
        for vpc in self._description["vpcs"].values():
            for name, group in vpc["security_groups"].items():
                if "ssh" in group:
                    self._let_ssh_in(name, group["ssh"])
        return self.ids

    def _role(self, name: str, role: Description) -> None:
        trust = {"Effect": "Allow", "Principal": role["trusts"], "Action": "sts:AssumeRole"}
        self._iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy([trust]))
        for policy, statements in role["policies"].items():
            self._iam.put_role_policy(
                RoleName=name, PolicyName=policy, PolicyDocument=_policy(statements)
            )
        if role.get("instance_profile"):
            self._iam.create_instance_profile(InstanceProfileName=name)
            self._iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)

    def _shipped_policies(self) -> None:
        """Gives roles the policies that the project ships for operators, once the VPC is there."""
        words = self._description["operators"]
        instances = self._description["vpcs"][words["VPC"]]["instances"]
        values = {
            **{name: [value] for name, value in words.items()},
            "ACCOUNT": [self._description["account"]],
            "REGION": [self._description["region"]],
            "VPC": [self.ids[words["VPC"]]],
            "INSTANCE": [self.ids[name] for name in instances],
        }
        for role, about in self._description["roles"].items():
            for name in about.get("shipped", []):
                self._iam.put_role_policy(
                    RoleName=role, PolicyName=name, PolicyDocument=shipped.policy(name, values)
                )

    def _bucket(self, name: str, bucket: Description) -> None:
        s3 = client(self._root, "s3", bucket["region"])
        where = {"CreateBucketConfiguration": {"LocationConstraint": bucket["region"]}}
        s3.create_bucket(
            Bucket=name,
            ObjectLockEnabledForBucket=bucket.get("object_lock", False),
            **({} if bucket["region"] == "us-east-1" else where),
        )
        for key, text in bucket["objects"].items():
            s3.put_object(Bucket=name, Key=key, Body=text.encode())
        if "policy" in bucket:
            s3.put_bucket_policy(Bucket=name, Policy=_policy(bucket["policy"]))

    def _vpc(self, name: str, vpc: Description) -> None:
        made = self._ec2.create_vpc(CidrBlock=vpc["cidr"], TagSpecifications=_name("vpc", name))
        vpc_id = self._keep(name, made["Vpc"]["VpcId"])
        for attribute in ("EnableDnsSupport", "EnableDnsHostnames"):
            self._ec2.modify_vpc_attribute(VpcId=vpc_id, **{attribute: {"Value": True}})
        main = self._ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc_id]}])
        main_id = main["RouteTables"][0]["RouteTableId"]
        self._ec2.create_tags(Resources=[main_id], Tags=[{"Key": "Name", "Value": "main"}])
        self._keep("main", main_id)
        gateways = self._gateways(name, vpc, vpc_id)
        for subnet_name, subnet in vpc["subnets"].items():
            self._subnet(name, vpc_id, subnet_name, subnet, gateways)
        for group_name, group in vpc["security_groups"].items():
            self._security_group(vpc_id, group_name, group)
        if "interface_endpoints" in vpc:
            self._interface_endpoints(vpc_id, vpc["interface_endpoints"])
        for instance_name, instance in vpc["instances"].items():
            self._instance(instance_name, instance)

    def _gateways(self, name: str, vpc: Description, vpc_id: str) -> Description:
        """An internet gateway, if the VPC has one, and what a NAT gateway is made of."""
        if not vpc.get("internet_gateway"):
            return {}
        made = self._ec2.create_internet_gateway(TagSpecifications=_name("internet-gateway", name))
        gateway_id = self._keep(name, made["InternetGateway"]["InternetGatewayId"])
        self._ec2.attach_internet_gateway(InternetGatewayId=gateway_id, VpcId=vpc_id)
        return {"internet": {"GatewayId": gateway_id}, "nat subnet": vpc.get("nat_gateway")}

    def _subnet(
        self, vpc: str, vpc_id: str, name: str, subnet: Description, gateways: Description
    ) -> None:
        made = self._ec2.create_subnet(
            VpcId=vpc_id,
            CidrBlock=subnet["cidr"],
            AvailabilityZone=subnet["zone"],
            TagSpecifications=_name("subnet", name),
        )
        subnet_id = self._keep(name, made["Subnet"]["SubnetId"])
        if "route_table" in subnet:
            table = self._ec2.create_route_table(
                VpcId=vpc_id, TagSpecifications=_name("route-table", subnet["route_table"])
            )["RouteTable"]["RouteTableId"]
            self._keep(subnet["route_table"], table)
            self._ec2.associate_route_table(RouteTableId=table, SubnetId=subnet_id)
            if target := gateways.get(subnet.get("to", "")):
                self._ec2.create_route(
                    RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **target
                )
        if gateways.get("nat subnet") == name:
            gateways["nat"] = {"NatGatewayId": self._nat_gateway(vpc, subnet_id)}

    def _nat_gateway(self, name: str, subnet_id: str) -> str:
        address = self._ec2.allocate_address(Domain="vpc")
        made = self._ec2.create_nat_gateway(
            SubnetId=subnet_id,
            AllocationId=address["AllocationId"],
            TagSpecifications=_name("natgateway", name),
        )
        return self._keep(name, made["NatGateway"]["NatGatewayId"])

    def _security_group(self, vpc_id: str, name: str, group: Description) -> None:
        made = self._ec2.create_security_group(
            GroupName=name,
            Description=name,
            VpcId=vpc_id,
            TagSpecifications=_name("security-group", name),
        )
        group_id = self._keep(name, made["GroupId"])
        everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        self._ec2.revoke_security_group_egress(GroupId=group_id, IpPermissions=everything)
        for direction in ("ingress", "egress"):
            if ranges := [{"CidrIp": cidr} for cidr in group.get(direction, [])]:
                allow = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": ranges}
                authorize = getattr(self._ec2, f"authorize_security_group_{direction}")
                authorize(GroupId=group_id, IpPermissions=[allow])

    def _let_ssh_in(self, group: str, cidr: str) -> None:
        allow = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": cidr}]}
        self._ec2.authorize_security_group_ingress(GroupId=self.ids[group], IpPermissions=[allow])

    def _interface_endpoints(self, vpc_id: str, endpoints: Description) -> None:
        for service in endpoints["services"]:
            made = self._ec2.create_vpc_endpoint(
                VpcEndpointType="Interface",
                VpcId=vpc_id,
                ServiceName=f"com.amazonaws.{self._description['region']}.{service}",
                SubnetIds=[self.ids[endpoints["subnet"]]],
                SecurityGroupIds=[self.ids[endpoints["security_group"]]],
                PrivateDnsEnabled=True,
                TagSpecifications=_name("vpc-endpoint", service),
            )
            self._keep(service, made["VpcEndpoint"]["VpcEndpointId"])

    def _instance(self, name: str, instance: Description) -> None:
        interface = {
            "DeviceIndex": 0,
            "SubnetId": self.ids[instance["subnet"]],
            "Groups": [self.ids[instance["security_group"]]],
            "AssociatePublicIpAddress": instance.get("public", False),
        }
        profile = {"IamInstanceProfile": {"Name": instance["role"]}} if "role" in instance else {}
        made = self._ec2.run_instances(
            ImageId=self._image,
            InstanceType="t3.micro",
            MinCount=1,
            MaxCount=1,
            NetworkInterfaces=[interface],
            TagSpecifications=_name("instance", name),
            **profile,
        )
        self._keep(name, made["Instances"][0]["InstanceId"])

    def _keep(self, name: str, made: str) -> str:
        self.ids.setdefault(name, made)
        return made


def _image(account_id: str, region: str) -> str:
    """An image to start instances from; moto's own hundreds take a second to load."""
    image = ec2_backends[account_id][region].register_image("al2023", "Amazon Linux 2023")
    image.virtualization_type, image.architecture = "hvm", "x86_64"
    return str(image.id)


def _name(kind: str, name: str) -> list[Description]:
    return [{"ResourceType": kind, "Tags": [{"Key": "Name", "Value": name}]}]


def _policy(statements: list[Description]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})

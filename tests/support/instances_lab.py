"""A small account with instances as a program: it obeys lines of JSON, because a process has to
choose its namespaces before it does anything else."""

import json
import sys
import traceback
from typing import Any

from rehearsal.instances import Instances, choose_mode

REGION, OTHER_REGION = "eu-central-1", "us-east-1"
RANGES = {REGION: "52.219.168.0/22", OTHER_REGION: "52.216.0.0/15"}


def use_own_ranges(account_id: str) -> None:
    """moto gives S3 the same addresses in every region; here each has its own."""
    from moto.ec2.models import ec2_backends

    for region, cidr in RANGES.items():
        for prefix_list in ec2_backends[account_id][region].managed_prefix_lists.values():
            if prefix_list.prefix_list_name == f"com.amazonaws.{region}.s3":
                prefix_list.entries = {1: [{"Cidr": cidr}]}


class Lab:
    """A VPC with a private and a public subnet and an instance with a role in the private one."""

    def __init__(self, mode: str) -> None:
        import boto3
        from moto.core import DEFAULT_ACCOUNT_ID

        from rehearsal.network import Network

        self.requests: list[dict[str, Any]] = []
        self.ec2 = boto3.client("ec2", region_name=REGION)
        use_own_ranges(DEFAULT_ACCOUNT_ID)
        self.vpc = self.ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
        self.private = self._subnet("10.20.1.0/24")
        self.public = self._subnet("10.20.2.0/24")
        self.table = self._table(self.private)
        self.profile = self._profile()
        self.group = self.ec2.create_security_group(
            GroupName="instances", Description="instances", VpcId=self.vpc
        )["GroupId"]
        self.network = Network(DEFAULT_ACCOUNT_ID, REGION, [OTHER_REGION])
        self.instances = Instances(self._s3, self.network, self._credentials, mode)
        self.instance = self.launch()

    def launch(self) -> str:
        answer = self.ec2.run_instances(
            ImageId="ami-12c6146b",
            MinCount=1,
            MaxCount=1,
            SubnetId=self.private,
            SecurityGroupIds=[self.group],
            IamInstanceProfile={"Name": self.profile},
        )
        self.instances.sync()
        return str(answer["Instances"][0]["InstanceId"])

    def run(self, script: str, timeout: float = 30, instance: str = "") -> dict[str, Any]:
        return vars(self.instances.run(instance or self.instance, script, timeout))

    def instance_id(self) -> str:
        return self.instance

    def seen(self) -> list[dict[str, Any]]:
        """The S3 requests since the last time."""
        requests, self.requests = self.requests, []
        return requests

    def add_endpoint(self) -> str:
        answer = self.ec2.create_vpc_endpoint(
            VpcId=self.vpc,
            ServiceName=f"com.amazonaws.{REGION}.s3",
            VpcEndpointType="Gateway",
            RouteTableIds=[self.table],
        )
        self.instances.sync()
        return str(answer["VpcEndpoint"]["VpcEndpointId"])

    def remove_endpoints(self) -> None:
        found = self.ec2.describe_vpc_endpoints()["VpcEndpoints"]
        ids = [end["VpcEndpointId"] for end in found if end["State"] == "available"]
        if ids:
            self.ec2.delete_vpc_endpoints(VpcEndpointIds=ids)
        self.instances.sync()

    def add_nat(self) -> str:
        gateway = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=self.vpc)
        self.ec2.create_route(
            RouteTableId=self._table(self.public),
            DestinationCidrBlock="0.0.0.0/0",
            GatewayId=gateway,
        )
        address = self.ec2.allocate_address(Domain="vpc")
        nat = self.ec2.create_nat_gateway(
            SubnetId=self.public, AllocationId=address["AllocationId"]
        )["NatGateway"]["NatGatewayId"]
        self.ec2.create_route(
            RouteTableId=self.table, DestinationCidrBlock="0.0.0.0/0", NatGatewayId=nat
        )
        self.instances.sync()
        return str(address["PublicIp"])

    def remove_nat(self) -> None:
        table = self.ec2.describe_route_tables(RouteTableIds=[self.table])["RouteTables"][0]
        if any("NatGatewayId" in route for route in table["Routes"]):
            self.ec2.delete_route(RouteTableId=self.table, DestinationCidrBlock="0.0.0.0/0")
        self.instances.sync()

    def allow_ports(self, first: int, last: int) -> None:
        """Replaces what the security group lets out."""
        group = self.ec2.describe_security_groups(GroupIds=[self.group])["SecurityGroups"][0]
        self.ec2.revoke_security_group_egress(
            GroupId=self.group, IpPermissions=group["IpPermissionsEgress"]
        )
        permission = {
            "IpProtocol": "tcp",
            "FromPort": first,
            "ToPort": last,
            "IpRanges": [{"CidrIp": "0.0.0.0/0"}],
        }
        self.ec2.authorize_security_group_egress(GroupId=self.group, IpPermissions=[permission])
        self.instances.sync()

    def set_dns_support(self, value: bool) -> None:
        self.ec2.modify_vpc_attribute(VpcId=self.vpc, EnableDnsSupport={"Value": value})
        self.instances.sync()

    def terminate(self, instance: str) -> None:
        self.ec2.terminate_instances(InstanceIds=[instance])
        self.instances.sync()

    def fail_in_gate(self) -> None:
        """As if a thread that answers for the network had failed."""
        self.instances.failures.append(RuntimeError("planted"))

    def recover(self) -> None:
        self.instances.failures.clear()

    def _subnet(self, cidr: str) -> str:
        subnet = self.ec2.create_subnet(VpcId=self.vpc, CidrBlock=cidr)["Subnet"]
        return str(subnet["SubnetId"])

    def _table(self, subnet: str) -> str:
        table = self.ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        self.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        return str(table)

    def _profile(self) -> str:
        import boto3

        iam = boto3.client("iam")
        iam.create_role(RoleName="reader", AssumeRolePolicyDocument="{}")
        iam.create_instance_profile(InstanceProfileName="reader-profile")
        iam.add_role_to_instance_profile(InstanceProfileName="reader-profile", RoleName="reader")
        return "reader-profile"

    def _credentials(self, instance_id: str) -> dict[str, str]:
        return {
            "AccessKeyId": "ASIAEXAMPLE",
            "SecretAccessKey": "example",
            "Token": instance_id,
            "Expiration": "2099-01-01T00:00:00Z",
        }

    def _s3(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        """Just enough S3 for the AWS CLI; remembers what it was asked, and from where."""
        from werkzeug.wrappers import Request, Response

        request = Request(environ)
        seen = {
            "method": request.method,
            "host": request.host,
            "path": request.path,
            "scheme": request.scheme,
            "body": request.get_data().decode(errors="replace"),
            "authorization": request.headers.get("Authorization", ""),
            "position": vars(environ["rehearsal.position"]),
        }
        self.requests.append(seen)
        if request.path == "/broken":
            raise RuntimeError("planted in the application")
        listing = (
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            "<KeyCount>1</KeyCount><Contents><Key>a</Key><Size>1</Size></Contents>"
            "</ListBucketResult>"
        )
        body = listing if request.method == "GET" else ""
        return list(Response(body, content_type="application/xml")(environ, start_response))


def main(wanted: str) -> None:
    mode = choose_mode(wanted)
    from moto import mock_aws

    with mock_aws():
        lab = Lab(mode.name)
        print(json.dumps({"mode": mode.name, "reason": mode.reason}), flush=True)
        for line in sys.stdin:
            name, arguments = json.loads(line)
            try:
                answer = {"value": getattr(lab, name)(**arguments)}
            except Exception:
                answer = {"error": traceback.format_exc()}
            print(json.dumps(answer), flush=True)
        lab.instances.close()


if __name__ == "__main__":
    main(*sys.argv[1:])

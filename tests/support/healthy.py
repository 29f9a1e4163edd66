"""Accounts in which nothing is wrong, each in another way: the doctor may name nothing there.

Each function changes the account, whose path is open; nothing is undone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from private_s3 import change, statements
from private_s3.record import Record
from rehearsal import symptoms

if TYPE_CHECKING:
    from tests.support.confusion import Ward

BUCKET = "rehearsal-private-data"
VPC_CIDR = "10.20.0.0/16"
# The parameters of the account that differ from those of params/rehearsal.yaml.
Changes = dict[str, Any]
Account = Callable[["Ward"], Changes]


def default(ward: Ward) -> Changes:
    """The open path as it is."""
    return {}


def bucket_only_endpoint(ward: Ward) -> Changes:
    """The endpoint lets requests to this bucket through, and no other."""
    _endpoint_policy(ward, json.dumps(statements.bucket_only(BUCKET)))
    return {}


def endpoint_for_a_role(ward: Ward) -> Changes:
    """The endpoint lets the instances' role through, by a condition."""
    condition = {"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/app-*"}}
    policy = statements.full_access()
    policy["Statement"][0]["Condition"] = condition
    _endpoint_policy(ward, json.dumps(policy))
    return {}


def egress_by_prefix_list(ward: Ward) -> Changes:
    """The security group lets out to S3's list and to the VPC, and nowhere else."""
    ec2, group = ward.account.client("ec2"), ward.account.ids["app"]
    (found,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    https = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    narrow = [
        {
            **https,
            "IpRanges": [{"CidrIp": VPC_CIDR}],
            "PrefixListIds": [{"PrefixListId": _prefix_list(ward)["PrefixListId"]}],
        }
    ]
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=found["IpPermissionsEgress"])
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=narrow)
    return {}


def network_acl_by_range(ward: Ward) -> Changes:
    """A network ACL with one rule each way for each range of S3, and for the VPC itself."""
    ec2, subnet = ward.account.client("ec2"), ward.account.ids["app-a"]
    made = ec2.create_network_acl(VpcId=ward.account.ids["rehearsal"])["NetworkAcl"]
    acl = made["NetworkAclId"]
    for number, cidr in enumerate([*_prefix_list(ward)["Cidrs"], VPC_CIDR], 100):
        for egress, (first, last) in {True: (443, 443), False: (1024, 65535)}.items():
            ec2.create_network_acl_entry(
                NetworkAclId=acl,
                RuleNumber=number,
                Protocol="6",
                RuleAction="allow",
                Egress=egress,
                CidrBlock=cidr,
                PortRange={"From": first, "To": last},
            )
    _use_acl(ward, subnet, acl)
    return {}


def on_the_main_table(ward: Ward) -> Changes:
    """The instance's subnet has no table of its own, and the endpoint is on the main one."""
    _on_table(ward, "main")
    return {"instance_name": "sibling-1"}


def several_instances(ward: Ward) -> Changes:
    """Three instances in two subnets, each of whose tables is on the endpoint."""
    names = ("app-1", "neighbour-1", "sibling-1")
    _on_table(ward, "main")
    return {"instance_ids": [ward.account.ids[name] for name in names]}


def two_endpoints(ward: Ward) -> Changes:
    """Somebody else's endpoint, with a policy of its own, is on another table of the VPC."""
    ec2 = ward.account.client("ec2")
    ec2.create_vpc_endpoint(
        VpcId=ward.account.ids["rehearsal"],
        ServiceName=f"com.amazonaws.{ward.account.region}.s3",
        RouteTableIds=[ward.account.ids["main"]],
        PolicyDocument=json.dumps(statements.bucket_only("rehearsal-logs")),
    )
    return {}


def restricted(level: str) -> Account:
    """The real change was applied, at this level of `restrict_to`."""

    def applied(ward: Ward) -> Changes:
        changes = {"restrict_to": level, "changes_dir": str(ward.folder / level)}

        def planned(**approved: str) -> change.Planned:
            parameters = ward.parameters(**changes, **approved)
            reading = change.read(ward.bound, parameters)
            return change.planned(ward.bound, Record(parameters, "test"), reading)

        with ward.environment():
            digest = planned().plan.digest
            planned(approved_plan=digest).apply_bucket_policy()
        policy = ward.account.client("s3").get_bucket_policy(Bucket=BUCKET)["Policy"]
        assert all(sid in policy for sid in statements.SIDS[level])
        return changes

    return applied


def dual_stack(ward: Ward) -> Changes:
    """The endpoint has a second route in each table, to S3's IPv6 list."""
    ward.account.act("dual stack", endpoint_id=_endpoint(ward)["VpcEndpointId"])
    return {}


def encrypted_by_a_key(ward: Ward) -> Changes:
    """A key of the account, whose policy lets IAM decide, and a role that may use it through S3."""
    kms, s3, iam = (ward.account.client(service) for service in ("kms", "s3", "iam"))
    made = kms.create_key(Description="A healthy key")["KeyMetadata"]
    rule = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": made["Arn"]}
    s3.put_bucket_encryption(
        Bucket=BUCKET,
        ServerSideEncryptionConfiguration={
            "Rules": [{"ApplyServerSideEncryptionByDefault": rule, "BucketKeyEnabled": True}]
        },
    )
    statement = {
        "Effect": "Allow",
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": made["Arn"],
        "Condition": {
            "StringEquals": {"kms:ViaService": f"s3.{ward.account.region}.amazonaws.com"}
        },
    }
    iam.put_role_policy(
        RoleName="app-instance", PolicyName="use-the-key", PolicyDocument=_document(statement)
    )
    return {}


def nat_beside_the_endpoint(ward: Ward) -> Changes:
    """All else goes out by a NAT gateway; S3's list is the longer prefix."""
    ec2, ids = ward.account.client("ec2"), ward.account.ids
    vpc, out = ids["rehearsal"], {"DestinationCidrBlock": "0.0.0.0/0"}
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.20.9.0/24")["Subnet"]["SubnetId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    ec2.create_route(RouteTableId=table, GatewayId=gateway, **out)
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)["NatGateway"]
    ec2.create_route(RouteTableId=ids["private-a"], NatGatewayId=nat["NatGatewayId"], **out)
    return {}


def many_statements(ward: Ward) -> Changes:
    """A bucket policy of many owners: each statement looks like one that could be in the way."""
    s3, endpoint = ward.account.client("s3"), _endpoint(ward)["VpcEndpointId"]
    bucket, objects = f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [bucket, objects]}
    services = {"aws:PrincipalIsAWSService": "false", "aws:ViaAWSService": "false"}
    glass = {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/break-glass"}
    outside = {"StringNotEquals": {"aws:SourceVpce": [endpoint, "vpce-0fedcba9876543210"]}}
    data = {**deny, "Action": list(statements.DATA_ACTIONS)}
    added: list[dict[str, Any]] = [
        # By address or by endpoint: all of a condition must hold for it to deny.
        {
            **data,
            "Sid": "OfficeOrEndpoint",
            "Condition": {
                "NotIpAddress": {"aws:SourceIp": "203.0.113.0/24"},
                "BoolIfExists": services,
                **outside,
            },
        },
        {
            **data,
            "Sid": "OnlyOurEndpoints",
            "Condition": {**outside, "BoolIfExists": services, "ArnNotEquals": glass},
        },
        # A key with many values, for which ForAnyValue is right.
        {
            **deny,
            "Sid": "TagsThatAreKnown",
            "Action": "s3:PutObjectTagging",
            "Resource": objects,
            "Condition": {"ForAnyValue:StringNotEquals": {"aws:TagKeys": ["team", "cost"]}},
        },
        {**deny, "Sid": "NobodyDeletesIt", "Action": "s3:DeleteBucket", "Resource": bucket},
        {
            "Sid": "DeliverLogs",
            "Effect": "Allow",
            "Principal": {"Service": "logging.s3.amazonaws.com"},
            "Action": "s3:PutObject",
            "Resource": f"arn:aws:s3:::{BUCKET}/logs/*",
            "Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}},
        },
        {
            "Sid": "OfficeMayRead",
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::123456789012:role/auditor"},
            "Action": "s3:GetObject",
            "Resource": objects,
            "Condition": {"IpAddress": {"aws:SourceIp": "203.0.113.0/24"}},
        },
    ]
    policy = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])
    policy["Statement"] += added
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
    return {}


def without_dns_hostnames(ward: Ward) -> Changes:
    """The VPC resolves names, and gives its own hosts none; S3 does without them."""
    ec2, vpc = ward.account.client("ec2"), ward.account.ids["rehearsal"]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": False})
    return {}


def asked_by_ssh(ward: Ward) -> Changes:
    """Systems Manager does not reach the instance, and nobody wants it to."""
    symptoms.plant(ward.account, "not-managed")
    return {"check_by": "ssh"}


def reader_of_a_prefix(ward: Ward) -> Changes:
    """The role may do all it needs under one prefix only."""
    iam = ward.account.client("iam")
    data = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]}
    narrow = [
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{BUCKET}"},
        {**data, "Resource": f"arn:aws:s3:::{BUCKET}/reports/*"},
    ]
    iam.put_role_policy(
        RoleName="app-instance", PolicyName="use-the-buckets", PolicyDocument=_document(*narrow)
    )
    return {}


ACCOUNTS: dict[str, Account] = {
    "default": default,
    "bucket-only endpoint": bucket_only_endpoint,
    "endpoint for a role": endpoint_for_a_role,
    "egress by prefix list": egress_by_prefix_list,
    "network ACL by range": network_acl_by_range,
    "on the main table": on_the_main_table,
    "several instances": several_instances,
    "two endpoints": two_endpoints,
    "restrict_to endpoint": restricted("endpoint"),
    "restrict_to role": restricted("role"),
    "restrict_to instance": restricted("instance"),
    "restrict_to instance-origin": restricted("instance-origin"),
    "dual-stack endpoint": dual_stack,
    "encrypted by a key": encrypted_by_a_key,
    "NAT beside the endpoint": nat_beside_the_endpoint,
    "many statements": many_statements,
    "without DNS hostnames": without_dns_hostnames,
    "asked by ssh": asked_by_ssh,
    "reader of a prefix": reader_of_a_prefix,
}


def _endpoint_policy(ward: Ward, policy: str) -> None:
    endpoint = _endpoint(ward)["VpcEndpointId"]
    ward.account.client("ec2").modify_vpc_endpoint(VpcEndpointId=endpoint, PolicyDocument=policy)


def _on_table(ward: Ward, name: str) -> None:
    ward.account.client("ec2").modify_vpc_endpoint(
        VpcEndpointId=_endpoint(ward)["VpcEndpointId"], AddRouteTableIds=[ward.account.ids[name]]
    )


def _endpoint(ward: Ward) -> dict[str, Any]:
    """The endpoint of the open path."""
    wanted = {"vpc-id": ward.account.ids["rehearsal"], "vpc-endpoint-type": "Gateway"}
    filters = [{"Name": name, "Values": [value]} for name, value in wanted.items()]
    (found,) = ward.account.client("ec2").describe_vpc_endpoints(Filters=filters)["VpcEndpoints"]
    return dict(found)


def _prefix_list(ward: Ward) -> dict[str, Any]:
    name = f"com.amazonaws.{ward.account.region}.s3"
    filters = [{"Name": "prefix-list-name", "Values": [name]}]
    (found,) = ward.account.client("ec2").describe_prefix_lists(Filters=filters)["PrefixLists"]
    return dict(found)


def _use_acl(ward: Ward, subnet: str, acl: str) -> None:
    ec2 = ward.account.client("ec2")
    filters = [{"Name": "association.subnet-id", "Values": [subnet]}]
    (found,) = ec2.describe_network_acls(Filters=filters)["NetworkAcls"]
    (joined,) = [one for one in found["Associations"] if one["SubnetId"] == subnet]
    ec2.replace_network_acl_association(
        AssociationId=joined["NetworkAclAssociationId"], NetworkAclId=acl
    )


def _document(*content: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [*content]})

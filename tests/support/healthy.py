"""Accounts in which nothing is wrong, each in another way: none of them may be found ill."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from private_s3 import change, statements
from private_s3.record import Record

if TYPE_CHECKING:
    from tests.support.confusion import Ward

BUCKET = "rehearsal-private-data"
VPC_CIDR = "10.20.0.0/16"
# The parameters of the account that differ from those of params/rehearsal.yaml.
Changes = dict[str, Any]
Account = Callable[["Ward"], AbstractContextManager[Changes]]


@contextmanager
def default(ward: Ward) -> Iterator[Changes]:
    """The open path as it is."""
    yield {}


@contextmanager
def bucket_only_endpoint(ward: Ward) -> Iterator[Changes]:
    """The endpoint lets requests to this bucket through, and no other."""
    with _endpoint_policy(ward, json.dumps(statements.bucket_only(BUCKET))):
        yield {}


@contextmanager
def endpoint_for_a_role(ward: Ward) -> Iterator[Changes]:
    """The endpoint lets the instances' role through, by a condition."""
    condition = {"ArnEquals": {"aws:PrincipalArn": "arn:aws:iam::123456789012:role/app-*"}}
    policy = statements.full_access()
    policy["Statement"][0]["Condition"] = condition
    with _endpoint_policy(ward, json.dumps(policy)):
        yield {}


@contextmanager
def egress_by_prefix_list(ward: Ward) -> Iterator[Changes]:
    """The security group lets out to S3's list and to the VPC, and nowhere else."""
    ec2, group = ward.account.client("ec2"), ward.account.ids["app"]
    (found,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    before = found["IpPermissionsEgress"]
    https = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    narrow = [
        {
            **https,
            "IpRanges": [{"CidrIp": VPC_CIDR}],
            "PrefixListIds": [{"PrefixListId": _prefix_list(ward)["PrefixListId"]}],
        }
    ]
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=before)
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=narrow)
    try:
        yield {}
    finally:
        ec2.revoke_security_group_egress(GroupId=group, IpPermissions=narrow)
        ec2.authorize_security_group_egress(GroupId=group, IpPermissions=before)


@contextmanager
def network_acl_by_range(ward: Ward) -> Iterator[Changes]:
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
    before = _use_acl(ward, subnet, acl)
    try:
        yield {}
    finally:
        _use_acl(ward, subnet, before)
        ec2.delete_network_acl(NetworkAclId=acl)


@contextmanager
def on_the_main_table(ward: Ward) -> Iterator[Changes]:
    """The instance's subnet has no table of its own, and the endpoint is on the main one."""
    with _on_table(ward, "main"):
        yield {"instance_name": "sibling-1"}


@contextmanager
def several_instances(ward: Ward) -> Iterator[Changes]:
    """Three instances in two subnets, each of whose tables is on the endpoint."""
    names = ("app-1", "neighbour-1", "sibling-1")
    with _on_table(ward, "main"):
        yield {"instance_ids": [ward.account.ids[name] for name in names]}


@contextmanager
def two_endpoints(ward: Ward) -> Iterator[Changes]:
    """Somebody else's endpoint, with a policy of its own, is on another table of the VPC."""
    ec2 = ward.account.client("ec2")
    made = ec2.create_vpc_endpoint(
        VpcId=ward.account.ids["rehearsal"],
        ServiceName=f"com.amazonaws.{ward.account.region}.s3",
        RouteTableIds=[ward.account.ids["main"]],
        PolicyDocument=json.dumps(statements.bucket_only("rehearsal-logs")),
    )["VpcEndpoint"]["VpcEndpointId"]
    try:
        yield {}
    finally:
        ec2.delete_vpc_endpoints(VpcEndpointIds=[made])


def restricted(level: str) -> Account:
    """The real change was applied, at this level of `restrict_to`."""

    @contextmanager
    def applied(ward: Ward) -> Iterator[Changes]:
        with TemporaryDirectory() as folder, _policy_put_back(ward), ward.environment():
            changes = {"restrict_to": level, "changes_dir": folder}

            def planned(**approved: str) -> change.Planned:
                parameters = ward.parameters(**changes, **approved)
                reading = change.read(ward.bound, parameters)
                return change.planned(ward.bound, Record(parameters, "test"), reading)

            digest = planned().plan.digest
            planned(approved_plan=digest).apply_bucket_policy()
            policy = ward.account.client("s3").get_bucket_policy(Bucket=BUCKET)["Policy"]
            assert all(sid in policy for sid in statements.SIDS[level])
            yield changes

    return applied


@contextmanager
def dual_stack(ward: Ward) -> Iterator[Changes]:
    """The endpoint has a second route in each table, to S3's IPv6 list."""
    ec2, endpoint = ward.account.client("ec2"), _endpoint(ward)["VpcEndpointId"]
    ward.account.act("dual stack", endpoint_id=endpoint)
    try:
        yield {}
    finally:
        ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, IpAddressType="ipv4")


@contextmanager
def encrypted_by_a_key(ward: Ward) -> Iterator[Changes]:
    """A key of the account, whose policy lets IAM decide, and a role that may use it through S3."""
    kms, s3, iam = (ward.account.client(service) for service in ("kms", "s3", "iam"))
    made = kms.create_key(Description="A healthy key")["KeyMetadata"]
    before = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]
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
    named = {"RoleName": "app-instance", "PolicyName": "use-the-key"}
    iam.put_role_policy(**named, PolicyDocument=_document(statement))
    try:
        yield {}
    finally:
        iam.delete_role_policy(**named)
        s3.put_bucket_encryption(Bucket=BUCKET, ServerSideEncryptionConfiguration=before)
        kms.schedule_key_deletion(KeyId=made["KeyId"], PendingWindowInDays=7)


@contextmanager
def nat_beside_the_endpoint(ward: Ward) -> Iterator[Changes]:
    """All else goes out by a NAT gateway; S3's list is the longer prefix."""
    ec2, ids = ward.account.client("ec2"), ward.account.ids
    vpc, out = ids["rehearsal"], {"DestinationCidrBlock": "0.0.0.0/0"}
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.20.9.0/24")["Subnet"]["SubnetId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    joined = ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
    ec2.create_route(RouteTableId=table, GatewayId=gateway, **out)
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)["NatGateway"]
    nat_id = nat["NatGatewayId"]
    ec2.create_route(RouteTableId=ids["private-a"], NatGatewayId=nat_id, **out)
    try:
        yield {}
    finally:
        ec2.delete_route(RouteTableId=ids["private-a"], **out)
        ec2.delete_nat_gateway(NatGatewayId=nat_id)
        ec2.disassociate_route_table(AssociationId=joined)
        ec2.delete_route_table(RouteTableId=table)
        ec2.detach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        ec2.delete_internet_gateway(InternetGatewayId=gateway)


@contextmanager
def many_statements(ward: Ward) -> Iterator[Changes]:
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
    with _policy_put_back(ward) as before:
        policy = json.loads(before)
        policy["Statement"] += added
        s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
        yield {}


@contextmanager
def without_dns_hostnames(ward: Ward) -> Iterator[Changes]:
    """The VPC resolves names, and gives its own hosts none; S3 does without them."""
    ec2, vpc = ward.account.client("ec2"), ward.account.ids["rehearsal"]
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": False})
    try:
        yield {}
    finally:
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})


@contextmanager
def asked_by_ssh(ward: Ward) -> Iterator[Changes]:
    """Systems Manager does not reach the instance, and nobody wants it to."""
    with ward.planted(16):
        yield {"check_by": "ssh"}


@contextmanager
def reader_of_a_prefix(ward: Ward) -> Iterator[Changes]:
    """The role may do all it needs under one prefix only."""
    iam = ward.account.client("iam")
    named = {"RoleName": "app-instance", "PolicyName": "use-the-buckets"}
    before = iam.get_role_policy(**named)["PolicyDocument"]
    data = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]}
    narrow = [
        {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{BUCKET}"},
        {**data, "Resource": f"arn:aws:s3:::{BUCKET}/reports/*"},
    ]
    iam.put_role_policy(**named, PolicyDocument=_document(*narrow))
    try:
        yield {}
    finally:
        iam.put_role_policy(**named, PolicyDocument=json.dumps(before))


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


@contextmanager
def _endpoint_policy(ward: Ward, policy: str) -> Iterator[None]:
    ec2, endpoint = ward.account.client("ec2"), _endpoint(ward)
    change_it = ec2.modify_vpc_endpoint
    change_it(VpcEndpointId=endpoint["VpcEndpointId"], PolicyDocument=policy)
    try:
        yield
    finally:
        before = endpoint["PolicyDocument"]
        change_it(VpcEndpointId=endpoint["VpcEndpointId"], PolicyDocument=before)


@contextmanager
def _on_table(ward: Ward, name: str) -> Iterator[None]:
    ec2, endpoint = ward.account.client("ec2"), _endpoint(ward)["VpcEndpointId"]
    table = [ward.account.ids[name]]
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, AddRouteTableIds=table)
    try:
        yield
    finally:
        ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, RemoveRouteTableIds=table)


@contextmanager
def _policy_put_back(ward: Ward) -> Iterator[str]:
    """Gives the bucket policy, and puts it back to the letter."""
    s3 = ward.account.client("s3")
    before = s3.get_bucket_policy(Bucket=BUCKET)["Policy"]
    try:
        yield before
    finally:
        s3.put_bucket_policy(Bucket=BUCKET, Policy=before)


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


def _use_acl(ward: Ward, subnet: str, acl: str) -> str:
    """Gives the subnet this network ACL; the id of the one that it had."""
    ec2 = ward.account.client("ec2")
    filters = [{"Name": "association.subnet-id", "Values": [subnet]}]
    (found,) = ec2.describe_network_acls(Filters=filters)["NetworkAcls"]
    (joined,) = [one for one in found["Associations"] if one["SubnetId"] == subnet]
    ec2.replace_network_acl_association(
        AssociationId=joined["NetworkAclAssociationId"], NetworkAclId=acl
    )
    return str(found["NetworkAclId"])


def _document(*content: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [*content]})

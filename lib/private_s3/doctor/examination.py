"""Reads what a diagnosis needs of the account; what is refused is kept, and ends nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from iam_verdict import PolicyError, parse
from private_s3 import aws, bucket, network
from private_s3.access import Situation
from private_s3.callers import Caller, Callers
from private_s3.doctor.refusals import ENDPOINT_ID
from private_s3.errors import AwsRefused
from private_s3.identities import Identities
from private_s3.network import NOWHERE, Network
from private_s3.parameters import Parameters
from private_s3.path import surroundings
from private_s3.path.surroundings import ACLS, DNS, GROUPS, Surroundings
from private_s3.plan import NEW_ENDPOINT
from private_s3.preflight import keys, management
from private_s3.preflight.keys import BucketKey
from private_s3.preflight.management import Management
from private_s3.record import Check

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

Read = TypeVar("Read")
INSTANCES, NETWORK, POLICY = "the instances", "the network", "the bucket policy"
LOCATION, ROLES = "the bucket's Region", "roles and users"
_ACTIONS = {
    DNS: "ec2:DescribeVpcAttribute",
    GROUPS: "ec2:DescribeSecurityGroups",
    ACLS: "ec2:DescribeNetworkAcls",
}
GONE = ("deleting", "deleted")
_LISTS = "ec2:GetManagedPrefixListEntries"


@dataclass
class Examination:
    """One reading of all that lies between the instances and the data.

    What is None could not be read, or was not asked for; `unread` says which, with AWS's answer.
    """

    account: aws.Account
    parameters: Parameters
    # With its type said: mypy takes seconds to infer it.
    instances: list[InstanceTypeDef] = field(default_factory=list["InstanceTypeDef"])
    network: Network | None = None
    surroundings: Surroundings | None = None
    bucket_region: str | None = None
    policy: str | None = None
    public_access_block: dict[str, bool] | None = None
    callers: list[Caller] = field(default_factory=list)
    existing: frozenset[str] = frozenset()
    management: Management | None = None
    key: BucketKey | None = None
    unread: dict[str, Check] = field(default_factory=dict)

    def situation(self, found: Network, instance: InstanceTypeDef) -> Situation:
        """What decides on an instance's requests, supposing that they get to S3.

        Where no route leads there, they come through the endpoint that would serve them.
        """
        subnet = instance["SubnetId"]
        way = found.s3_goes_to(found.route_table_of(subnet))
        if way == NOWHERE:
            way = next((one["VpcEndpointId"] for one in found.endpoints), NEW_ENDPOINT)
        return Situation(
            self.parameters.bucket,
            self.account.id,
            self.account.region,
            found.vpc_id,
            self.policy,
            {subnet: way},
            {
                NEW_ENDPOINT: "",
                **{e["VpcEndpointId"]: e["PolicyDocument"] for e in found.endpoints},
            },
            self.public_access_block,
        )

    def _attempt(self, what: str, read: Callable[[], Read]) -> Read | None:
        """What was read; None if AWS refused it for good."""
        try:
            return read()
        except AwsRefused as error:
            if error.passing or not error.code:
                raise  # not to be taken for a lasting refusal
            self.unread[what] = Check.unread(what, error.answer, error.remedy)
            return None


def read(account: aws.Account, parameters: Parameters, *, ask_ssm: bool) -> Examination:
    """What there is: about twenty calls, whatever the account holds, and not one that writes.

    Raises BadInput for instances or a bucket that are not there, and AwsRefused for what may pass.
    """
    seen = Examination(account, parameters)
    seen.instances = (
        seen._attempt(INSTANCES, lambda: network.find_instances(account.ec2, parameters)) or []
    )
    # Before the endpoints, as every reading of a change does it: see change.read.
    _read_bucket(seen)
    if not seen.instances:
        return seen
    vpc_id = seen.instances[0]["VpcId"]
    found = seen.network = seen._attempt(
        NETWORK, lambda: network.read(account.ec2, vpc_id, seen.instances, account.region)
    )
    if found:
        _read_surroundings(seen, found)
        _read_callers(seen, found)
        seen.existing = _existing(seen, found)
        if ask_ssm:
            seen.management = management.read(account, found, seen.surroundings)
            seen.unread |= {check.name: check for check in seen.management.unread}
    return seen


def _read_bucket(seen: Examination) -> None:
    account, name = seen.account, seen.parameters.bucket
    seen.bucket_region = _region(seen)
    seen.policy = seen._attempt(POLICY, lambda: bucket.read_policy(account, name))
    try:
        if seen.policy is not None:
            parse(seen.policy, names_principals=True)
    except PolicyError as error:
        # Later than what is known here, or broken: nothing can be said by it.
        seen.unread[POLICY] = Check(f"{POLICY} can be understood", "UNCERTAIN", str(error))
        seen.policy = None
    refused: list[Check] = []
    seen.public_access_block = bucket.read_public_access_block(account, name, refused)
    seen.key = keys.read(account, name)
    refused += [seen.key.doubt] if seen.key.doubt else []
    seen.unread |= {check.name: check for check in refused}


def _region(seen: Examination) -> str | None:
    """The bucket's Region; None if neither an answer nor a refusal tells it."""
    try:
        return bucket.region(seen.account, seen.parameters.bucket)
    except AwsRefused as error:
        if error.passing or not error.code:
            raise
        if told := bucket.region_told(error):
            return told
        seen.unread[LOCATION] = Check.unread(LOCATION, error.answer, error.remedy)
        return None


def _read_surroundings(seen: Examination, found: Network) -> None:
    seen.surroundings = surroundings.read(seen.account.ec2, found)
    for what, answer in seen.surroundings.unread.items():
        remedy = f"grant {_ACTIONS.get(what, _LISTS)} to the caller"
        seen.unread[what] = Check.unread(what, answer, remedy)


def _read_callers(seen: Examination, found: Network) -> None:
    """The instances' sessions, and whoever else may have to do with the bucket."""
    refused: list[Check] = []
    identities = Identities(seen.account)
    replication = bucket.read_replication_role(seen.account, seen.parameters.bucket, refused)
    everybody = Callers(
        seen.account, seen.parameters, identities, found, [], replication, seen.policy
    )
    seen.callers = everybody.all()
    refused += identities.checks()
    seen.unread |= {check.name: check for check in refused}


def _existing(seen: Examination, found: Network) -> frozenset[str]:
    """Which of the endpoints that policies name are there, in whichever VPC."""
    known = {one["VpcEndpointId"] for one in (*found.endpoints, *found.interface_endpoints)}
    texts: Iterable[str | None] = [
        seen.policy,
        *(text for one in seen.callers if one.part == "target" for text in one.policies.values()),
    ]
    named = {id_ for text in texts if text for id_ in ENDPOINT_ID.findall(text)} - known
    if not named:
        return frozenset(known)
    by_id = {"Name": "vpc-endpoint-id", "Values": sorted(named)}
    remedy = "grant ec2:DescribeVpcEndpoints to the caller"
    with aws.attempt(f"read the endpoints {', '.join(sorted(named))}", remedy):
        others = aws.pages(
            seen.account.ec2, "describe_vpc_endpoints", "VpcEndpoints", Filters=[by_id]
        )
    there = {one["VpcEndpointId"] for one in others if one["State"].lower() not in GONE}
    return frozenset(known | there)

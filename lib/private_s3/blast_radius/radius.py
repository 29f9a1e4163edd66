"""Says whom a change touches besides: their connections, their policies, what AWS serves them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from private_s3 import aws, endpoint, statements
from private_s3.blast_radius import by_address, comers
from private_s3.blast_radius.by_address import ByAddress
from private_s3.blast_radius.endpoint_cut import Judge, Judgement
from private_s3.blast_radius.sharing import Share, shares
from private_s3.callers import Caller
from private_s3.identities import REMEDY, Identities
from private_s3.network import NOWHERE, Network, label, neighbours
from private_s3.parameters import Parameters
from private_s3.plan import NEW_ENDPOINT
from private_s3.record import Check
from private_s3.tables import table

if TYPE_CHECKING:
    import pandas as pd
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

COLUMNS = ("route_table", "subnet", "instance", "of_the_change", "s3_today", "connections")
POLICY_COLUMNS = ("policy", "statement", "carried_by", "about", "through_the_endpoint")
CUT_COLUMNS = ("for", "buckets", "unsigned", "by_the_role", "by_aws", "decided_by")
NOBODY = "nobody seen behind these route tables"


@dataclass(frozen=True)
class BlastRadius:
    """Everybody in the VPC, as one reading found them, and the policies that they carry."""

    network: Network
    instances: Sequence[InstanceTypeDef]
    identities: Identities

    @cached_property
    def shares(self) -> list[Share]:
        """Who shares the route tables of the change."""
        return shares(self.network, self.instances)

    def table(self) -> pd.DataFrame:
        """One row per subnet and instance that shares a route table of the change."""
        rows = [
            (
                label(share.route_table),
                share.where,
                share.who if share.instance else "-",
                "yes" if share.is_target else "no",
                ", ".join(share.ways) or NOWHERE,
                share.connections,
            )
            for share in self.shares
        ]
        return table(rows, COLUMNS)

    def sentence(self) -> str:
        """How many share the route tables, and whose connections will be reset."""
        inside = [share for share in self.shares if share.instance]
        others = [share for share in inside if not share.is_target]
        subnets = {share.subnet["SubnetId"] for share in self.shares}
        touched = ", ".join(share.who for share in self.shares if share.loses_connections)
        return (
            f"On the route tables of the change: {_many(len(subnets), 'subnet')} with "
            f"{_many(len(inside), 'instance')}, {len(others)} of them not of the change.\n"
            f"Open S3 connections that are reset when the route changes: {touched or 'none'}."
        )

    def policies(self, bucket_policy: str | None) -> pd.DataFrame:
        """One row per statement about S3 by aws:SourceIp that means something else from now on.

        `about` names those behind the route tables whom it concerns.
        """
        rows = [
            (
                one.policy,
                one.statement,
                ", ".join(one.carried_by),
                ", ".join(one.about) or NOBODY,
                one.becomes,
            )
            for one in self.by_address(bucket_policy)
        ]
        return table(rows, POLICY_COLUMNS)

    def by_address(self, bucket_policy: str | None) -> list[ByAddress]:
        """What `policies` shows."""
        coming = self._comers
        others = comers.others(self.network, coming, self.identities)
        return by_address.found(bucket_policy, coming, others)

    @cached_property
    def _comers(self) -> list[Caller]:
        return comers.comers(self.network, self.shares, self.identities)

    def cut(self, endpoint_policy: str, region: str) -> pd.DataFrame:
        """One row per purpose that AWS keeps buckets for: what the endpoint policy makes of it.

        A column is "-" where requests do not come in this way.
        """
        rows = [
            (
                one.family.purpose,
                ", ".join(one.family.buckets),
                *(one.states.get(how, "-") for how in ("unsigned", "by the role", "by AWS")),
                one.reason,
            )
            for one in self.judgements(endpoint_policy, region)
        ]
        return table(rows, CUT_COLUMNS)

    def judgements(self, endpoint_policy: str, region: str) -> list[Judgement]:
        """What `cut` shows."""
        roles = comers.roles(self.shares, self.identities)
        return Judge(endpoint_policy, region, self.identities.account.id, roles).judgements()

    def checks(self, bucket_policy: str | None, endpoint_policy: str) -> list[Check]:
        """What a person must look at before the change: UNCERTAIN, since nothing refuses it."""
        return [
            self.connections_check(),
            self._by_address_check(bucket_policy),
            self._cut_check(endpoint_policy),
        ]

    def connections_check(self) -> Check:
        """Whether anybody's open connections to S3 will be reset."""
        touched = [share for share in self.shares if share.loses_connections]
        told = "; ".join(f"{share.who} by {', '.join(share.ways)}" for share in touched)
        return Check(
            "no open S3 connection is reset",
            "UNCERTAIN" if touched else "PASS",
            told or "; ".join(dict.fromkeys(share.connections for share in self.shares)),
            "make the change at a time when these can bear it, and tell who runs them: what does "
            "not try again by itself must be started anew",
        )

    def _by_address_check(self, bucket_policy: str | None) -> Check:
        title = "no policy by address is about who comes through the endpoint"
        found = self.by_address(bucket_policy)
        about = [one for one in found if one.about]
        if about:
            told = [f"{o.statement} of {o.policy} {o.becomes}: {', '.join(o.about)}" for o in about]
            remedy = (
                "have the statement take aws:SourceVpce or aws:VpcSourceIp beside aws:SourceIp "
                "before the route changes, if these are to go on as they do"
            )
            return Check(title, "UNCERTAIN", "; ".join(told), remedy)
        if self.identities.unread:
            told_instead = f"policies of roles and users: {self.identities.unread}"
            return Check(title, "UNCERTAIN", told_instead, REMEDY)
        return Check(title, "PASS", f"{len(found)} about others" if found else "there is none")

    def _cut_check(self, endpoint_policy: str) -> Check:
        region = self.identities.account.region
        found = self.judgements(endpoint_policy, region)
        by_cause: dict[str, list[str]] = {}
        for one in found:
            if one.worst != "passes":
                cause = f"{one.worst} ({one.reason})"
                by_cause.setdefault(cause, []).append(one.family.purpose)
        told = [f"{cause}: {', '.join(whose)}" for cause, whose in by_cause.items()]
        full = statements.same(endpoint_policy, _FULL_ACCESS)
        if not (found or full):
            told = [f"how AWS names its buckets in {region} is not known here"]
        return Check(
            "the endpoint policy lets pass what AWS itself serves from S3",
            "UNCERTAIN" if told else "PASS",
            "; ".join(told) or ("everything" if full else f"{len(found)} purposes"),
            "if an instance behind the endpoint needs one of these, let the endpoint policy allow "
            "s3:GetObject on its buckets (s3:PutObject for signals to CloudFormation)",
        )


_FULL_ACCESS = (
    '{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}}'
)


def read(
    account: aws.Account,
    network: Network,
    identities: Identities | None = None,
    instances: Sequence[InstanceTypeDef] | None = None,
) -> BlastRadius:
    """Everybody in the VPC: one DescribeInstances, unless `instances` are read already.

    The identities are listed when policies are first asked for.
    IAM actions: ec2:DescribeInstances, iam:GetAccountAuthorizationDetails.
    """
    if instances is None:
        instances = neighbours(account.ec2, network.vpc_id)
    return BlastRadius(network, instances, identities or Identities(account))


def endpoint_policy(network: Network, parameters: Parameters) -> str:
    """The policy of the endpoint that the instances will come through: as it is, or as asked.

    If they come through several, of the first that they do not come through yet.
    """
    wanted, now = endpoint.wanted(network, parameters), endpoint.state(network, parameters)
    routes = [(key, str(value)) for key, value in wanted.items() if key[1] == endpoint.S3_ROUTE]
    routes.sort(key=lambda route: now.get(route[0]) == route[1])  # what changes comes first
    if routes[0][1] == NEW_ENDPOINT:
        return str(wanted[f"vpc-endpoint/{parameters.endpoint_name}", "policy"])
    policies = {one["VpcEndpointId"]: one["PolicyDocument"] for one in network.endpoints}
    return policies[routes[0][1]]


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s'[: count != 1]}"

"""Predicts what becomes of one caller's requests, and what decides that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from iam_verdict import Document, Policies, PolicyError, Request, Verdict, decide
from private_s3.callers import OUTSIDE, SERVICE, Caller
from private_s3.network import NOWHERE

# The columns of the matrix, with the IAM actions that each stands for.
ACTIONS = {
    "list": ("s3:ListBucket",),
    "read": ("s3:GetObject",),
    "write": ("s3:PutObject",),
    "delete": ("s3:DeleteObject",),
    "administer": ("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"),
}
COLUMNS = tuple(ACTIONS)
DATA = COLUMNS[:-1]
# "depends": on something that nobody could read. "no way": no packet gets to S3.
State = Literal["allowed", "denied", "depends", "no way"]
_STATES: dict[str, State] = {"allowed": "allowed", "depends": "depends"}
_WORST = ("no way", "denied", "depends", "allowed")
ON_THE_BUCKET = frozenset({*ACTIONS["list"], *ACTIONS["administer"]})
THROUGH_ENDPOINT, NO_WAY = "through the endpoint", "no way to S3"
_NETWORK_KEYS = ("aws:sourceip", "aws:sourcevpc", "aws:vpc")


@dataclass(frozen=True)
class Cell:
    """What becomes of one kind of request, and what decides that, in words."""

    state: State
    reason: str


@dataclass(frozen=True)
class Row:
    """One caller in one place, before and after the change: a cell for each of COLUMNS."""

    who: str
    where: str
    before: Mapping[str, Cell]
    after: Mapping[str, Cell]
    key: str = ""  # of the object that it speaks of
    where_before: str = ""

    @property
    def name(self) -> str:
        """Who, and from where."""
        return f"{self.who} {self.where}"

    def changed(self, column: str) -> bool:
        """Whether the change makes a difference to these requests."""
        return self.before[column].state != self.after[column].state

    @property
    def loses(self) -> list[str]:
        """The columns that were open, as far as anybody knows, and will be closed."""
        return [
            column
            for column in COLUMNS
            if self.after[column].state in ("denied", "no way")
            and self.before[column].state in ("allowed", "depends")
        ]

    @property
    def keeps(self) -> list[str]:
        """The kinds of data requests that are open in the end."""
        return [column for column in DATA if self.after[column].state == "allowed"]


@dataclass(frozen=True)
class Situation:
    """The bucket's policy and the ways to it, at one moment.

    `ways`: subnet id to where its S3 traffic goes. `endpoints`: endpoint id to endpoint policy.
    """

    bucket: str
    account: str
    region: str
    vpc: str
    policy: str | None
    ways: Mapping[str, str]
    endpoints: Mapping[str, str]
    public_access_block: Mapping[str, bool] | None  # None: could not be read

    def blocks(self, setting: str) -> bool:
        """Whether Block Public Access has this setting on, as far as is known."""
        return bool(self.public_access_block and self.public_access_block.get(setting))

    def where(self, caller: Caller) -> str:
        """The caller's way to S3, in words."""
        if not caller.subnet:
            return caller.place
        way = self.ways.get(caller.subnet, NOWHERE)  # a subnet may not have been there yet
        if way in self.endpoints:
            return THROUGH_ENDPOINT
        return NO_WAY if way == NOWHERE else f"through {way}"

    def cell(self, caller: Caller, column: str, key: str) -> Cell:
        """What becomes of the caller's requests of one column: the worst of its actions."""
        if self.where(caller) == NO_WAY:
            return Cell("no way", "no route leads to S3")
        cells = [self._cell(caller, action, key) for action in ACTIONS[column]]
        return min(cells, key=lambda cell: _WORST.index(cell.state))

    def _cell(self, caller: Caller, action: str, key: str) -> Cell:
        try:
            verdict = self.verdict(caller, action, key)
            if self.public_access_block is None and verdict.allowed:
                strict = replace(self, public_access_block={"RestrictPublicBuckets": True})
                if not strict.verdict(caller, action, key).allowed:
                    return Cell("depends", "Block Public Access of the bucket")
        except PolicyError as error:
            return Cell("depends", f"a policy that cannot be understood: {error}")
        return Cell(_STATES.get(verdict.decision, "denied"), reason(caller, verdict))

    def verdict(
        self, caller: Caller, action: str, key: str, unknown: frozenset[str] = frozenset()
    ) -> Verdict:
        """What AWS would decide; of the keys in `unknown` nobody knows whether they are there.

        Nor is a key known that is neither given nor surely absent: the verdict then depends on it.
        """
        arn = f"arn:aws:s3:::{self.bucket}"
        present, endpoint = self._position(caller)
        request = Request(
            caller.principal,
            action,
            arn if action in ON_THE_BUCKET else f"{arn}/{key}",
            self.account,
            {**_of_every_request(self.region, self.account), **caller.keys, **present},
            unknown,
        )
        policies = Policies(
            identity=tuple(caller.policies.values()),
            resource=self.policy,
            endpoint=endpoint,
            boundary=caller.boundary,
            restrict_public_buckets=self.blocks("RestrictPublicBuckets"),
        )
        while True:
            verdict = decide(request, policies)
            doubtful = {key for key in verdict.missing if not self._lacks(caller, key)}
            if doubtful <= request.unknown:
                return verdict
            request = replace(request, unknown=request.unknown | doubtful)

    def _position(self, caller: Caller) -> tuple[dict[str, str], Document | None]:
        """The keys that AWS sets for where a caller is, and the policy of the endpoint there."""
        way = self.ways.get(caller.subnet, "")
        if way not in self.endpoints:
            return {}, None
        return {
            "aws:SourceVpce": way,
            "aws:SourceVpc": self.vpc,
            "aws:SourceVpcArn": f"arn:aws:ec2:{self.region}:{self.account}:vpc/{self.vpc}",
            "aws:VpceAccount": self.account,
            "aws:VpcSourceIp": caller.address,
        }, self.endpoints[way]

    def _lacks(self, caller: Caller, key: str) -> bool:
        """Whether the request surely has no such key."""
        key = key.lower()
        if not key.startswith(_NETWORK_KEYS):
            return caller.lacks(key)
        way = self.ways.get(caller.subnet, "")
        if way in self.endpoints:  # the keys of the endpoint's organization are not known
            return key == "aws:sourceip"
        if caller.place == SERVICE:
            return True
        # From the internet, with an address that is not known; other ways may lead anywhere.
        by_internet = caller.place == OUTSIDE or way.startswith(("nat-", "igw-"))
        return by_internet and key != "aws:sourceip"


def _of_every_request(region: str, account: str) -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "aws:SecureTransport": "true",
        "aws:RequestedRegion": region,
        "aws:ViaAWSService": "false",
        "aws:ResourceAccount": account,
        "s3:ResourceAccount": account,
        "s3:authType": "REST-HEADER",
        "s3:signatureversion": "AWS4-HMAC-SHA256",
        "aws:CurrentTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "aws:EpochTime": str(int(now.timestamp())),
    }


def reason(caller: Caller, verdict: Verdict) -> str:
    """What decides a verdict on a caller's request, in words."""
    if verdict.depends_on:
        return ", ".join(sorted(verdict.depends_on))
    if verdict.layer == "root user":
        return "root needs no policy"
    short = {"resource-based policy": "bucket policy", "VPC endpoint policy": "endpoint policy"}
    policy = short.get(verdict.layer, verdict.layer)
    if (found := verdict.statement) is None:
        return f"no {policy} allows it"
    if found.layer == "identity-based policy":
        policy = f"policy {[*caller.policies][found.policy]}"
    effect = "Allow" if verdict.allowed else "Deny"
    return f"{effect} by {found.sid or f'statement {found.index + 1}'} of {policy}"

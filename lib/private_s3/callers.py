"""Names everybody who may come to the bucket, and says what AWS knows of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Literal

from iam_verdict import Principal
from private_s3 import aws, network, statements
from private_s3.identities import SERVICE_LINKED, Identities, unread
from private_s3.network import Network
from private_s3.parameters import Parameters

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

OUTSIDE, SERVICE, ANYBODY = "from outside", "AWS service", "anybody, unsigned"
LOG_DELIVERY = "logging.s3.amazonaws.com"
_FROM_INSTANCE = (
    "ec2:sourceinstancearn",
    "ec2:roledelivery",
    "aws:ec2instancesourcevpc",
    "aws:ec2instancesourceprivateipv4",
)
_OF_SERVICE = ("aws:principalservicename", "aws:sourceaccount", "aws:sourcearn", "aws:sourceorg")
_OF_PRINCIPAL = ("aws:principal", "aws:username")
# Of a plain request: no tags, nothing called on behalf of another, no optional headers.
_NOT_ASKED = ("aws:requesttag/", "aws:tagkeys", "aws:calledvia", "aws:assumedroot", "ssm:", "s3:")
# What S3 knows of a request or an object though nobody asked for it; so it may be there.
_OF_S3 = ("s3:existingobjecttag/", "s3:tlsversion", "s3:signature", "s3:x-amz-content-sha256")
_SERVICE_NAMES = "aws:principalservicenameslist"
# Whom the change is for, who runs it, and so on; "incidental" is who merely is in the account.
Part = Literal["target", "neighbour", "copied", "operator", "break-glass", "other", "incidental"]


@dataclass(frozen=True)
class Caller:
    """Who comes, from where, with what policies and which condition keys.

    `subnet` is set for who comes from the VPC, `address` the private one there; `place` is OUTSIDE
    or SERVICE for all others. `exists` is False for a role that is named but not there.
    """

    who: str
    principal: Principal
    keys: Mapping[str, str]
    policies: Mapping[str, str] = field(default_factory=dict)
    boundary: str | None = None
    place: str = OUTSIDE
    subnet: str = ""
    address: str = ""
    instances: tuple[str, ...] = ()
    exists: bool = True
    part: Part = "other"

    def lacks(self, key: str) -> bool:
        """Whether a key that is not in `keys` is known to be absent, and not merely unknown.

        Source: IAM User Guide, "AWS global condition context keys".
        """
        key, kind = key.lower(), self.principal.kind
        absent: tuple[str, ...] = _NOT_ASKED
        if key.startswith(_OF_S3) or (kind == "service" and key == _SERVICE_NAMES):
            return False
        if "ec2:SourceInstanceArn" not in self.keys:
            absent += _FROM_INSTANCE
        elif "aws:userid" in self.keys:  # its role was read, and a session there has no tags
            absent += ("aws:principaltag/",)
        if kind != "service":
            absent += _OF_SERVICE
        if kind in ("service", "anonymous"):
            absent += _OF_PRINCIPAL
        elif kind != "user":
            absent += ("aws:username",)
        return key.startswith(absent)


@dataclass(frozen=True)
class Callers:
    """Everybody who matters to one change, by what is known of account, network and bucket."""

    account: aws.Account
    parameters: Parameters
    identities: Identities
    network: Network
    neighbours: list[InstanceTypeDef]
    replication_role: str
    policy: str | None  # the present one: whoever it names is somebody

    def all(self) -> list[Caller]:
        """Each once, in the order in which people ask for them."""
        first = [
            *self.targets(),
            *self.others_in_the_vpc(),
            *self.copied_keys(),
            self.operator(),
            *self.break_glass(),
            self.root(),
            *(self._outside(name) for name in self.parameters.must_work if "/" in name),
            *self._named(),
            *self._services(),
        ]
        seen = {one.principal.arn for one in first if one.place == OUTSIDE}
        everybody = [*first, *self._others(seen), Caller(ANYBODY, Principal("anonymous"), _NOBODY)]
        once: dict[Any, Caller] = {}
        for one in everybody:
            once.setdefault((one.principal, one.place, one.subnet, one.address), one)
        return [*once.values()]

    def targets(self) -> list[Caller]:
        """The instances of the change."""
        return [self._instance([one], "target") for one in self.network.instances]

    def others_in_the_vpc(self) -> list[Caller]:
        """The other instances of the VPC; together, if one role, subnet and policy is theirs."""
        ours = {one["InstanceId"] for one in self.network.instances}
        others = [o for o in self.neighbours if o["InstanceId"] not in ours and _profile(o)]
        singled_out = f"{self.policy} {self.parameters.must_work}"

        def alike(one: InstanceTypeDef) -> tuple[str, str, str]:
            name = one["InstanceId"]
            return _profile(one), one["SubnetId"], name if name in singled_out else ""

        # Not by groupby, of which mypy takes seconds to infer the type.
        groups: dict[tuple[str, str, str], list[InstanceTypeDef]] = {}
        for one in sorted(others, key=lambda one: (*alike(one), network.name(one))):
            groups.setdefault(alike(one), []).append(one)
        return [self._instance(group, "neighbour") for group in groups.values()]

    def copied_keys(self) -> Iterator[Caller]:
        """Keys of the first instance in wrong hands: in its own subnet, and outside."""
        if not self.network.instances:
            return  # gone, and its keys with it
        target = replace(self.targets()[0], instances=(), part="copied")
        who = f"keys copied from {target.who}"
        subnets = {subnet["SubnetId"]: subnet for subnet in self.network.subnets}
        addresses = ip_network(subnets[target.subnet]["CidrBlock"])
        # Somebody else's address; the very last one is kept by AWS for itself.
        elsewhere = next(str(addresses[n]) for n in (-2, -3) if str(addresses[n]) != target.address)
        yield replace(target, who=who, address=elsewhere)
        yield replace(target, who=who, place=OUTSIDE, subnet="", address="")

    def operator(self) -> Caller:
        """Whoever runs this, from outside the VPC."""
        arn = self.account.arn
        if ":assumed-role/" not in arn:
            who = f"you (user {arn.rsplit('/', 1)[-1]})"
            user = self.root() if arn.endswith(":root") else self._outside(arn, who)
            return replace(user, part="operator")
        _, name, session = arn.split("/", 2)
        found = self.identities.of_session(arn)
        role = found.arn if found else self._own_arn(f"role/{name}")
        return replace(self._outside(role, f"you ({name})", session), part="operator")

    def break_glass(self) -> list[Caller]:
        """The role that is to keep its access, if one is."""
        arns = filter(None, [self.parameters.break_glass_role])
        return [replace(self._outside(arn), part="break-glass") for arn in arns]

    def root(self) -> Caller:
        """Root of the owning account."""
        arn = self._own_arn("root")
        principal = Principal("root", arn, account=self.account.id)
        return Caller("root", principal, {**_keys(principal), "aws:userid": self.account.id})

    def _named(self) -> Iterator[Caller]:
        """Everybody whom the present bucket policy names, also to spare them."""
        for name in sorted(_names(self.policy)):
            if name.endswith(":root") or name.isdecimal():
                account = name if name.isdecimal() else name.split(":")[4]
                if account != self.account.id:
                    yield self._outside(
                        f"arn:aws:iam::{account}:user/anybody", f"account {account}"
                    )
            elif name.startswith("arn:aws") and ":sts:" in name and name.count("/") == 2:
                session = name.rsplit("/", 1)[1]
                owner = self.identities.of_session(name)
                role = owner.arn if owner else name.replace(":sts:", ":iam:").rsplit("/", 1)[0]
                yield self._outside(role.replace(":assumed-role/", ":role/"), "", session)
            elif ":role/" in name or ":user/" in name:
                yield self._outside(name)
            elif not re.fullmatch(r"A[A-Z0-9]{15,}|arn:.*", name):  # the id of somebody deleted
                yield self._service(name)

    def _services(self) -> Iterator[Caller]:
        yield self._service(LOG_DELIVERY)
        if self.replication_role:
            # S3 replicates with a session of this role, from its own network.
            yield replace(self._outside(self.replication_role), place=SERVICE)

    def _others(self, seen: set[str]) -> list[Caller]:
        """Everybody else in the account; whether they matter is for the matrix to say."""
        arns = sorted(self.identities.by_arn.keys() - seen)
        others = [self._outside(arn) for arn in arns if SERVICE_LINKED not in arn]
        return [replace(other, part="incidental") for other in others]

    def _instance(self, group: list[InstanceTypeDef], part: Part) -> Caller:
        """Instances with one role in one subnet; one without a role cannot sign."""
        first, profile = group[0], _profile(group[0])
        who = ", ".join(f"{network.name(one)} {one['InstanceId']}".strip() for one in group)
        caller = Caller(who, Principal("anonymous"), _NOBODY)
        if profile:
            role = self.identities.role_of(profile)
            arn = role.arn if role else self._own_arn(f"role/{profile.rsplit('/', 1)[1]}")
            caller = self._outside(arn, who, first["InstanceId"])
            own = {
                "ec2:SourceInstanceArn": instance_arn(self.account, first["InstanceId"]),
                "aws:Ec2InstanceSourceVpc": self.network.vpc_id,
                "aws:Ec2InstanceSourcePrivateIPv4": first["PrivateIpAddress"],
            }
            caller = replace(caller, keys={**caller.keys, **own})
        return replace(
            caller,
            part=part,
            place="",
            subnet=first["SubnetId"],
            address=first["PrivateIpAddress"],
            instances=tuple(one["InstanceId"] for one in group),
        )

    def _outside(self, arn: str, who: str = "", session: str = "a-session") -> Caller:
        """A role or user by ARN, from outside the VPC."""
        account, name = arn.split(":")[4], arn.rsplit("/", 1)[-1]
        is_role = ":role/" in arn
        found = self.identities.by_arn.get(arn)
        own = account == self.account.id
        who = who or f"{'role' if is_role else 'user'} {name}{'' if own else f' of {account}'}"
        if not is_role:
            principal = Principal("user", arn, account=account)
        else:
            session_arn = f"arn:aws:sts::{account}:assumed-role/{name}/{session}"
            principal = Principal("role-session", arn, session_arn, account)
        keys = _keys(principal)
        if found:
            user_id = f"{found.unique_id}:{session}" if is_role else found.unique_id
            tags = {f"aws:PrincipalTag/{key}": value for key, value in found.tags.items()}
            keys |= {"aws:userid": user_id, **tags} | ({} if is_role else {"aws:username": name})
            return Caller(who, principal, keys, found.policies, found.boundary)
        known = own and not self.identities.unread
        what = f"the policies of {who}" if own else f"account {account}"
        return Caller(
            who if not known else f"{who} (does not exist)",
            principal,
            keys,
            {} if known else {"unread": unread(what)},
            exists=not known,
        )

    def _service(self, name: str) -> Caller:
        keys = {
            "aws:PrincipalIsAWSService": "true",
            "aws:PrincipalServiceName": name,
            "aws:SourceAccount": self.account.id,
        }
        return Caller(name, Principal("service", service=name), keys, place=SERVICE)

    def _own_arn(self, resource: str) -> str:
        return f"arn:aws:iam::{self.account.id}:{resource}"


_NOBODY = {"aws:PrincipalType": "Anonymous", "aws:userid": "anonymous"}


def instance_arn(account: aws.Account, instance_id: str) -> str:
    """The ARN of an instance, as `ec2:SourceInstanceArn` has it."""
    return f"arn:aws:ec2:{account.region}:{account.id}:instance/{instance_id}"


def _keys(principal: Principal) -> dict[str, str]:
    kinds = {"root": "Account", "user": "User", "role-session": "AssumedRole"}
    return {
        "aws:PrincipalArn": principal.arn,
        "aws:PrincipalAccount": principal.account,
        "aws:PrincipalType": kinds[principal.kind],
        "aws:PrincipalIsAWSService": "false",
    }


def _profile(instance: InstanceTypeDef) -> str:
    return instance.get("IamInstanceProfile", {}).get("Arn", "")


def _names(policy: str | None) -> set[str]:
    """The principals of a policy's statements, and those that its conditions name one by one."""
    names: set[str] = set()
    for statement in statements.as_list(statements.parse(policy)["Statement"]) if policy else ():
        for element in ("Principal", "NotPrincipal"):
            by_type = statement.get(element, {})
            if isinstance(by_type, dict):
                kinds = (by_type.get(kind, []) for kind in ("AWS", "Service"))
                names |= {name for values in kinds for name in statements.as_list(values)}
        names |= set(_in_conditions(statement.get("Condition", {})))
    return {name for name in names if not any(sign in name for sign in "*?$")}


def _in_conditions(block: Mapping[str, Mapping[str, Any]]) -> Iterable[str]:
    for tests in block.values():
        for key, values in tests.items():
            if key.lower() == "aws:principalarn":
                yield from (v for v in statements.as_list(values) if str(v).startswith("arn:"))

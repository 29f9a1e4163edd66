"""What a call of any service but S3 asks for: IAM actions, on what, and with which condition keys.

Source: Service Authorization Reference, "Actions, resources, and condition keys" of Amazon EC2,
AWS Systems Manager and Service Quotas.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from moto.ec2.models import ec2_backends
from moto.ec2.utils import EC2_PREFIX_TO_RESOURCE

from rehearsal.call import Call

Keys = dict[str, str | list[str]]

_RESOURCE_ID = re.compile(r"([a-z]+)-[0-9a-f]{8,17}")
# As ARNs call the kinds of resources, by the prefix of their ids.
_KINDS = {
    **EC2_PREFIX_TO_RESOURCE,
    "eipalloc": "elastic-ip",
    "nat": "natgateway",
    "pl": "prefix-list",
}
# The operations of EC2 that read and yet are about a resource: a policy can narrow them by it.
_NARROWED_READS = frozenset({"DescribeVpcAttribute"})
# Keys that hold the id of what is asked for. No key tells of a route table in which VPC it is.
_ID_KEYS = {
    "rtb": "ec2:RouteTableID",
    "sg": "ec2:SecurityGroupID",
    "subnet": "ec2:SubnetID",
    "vpc": "ec2:VpcID",
}
_TAG = re.compile(r"(?:TagSpecification\.\d+\.)?Tag\.(\d+)\.(Key|Value)")


class Asked(NamedTuple):
    """One action on one resource.

    `keys` is what AWS knows of it beside the request itself, None if there is no such resource.
    """

    action: str
    resource: str
    keys: Keys | None


class Actions:
    """What calls ask for in one account."""

    def __init__(self, account_id: str) -> None:
        self._account_id = account_id

    def of(self, call: Call) -> Iterator[Asked]:
        """Each action of a call, once for each resource; "*" where AWS knows no resource."""
        action = f"{call.service}:{call.operation}"
        if call.service == "ec2":
            yield from self._ec2(call, action)
        elif call.operation == "AssumeRole":
            yield Asked(action, call.parameters.get("RoleArn", "*"), {})
        elif call.operation == "SendCommand":
            document = call.parameters.get("DocumentName")
            yield Asked(action, f"arn:aws:ssm:{call.region}::document/{document}", {})
            for name in call.items("InstanceIds"):
                arn = f"arn:aws:ec2:{call.region}:{self._account_id}:instance/{name}"
                tags = _tag_keys(self._tags(call, name), "ssm:resourceTag", "aws:ResourceTag")
                yield Asked(action, arn, tags)
        elif call.operation == "GetServiceQuota":
            about = f"{call.parameters.get('ServiceCode')}/{call.parameters.get('QuotaCode')}"
            arn = f"arn:aws:servicequotas:{call.region}:{self._account_id}:{about}"
            yield Asked(action, arn, {})
        else:
            yield Asked(action, "*", {})

    def _ec2(self, call: Call, action: str) -> Iterator[Asked]:
        own = f"arn:aws:ec2:{call.region}:{self._account_id}"
        always: Keys = {"ec2:Region": call.region}
        asked_tags = _tags_asked_for(call)
        new = _tag_keys(asked_tags, "aws:RequestTag")
        if asked_tags:
            new["aws:TagKeys"] = [*asked_tags]
        tagging = call.operation in ("CreateTags", "DeleteTags")
        ids = [] if _reads_all(call) else _ids(call)
        for prefix, name in ids:
            keys = self._known(call, prefix, name)
            known = None if keys is None else {**always, **keys, **(new if tagging else {})}
            yield Asked(action, self._arn(call, prefix, name), known)
        if call.operation == "CreateVpcEndpoint":
            service = call.parameters.get("ServiceName", "")
            about: Keys = {"ec2:VpceServiceName": service, "ec2:VpceServiceOwner": "amazon"}
            yield Asked(action, f"{own}:vpc-endpoint/*", {**always, **about, **new})
        elif not ids:
            yield Asked(action, "*", always)
        if asked_tags and not tagging:
            kind = call.parameters.get("TagSpecification.1.ResourceType", "*")
            making: Keys = {"ec2:CreateAction": call.operation}
            yield Asked("ec2:CreateTags", f"{own}:{kind}/*", {**always, **making, **new})

    def _arn(self, call: Call, prefix: str, name: str) -> str:
        owner = self._account_id
        if prefix == "pl" and name in self._backend(call).managed_prefix_lists:
            # Lists of AWS's own have "aws" where others have an account.
            owner = self._backend(call).managed_prefix_lists[name].owner_id.lower()
        return f"arn:aws:ec2:{call.region}:{owner}:{_KINDS[prefix]}/{name}"

    def _known(self, call: Call, prefix: str, name: str) -> Keys | None:
        """What AWS knows of something there is: its tags and a few things more."""
        keys = _tag_keys(self._tags(call, name), "aws:ResourceTag", "ec2:ResourceTag")
        if prefix in _ID_KEYS:
            keys[_ID_KEYS[prefix]] = name
        if prefix == "vpce":
            endpoint = self._backend(call).vpc_end_points.get(name)
            if endpoint is None:
                return None
            if call.operation == "DeleteVpcEndpoints":  # it is no key of ModifyVpcEndpoint
                keys["ec2:VpceServiceName"] = endpoint.service_name
        return keys

    def _tags(self, call: Call, name: str) -> dict[str, str]:
        return dict(self._backend(call).tags.get(name, {}))

    def _backend(self, call: Call) -> Any:
        return ec2_backends[self._account_id][call.region]


def _reads_all(call: Call) -> bool:
    """Whether it is a read that no policy can narrow by what is read."""
    return call.operation.startswith("Describe") and call.operation not in _NARROWED_READS


def _ids(call: Call) -> list[tuple[str, str]]:
    """The ids that a call names, with their prefixes."""
    found = (_RESOURCE_ID.fullmatch(value) for value in call.parameters.values())
    return [(one[1], one[0]) for one in found if one and one[1] in _KINDS]


def _tags_asked_for(call: Call) -> dict[str, str]:
    """The tags that a call would give."""
    parts: dict[str, dict[str, str]] = {}
    for name, value in call.parameters.items():
        if found := _TAG.fullmatch(name):
            parts.setdefault(found[1], {})[found[2]] = value
    return {tag.get("Key", ""): tag.get("Value", "") for tag in parts.values()}


def _tag_keys(tags: Mapping[str, str], *names: str) -> Keys:
    return {f"{name}/{key}": value for name in names for key, value in tags.items()}

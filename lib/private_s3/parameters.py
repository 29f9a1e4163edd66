"""The parameters of a change: the one definition that notebooks, files and schema are held to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from private_s3.clean import secrets
from private_s3.errors import BadInput

# From open to narrow; each level keeps what the one before it demands.
RestrictTo = Literal["none", "endpoint", "role", "instance", "instance-origin"]
# Who besides the instances of the change is asked what they can do.
Seat = Literal["neighbours", "break-glass"]
# The way onto the instances for step 50.
CheckBy = Literal["ssm", "ssh", "manual"]
InstanceId = Annotated[str, Field(pattern=r"^i-[0-9a-f]{8,17}$")]
CallerName = Annotated[
    str,
    Field(
        pattern=r"^(i-[0-9a-f]{8,17}"
        r"|arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/[A-Za-z0-9_+=,.@/-]+)$"
    ),
]
# What IPython itself puts into a notebook's namespace.
IPYTHON_NAMES = frozenset({"In", "Out"})


class Parameters(BaseModel):
    """Everything an operator decides before a change; unknown names and wrong types are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    change_id: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,40}$",
        description="Name of the change and of its folder: lower-case letters, digits, hyphens",
    )
    changes_dir: str = Field(
        "changes", min_length=1, description="Where change folders are kept, from the project's top"
    )
    region: str = Field(
        pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$", description="Region of VPC and bucket: eu-central-1"
    )
    expected_account: str = Field(
        pattern=r"^[0-9]{12}$", description="Twelve digits, quoted; any other account is refused"
    )
    profile: str = Field("", description="Profile of the AWS configuration; empty: the environment")
    role_arn: str = Field(
        "",
        pattern=r"^(arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+)?$",
        description="Role to assume for the change; empty: none",
    )
    instance_ids: list[InstanceId] = Field(
        [], description="The instances that need the bucket, all in one VPC; empty: instance_name"
    )
    instance_name: str = Field("", description="Name tag of the instance, when no ids are given")
    vpc_id: str = Field(
        "",
        pattern=r"^(vpc-[0-9a-f]{8,17})?$",
        description="Cross-check: refuse instances of any other VPC; empty: no check",
    )
    bucket: str = Field(description="Name of the bucket")
    endpoint_name: str = Field(
        "private-s3",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}$",
        description="Name tag of the gateway endpoint, if one must be created",
    )
    endpoint_policy: str = Field(
        "full-access",
        pattern=r"^(full-access|bucket-only|.+\.json)$",
        description="full-access, bucket-only, or the path of a JSON policy, for a new endpoint",
    )
    restrict_to: RestrictTo = Field(
        "none",
        description="Who may reach the data: none (the bucket policy stays), endpoint (whoever "
        "comes through it), role (of the instances), instance (these alone), instance-origin (and "
        "from their own address)",
    )
    break_glass_role: str = Field(
        "",
        pattern=r"^(arn:aws[a-z-]*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+)?$",
        description="Role that keeps its access from anywhere",
    )
    allow_services: bool = Field(
        True, description="AWS services (log delivery, Athena) keep their access"
    )
    must_work: list[CallerName] = Field(
        [],
        description="Who must keep what they can do: ARNs of roles and users outside, ids of "
        "other instances of the VPC",
    )
    check_also: list[Seat] = Field(
        [],
        description="Whom step 50 asks besides: neighbours (runs its script on the other "
        "instances that the matrix shows), break-glass (assumes the role; that may raise an alarm)",
    )
    check_by: CheckBy = Field(
        "ssm",
        description="How step 50 asks the instances: ssm (Run Command), ssh (your own OpenSSH), or "
        "manual (you paste its script there, and put what it prints into a file)",
    )
    ssh_config: str = Field(
        "",
        description="For check_by ssh: OpenSSH configuration that says how to reach each instance "
        "by its id; empty: your own",
    )
    settle_seconds: int = Field(
        60,
        ge=0,
        le=900,
        description="How long a check waits for AWS to act on what was just written, in seconds",
    )
    approval_valid_hours: int = Field(
        0,
        ge=0,
        le=8760,
        description="How old a recorded approval may be, in hours; 0: the digest is approval "
        "enough, recorded or not",
    )
    force: bool = Field(
        False,
        description="Undo also what somebody has changed since; the plan of the undo says what is "
        "lost by it",
    )
    error_text: str = Field(
        "",
        description="To diagnose: what the AWS CLI printed, pasted; empty: only the account is "
        "looked at",
    )
    approved_plan: str = Field(
        "",
        pattern=r"^([0-9a-f]{12})?$",
        description="Digest of the approved plan; empty: read and plan, change nothing",
    )
    ticket: str = Field("", description="Number of the change ticket, for the record")
    note: str = Field("", description="The operator's remark, for the record")

    @field_validator("bucket")
    @classmethod
    def _bucket(cls, name: str) -> str:
        # Amazon S3 User Guide, "General purpose bucket naming rules".
        if (
            not re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name)
            or ".." in name
            or re.fullmatch(r"\d+\.\d+\.\d+\.\d+", name)
        ):
            raise ValueError("a bucket name has 3 to 63 of a-z, 0-9, hyphen and dot")
        return name

    @model_validator(mode="after")
    def _which_instance(self) -> Parameters:
        if not self.instance_ids and not self.instance_name:
            raise ValueError("instance_ids or instance_name must name an instance")
        return self

    @property
    def applying(self) -> bool:
        """Whether this pass may change anything."""
        return bool(self.approved_plan)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Parameters:
        """The checked parameters; raises BadInput that names each one at fault."""
        try:
            parameters = cls.model_validate(dict(values))
        except ValidationError as error:
            raise BadInput(
                "Could not use the parameters; AWS was not asked for anything.",
                "; ".join(_fault(fault) for fault in error.errors()),
                "correct them; params/example.yaml explains each one",
            ) from error
        if found := {n: s for n, v in parameters.model_dump().items() if (s := secrets(repr(v)))}:
            raise BadInput(
                "Could not use the parameters; AWS was not asked for anything.",
                "; ".join(f"{name} seems to hold: {kinds[0]}" for name, kinds in found.items()),
                "take it out, and make it worthless if anybody can have seen it: parameters are "
                "kept and shown",
            )
        return parameters

    @classmethod
    def from_notebook(cls, namespace: Mapping[str, Any]) -> Parameters:
        """The parameters that a notebook's cells have set, as `globals()` holds them.

        papermill only warns of a parameter that the notebook does not know, and sets it all the
        same. Here it is one more plain value among the notebook's names, and so it is refused.
        """
        return cls.of(
            {
                name: value
                for name, value in namespace.items()
                if isinstance(value, str | bool | int | float | list | dict)
                and not name.startswith("_")
                and name not in IPYTHON_NAMES
            }
        )

    @classmethod
    def load(cls, path: Path, changes: Mapping[str, Any] | None = None) -> Parameters:
        """The parameters of a YAML file, some of them replaced."""
        try:
            values = yaml.load(path.read_text(encoding="utf-8"), _UniqueNames)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise BadInput(
                f"Could not read the parameters in {path}.",
                " ".join(str(error).split()),
                "give a YAML file like params/example.yaml",
            ) from error
        if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
            raise BadInput(
                f"Could not read the parameters in {path}.",
                "It is not a list of `name: value` lines.",
                "give a YAML file like params/example.yaml",
            )
        return cls.of({**values, **(changes or {})})


class _UniqueNames(yaml.SafeLoader):
    """YAML, in which a name that is given twice is an error: one value would be lost silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"given twice: {', '.join(sorted(twice))}", node.start_mark
            )
        return super().construct_mapping(node, deep)


def _fault(fault: Any) -> str:
    """One sentence: the parameter, what was given, what is accepted."""
    name = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{name} is not a parameter"
    if fault["type"] == "missing":
        return f"{name} is missing"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{name} = {fault['input']!r}: {message}" if name else message

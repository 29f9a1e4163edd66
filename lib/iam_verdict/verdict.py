"""What goes into a decision and what comes out of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from iam_verdict.documents import Document
from iam_verdict.principals import Principal

Decision = Literal["allowed", "explicitly denied", "implicitly denied", "depends"]

# What can decide, in the words of AWS's own messages.
Layer = Literal[
    "service control policy",
    "resource control policy",
    "VPC endpoint policy",
    "resource-based policy",
    "identity-based policy",
    "permissions boundary",
    "session policy",
    "root user",
    "Block Public Access",
]


@dataclass(frozen=True)
class Request:
    """What is asked, and what AWS knows of the asking.

    `context` holds the condition keys that AWS sets, all values as texts. A key that it does not
    hold is absent from the request; one that may or may not be there belongs in `unknown`.
    """

    principal: Principal
    action: str
    resource: str
    resource_account: str
    context: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Policies:
    """All policies that have a say in a request."""

    identity: Sequence[Document] = ()
    resource: Document | None = None
    endpoint: Document | None = None  # None: the request passes no VPC endpoint
    boundary: Document | None = None
    session: Sequence[Document] = ()
    organization: Sequence[Sequence[Document]] = ()  # service control policies, level by level
    resource_control: Sequence[Sequence[Document]] = ()  # those of the resource's account
    restrict_public_buckets: bool = False


@dataclass(frozen=True)
class StatementReference:
    """Where a statement stands: its policy's position in the layer, and its own in the policy."""

    layer: Layer
    policy: int
    index: int
    sid: str


@dataclass(frozen=True)
class Verdict:
    """Whether a request is allowed, and what decided that.

    `statement` is None where none decided: nothing allows, or root needs nothing that does.
    """

    decision: Decision
    layer: Layer
    action: str
    statement: StatementReference | None
    missing: frozenset[str]  # condition keys that were asked for and are absent
    depends_on: frozenset[str] = frozenset()  # unknown keys that the decision hangs on

    @property
    def allowed(self) -> bool:
        """Whether the request is allowed for sure."""
        return self.decision == "allowed"

    def reason(self) -> str:
        """The end of AWS's message "... is not authorized to perform ...", "" if it is allowed.

        Source: Amazon S3 User Guide, "Troubleshoot access denied (403 Forbidden) errors".
        """
        # S3 reports what Block Public Access forbids as a deny of the bucket policy.
        layer = "resource-based policy" if self.layer == "Block Public Access" else self.layer
        if self.decision == "explicitly denied":
            article = "an" if layer == "identity-based policy" else "a"
            return f"with an explicit deny in {article} {layer}"
        if self.decision == "implicitly denied":
            return f"because no {layer} allows the {self.action} action"
        return "depending on " + ", ".join(sorted(self.depends_on)) if self.depends_on else ""

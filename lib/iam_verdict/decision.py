"""The verdict on a request: what each layer of policies says, and what follows from that.

Source: IAM User Guide, "Policy evaluation logic" and "Cross-account policy evaluation logic".
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from iam_verdict.context import Context, Truth
from iam_verdict.documents import Document, Effect, Statement, parse
from iam_verdict.principals import Grant, Principal
from iam_verdict.public import public_statements
from iam_verdict.verdict import Decision, Layer, Policies, Request, StatementReference, Verdict

# What root of the owning account may do whatever its bucket policy denies.
# Source: Amazon S3 API Reference, PutBucketPolicy.
_ALWAYS_OPEN_TO_ROOT = ("s3:getbucketpolicy", "s3:putbucketpolicy", "s3:deletebucketpolicy")

# Policies that say whom they mean; the others are attached to who asks.
_NAMES_PRINCIPALS = ("resource control policy", "VPC endpoint policy", "resource-based policy")

# What neither kind of organization policy holds for.
# Source: AWS Organizations User Guide, "Service control policies", "Resource control policies".
_SERVICE_LINKED_ROLE = ":role/aws-service-role/"

_Outcome = tuple[Decision, Layer, StatementReference | None]


@dataclass(frozen=True)
class _Finding:
    """A statement that applies to the request, or may, depending on unknown keys."""

    statement: StatementReference
    effect: Effect
    grant: Grant
    applies: Truth


@dataclass(frozen=True)
class _Opinion:
    """What one policy layer has to say."""

    layer: Layer
    findings: Sequence[_Finding]

    def first(self, effect: Effect, grant: Grant | None = None) -> StatementReference | None:
        """The first statement of this effect that reaches the caller, if asked, in that way."""
        for finding in self.findings:
            if finding.effect == effect and grant in (None, finding.grant):
                return finding.statement
        return None

    def supposing(self, effect: Effect) -> "_Opinion":
        """The same if, of the statements in doubt, just those of this effect apply."""
        kept = [found for found in self.findings if found.applies is True or found.effect == effect]
        return _Opinion(self.layer, kept)


def decide(request: Request, policies: Policies) -> Verdict:
    """The verdict on a request.

    PolicyError if a policy has no clear meaning: a verdict is never a guess.
    """
    context = Context(request.context, request.unknown)
    opinions = list(_opinions(request, policies, context))
    depends_on = frozenset[str]()
    outcome = _outcome(request, [opinion.supposing("Allow") for opinion in opinions])
    if outcome[0] == "allowed" and (unknown := _unknown(opinions)):
        outcome = _outcome(request, [opinion.supposing("Deny") for opinion in opinions])
        if outcome[0] != "allowed":
            outcome = "depends", *outcome[1:]
            depends_on = unknown
    decision, layer, statement = outcome
    missing = frozenset(context.missing)
    return Verdict(decision, layer, request.action, statement, missing, depends_on)


def _unknown(opinions: Iterable[_Opinion]) -> frozenset[str]:
    truths = (finding.applies for opinion in opinions for finding in opinion.findings)
    return frozenset[str]().union(*(truth for truth in truths if not isinstance(truth, bool)))


def _opinions(request: Request, policies: Policies, context: Context) -> Iterator[_Opinion]:
    """What every layer says that has a say about this caller."""
    caller = request.principal
    has_policies = bool(caller.account) and caller.kind != "root"
    bounded = has_policies and policies.boundary is not None

    def opinion(layer: Layer, *documents: Document | None) -> _Opinion:
        given = [document for document in documents if document is not None]
        return _Opinion(layer, list(_findings(layer, given, request, context, bounded)))

    if _SERVICE_LINKED_ROLE not in caller.arn:
        for level in policies.organization if caller.account else ():
            yield opinion("service control policy", *level)
        for level in policies.resource_control:
            yield opinion("resource control policy", *level)
    if policies.endpoint is not None:
        yield opinion("VPC endpoint policy", policies.endpoint)
    yield opinion("resource-based policy", policies.resource)
    if has_policies:
        yield opinion("identity-based policy", *policies.identity)
        if policies.boundary is not None:
            yield opinion("permissions boundary", policies.boundary)
        if policies.session:
            yield opinion("session policy", *policies.session)
    if policies.restrict_public_buckets:
        yield _Opinion("Block Public Access", list(_restrictions(request, policies)))


def _findings(
    layer: Layer,
    documents: Iterable[Document],
    request: Request,
    context: Context,
    bounded: bool,
) -> Iterator[_Finding]:
    """The statements of a layer that are about the request and its principal."""
    names_principals = layer in _NAMES_PRINCIPALS
    for position, document in enumerate(documents):
        for statement in parse(document, names_principals).statements:
            grant: Grant | None = "direct"
            if statement.principals:
                grant = statement.principals.match(request.principal, bounded)
            if layer == "VPC endpoint policy" and grant == "account":
                continue  # there, an account stands for its root user alone
            if grant and (applies := statement.applies(request.action, request.resource, context)):
                reference = _reference(layer, position, statement)
                yield _Finding(reference, statement.effect, grant, applies)


def _restrictions(request: Request, policies: Policies) -> Iterator[_Finding]:
    """RestrictPublicBuckets: a public policy serves AWS services and the owning account only."""
    caller = request.principal
    if caller.kind != "service" and caller.account != request.resource_account:
        for statement in public_statements(policies.resource) if policies.resource else ():
            reference = _reference("Block Public Access", 0, statement)
            yield _Finding(reference, "Deny", "direct", True)


def _reference(layer: Layer, position: int, statement: Statement) -> StatementReference:
    return StatementReference(layer, position, statement.index, statement.sid)


def _is_open_to_root(request: Request) -> bool:
    owner = request.principal.account == request.resource_account
    is_policy_action = request.action.lower() in _ALWAYS_OPEN_TO_ROOT
    return request.principal.kind == "root" and owner and is_policy_action


def _outcome(request: Request, opinions: Sequence[_Opinion]) -> _Outcome:
    """What follows once it is settled which statements apply."""
    layers = {opinion.layer: opinion for opinion in opinions}
    restrictions = layers.get("Block Public Access")
    ignored = "resource-based policy" if _is_open_to_root(request) else None
    for opinion in opinions:
        decides = opinion.layer != ignored and opinion is not restrictions
        if decides and (denied := opinion.first("Deny")):
            return "explicitly denied", opinion.layer, denied
    for opinion in opinions:
        # Of resource control policies, RCPFullAWSAccess is always there, and allows everything.
        must_allow = opinion.layer in ("service control policy", "VPC endpoint policy")
        if must_allow and not opinion.first("Allow"):
            return "implicitly denied", opinion.layer, None
    outcome = _granted(request, layers)
    if outcome[0] == "allowed" and restrictions and (denied := restrictions.first("Deny")):
        return "explicitly denied", restrictions.layer, denied
    return outcome


def _granted(request: Request, layers: dict[Layer, _Opinion]) -> _Outcome:
    """What the sides that have to grant a request make of it, if nothing denies it."""
    bucket = layers["resource-based policy"]
    caller = request.principal
    if caller.account and caller.account == request.resource_account:
        if allowed := bucket.first("Allow", "direct"):
            return "allowed", "resource-based policy", allowed
        return _own_side(caller, layers, bucket.first("Allow", "role"))
    if caller.account:
        own_side = _own_side(caller, layers, None)
        if own_side[0] != "allowed":
            return own_side
    if allowed := bucket.first("Allow"):
        return "allowed", "resource-based policy", allowed
    return "implicitly denied", "resource-based policy", None


def _own_side(
    caller: Principal, layers: dict[Layer, _Opinion], to_role: StatementReference | None
) -> _Outcome:
    """What the caller's account grants it, together with what a bucket policy grants its role."""
    outcome: _Outcome
    if caller.kind == "root":
        return "allowed", "root user", None
    if allowed := layers["identity-based policy"].first("Allow"):
        outcome = "allowed", "identity-based policy", allowed
    elif to_role:
        outcome = "allowed", "resource-based policy", to_role
    else:
        return "implicitly denied", "identity-based policy", None
    limits: tuple[Layer, ...] = ("permissions boundary", "session policy")
    for limit in limits:
        if limit in layers and not layers[limit].first("Allow"):
            return "implicitly denied", limit, None
    return outcome

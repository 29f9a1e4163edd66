"""The layers: which policies have a say about whom, and which of them decides."""

from dataclasses import replace
from typing import Any

import pytest

from iam_verdict import FULL_ACCESS, Policies, PolicyError, Principal, decide
from tests.support.iam_requests import (
    BUCKET,
    OWNER,
    ROLE,
    SESSION,
    STRANGER,
    USER,
    allow,
    anonymous,
    cases,
    deny,
    log_delivery,
    policy,
    request,
    role_session,
    root,
    service_linked,
    strange_root,
    stranger,
    user,
)

EVERYTHING = policy(allow())
OTHER_ACTION = policy(allow(Action="s3:PutObject"))
DENIES = policy(allow(), deny())
OPEN = policy(allow(Principal="*"))
CLOSED = policy(deny(Principal="*"))
IDENTITY = Policies(identity=[EVERYTHING])


def to(*names: str) -> dict[str, Any]:
    return policy(allow(Principal={"AWS": list(names)}))


ALLOWED, EXPLICIT, IMPLICIT = "allowed", "explicitly denied", "implicitly denied"

LAYERS = [
    # who asks, under which policies: what is decided, and by which layer
    ("nothing allows", user, Policies(), IMPLICIT, "identity-based policy"),
    ("an identity policy is enough", user, IDENTITY, ALLOWED, "identity-based policy"),
    (
        "another action is not allowed",
        user,
        Policies(identity=[OTHER_ACTION]),
        IMPLICIT,
        "identity-based policy",
    ),
    (
        "a bucket policy is enough for a user",
        user,
        Policies(resource=to(USER)),
        ALLOWED,
        "resource-based policy",
    ),
    (
        "a bucket policy is enough for a role",
        role_session,
        Policies(resource=to(ROLE)),
        ALLOWED,
        "resource-based policy",
    ),
    (
        "a bucket policy is enough for a session",
        role_session,
        Policies(resource=to(SESSION)),
        ALLOWED,
        "resource-based policy",
    ),
    (
        "naming the account only delegates",
        user,
        Policies(resource=to(OWNER)),
        IMPLICIT,
        "identity-based policy",
    ),
    (
        "naming the account leaves it to identity policies",
        user,
        Policies(identity=[EVERYTHING], resource=to(OWNER)),
        ALLOWED,
        "identity-based policy",
    ),
    (
        "a deny of the identity policy wins",
        user,
        Policies(identity=[DENIES], resource=OPEN),
        EXPLICIT,
        "identity-based policy",
    ),
    (
        "a deny of the bucket policy wins",
        user,
        Policies(identity=[EVERYTHING], resource=CLOSED),
        EXPLICIT,
        "resource-based policy",
    ),
    (
        "a deny of the account reaches its users",
        user,
        Policies(identity=[EVERYTHING], resource=policy(deny(Principal={"AWS": OWNER}))),
        EXPLICIT,
        "resource-based policy",
    ),
    (
        "a deny of the boundary wins",
        user,
        Policies(resource=OPEN, boundary=DENIES),
        EXPLICIT,
        "permissions boundary",
    ),
    (
        "a deny of the session policy wins",
        role_session,
        Policies(resource=OPEN, session=[DENIES]),
        EXPLICIT,
        "session policy",
    ),
    # across accounts
    (
        "a stranger needs the bucket policy",
        stranger,
        IDENTITY,
        IMPLICIT,
        "resource-based policy",
    ),
    (
        "a stranger needs an identity policy",
        stranger,
        Policies(resource=OPEN),
        IMPLICIT,
        "identity-based policy",
    ),
    (
        "a stranger with both is allowed",
        stranger,
        Policies(identity=[EVERYTHING], resource=to(stranger.arn)),
        ALLOWED,
        "resource-based policy",
    ),
    (
        "a stranger may be let in by account",
        stranger,
        Policies(identity=[EVERYTHING], resource=to(STRANGER)),
        ALLOWED,
        "resource-based policy",
    ),
    (
        "a stranger stays within its boundary",
        stranger,
        Policies(identity=[EVERYTHING], resource=to(stranger.arn), boundary=OTHER_ACTION),
        IMPLICIT,
        "permissions boundary",
    ),
    # who has no identity policies
    ("anonymous needs the bucket policy", anonymous, IDENTITY, IMPLICIT, "resource-based policy"),
    (
        "anonymous is let in by a star",
        anonymous,
        Policies(resource=OPEN),
        ALLOWED,
        "resource-based policy",
    ),
    (
        "a service needs the bucket policy",
        log_delivery,
        IDENTITY,
        IMPLICIT,
        "resource-based policy",
    ),
    (
        "a service is let in by name",
        log_delivery,
        Policies(resource=policy(allow(Principal={"Service": log_delivery.service}))),
        ALLOWED,
        "resource-based policy",
    ),
    # permissions boundary and session policy
    (
        "a boundary narrows identity policies",
        user,
        Policies(identity=[EVERYTHING], boundary=OTHER_ACTION),
        IMPLICIT,
        "permissions boundary",
    ),
    (
        "a boundary grants nothing",
        user,
        Policies(boundary=EVERYTHING),
        IMPLICIT,
        "identity-based policy",
    ),
    (
        "a boundary leaves what the bucket grants a user",
        user,
        Policies(resource=to(USER), boundary=OTHER_ACTION),
        ALLOWED,
        "resource-based policy",
    ),
    (
        "a boundary narrows what the bucket grants a role",
        role_session,
        Policies(resource=to(ROLE), boundary=OTHER_ACTION),
        IMPLICIT,
        "permissions boundary",
    ),
    (
        "a boundary leaves what the bucket grants a session",
        role_session,
        Policies(resource=to(SESSION), boundary=OTHER_ACTION),
        ALLOWED,
        "resource-based policy",
    ),
    (
        "a boundary leaves what the bucket grants everyone",
        role_session,
        Policies(resource=OPEN, boundary=OTHER_ACTION),
        ALLOWED,
        "resource-based policy",
    ),
    (
        "a session policy narrows identity policies",
        role_session,
        Policies(identity=[EVERYTHING], session=[OTHER_ACTION]),
        IMPLICIT,
        "session policy",
    ),
    (
        "a session policy narrows what the bucket grants a role",
        role_session,
        Policies(resource=to(ROLE), session=[OTHER_ACTION]),
        IMPLICIT,
        "session policy",
    ),
    (
        "one of several session policies is enough",
        role_session,
        Policies(identity=[EVERYTHING], session=[OTHER_ACTION, EVERYTHING]),
        ALLOWED,
        "identity-based policy",
    ),
    # VPC endpoint policy
    (
        "an endpoint policy must allow as well",
        user,
        Policies(identity=[EVERYTHING], endpoint=policy(allow(Principal="*", Action="s3:Put*"))),
        IMPLICIT,
        "VPC endpoint policy",
    ),
    (
        "the default endpoint policy allows all",
        user,
        Policies(identity=[EVERYTHING], endpoint=FULL_ACCESS),
        ALLOWED,
        "identity-based policy",
    ),
    (
        "an endpoint policy grants nothing",
        user,
        Policies(endpoint=FULL_ACCESS),
        IMPLICIT,
        "identity-based policy",
    ),
    (
        "an endpoint policy's deny wins",
        user,
        Policies(identity=[EVERYTHING], endpoint=CLOSED),
        EXPLICIT,
        "VPC endpoint policy",
    ),
    (
        "an account in an endpoint policy is not its users",
        user,
        Policies(identity=[EVERYTHING], endpoint=to(OWNER)),
        IMPLICIT,
        "VPC endpoint policy",
    ),
    (
        "an account in an endpoint policy is its root",
        root,
        Policies(endpoint=to(OWNER)),
        ALLOWED,
        "root user",
    ),
    (
        "an endpoint policy holds for anonymous",
        anonymous,
        Policies(resource=OPEN, endpoint=to(ROLE)),
        IMPLICIT,
        "VPC endpoint policy",
    ),
    # service control policies
    (
        "every level of the organization must allow",
        user,
        Policies(identity=[EVERYTHING], organization=[[EVERYTHING], [OTHER_ACTION]]),
        IMPLICIT,
        "service control policy",
    ),
    (
        "one policy of a level is enough",
        user,
        Policies(identity=[EVERYTHING], organization=[[OTHER_ACTION, EVERYTHING]]),
        ALLOWED,
        "identity-based policy",
    ),
    (
        "a level without policies allows nothing",
        root,
        Policies(organization=[[]]),
        IMPLICIT,
        "service control policy",
    ),
    (
        "service control policies do not hold for services",
        log_delivery,
        Policies(resource=OPEN, organization=[[DENIES]]),
        ALLOWED,
        "resource-based policy",
    ),
    # resource control policies
    (
        "a resource control policy's deny wins",
        user,
        Policies(identity=[EVERYTHING], resource_control=[[CLOSED]]),
        EXPLICIT,
        "resource control policy",
    ),
    (
        "a resource control policy of any level denies",
        user,
        Policies(identity=[EVERYTHING], resource_control=[[OPEN], [OPEN, CLOSED]]),
        EXPLICIT,
        "resource control policy",
    ),
    (
        "a resource control policy need not allow",
        user,
        Policies(
            identity=[EVERYTHING],
            resource_control=[[], [policy(deny(Action="s3:Put*", Principal="*"))]],
        ),
        ALLOWED,
        "identity-based policy",
    ),
    (
        "a resource control policy grants nothing",
        user,
        Policies(resource_control=[[OPEN]]),
        IMPLICIT,
        "identity-based policy",
    ),
    (
        "a resource control policy holds for anonymous",
        anonymous,
        Policies(resource=OPEN, resource_control=[[CLOSED]]),
        EXPLICIT,
        "resource control policy",
    ),
    (
        "a resource control policy holds for services",
        log_delivery,
        Policies(resource=OPEN, resource_control=[[CLOSED]]),
        EXPLICIT,
        "resource control policy",
    ),
    (
        "a resource control policy does not hold for service-linked roles",
        service_linked,
        Policies(identity=[EVERYTHING], resource_control=[[CLOSED]]),
        ALLOWED,
        "identity-based policy",
    ),
    (
        "a service control policy does not hold for service-linked roles",
        service_linked,
        Policies(identity=[EVERYTHING], organization=[[DENIES]]),
        ALLOWED,
        "identity-based policy",
    ),
    # root
    ("root needs no policy", root, Policies(), ALLOWED, "root user"),
    (
        "the bucket policy may deny root",
        root,
        Policies(resource=CLOSED),
        EXPLICIT,
        "resource-based policy",
    ),
    (
        "another account's root needs the bucket policy",
        strange_root,
        Policies(),
        IMPLICIT,
        "resource-based policy",
    ),
    (
        "another account's root may be let in",
        strange_root,
        Policies(resource=to(STRANGER)),
        ALLOWED,
        "resource-based policy",
    ),
    # Block Public Access
    (
        "a public policy restricted is closed to strangers",
        stranger,
        Policies(identity=[EVERYTHING], resource=OPEN, restrict_public_buckets=True),
        EXPLICIT,
        "Block Public Access",
    ),
    (
        "a public policy restricted is closed to anonymous",
        anonymous,
        Policies(resource=OPEN, restrict_public_buckets=True),
        EXPLICIT,
        "Block Public Access",
    ),
    (
        "a public policy restricted is open to the owner",
        user,
        Policies(resource=OPEN, restrict_public_buckets=True),
        ALLOWED,
        "resource-based policy",
    ),
    (
        "a public policy restricted is open to services",
        log_delivery,
        Policies(resource=OPEN, restrict_public_buckets=True),
        ALLOWED,
        "resource-based policy",
    ),
    (
        "a public policy restricted denies what another layer allows not",
        stranger,
        Policies(resource=OPEN, restrict_public_buckets=True),
        IMPLICIT,
        "identity-based policy",
    ),
    (
        "a policy that is not public is not restricted",
        stranger,
        Policies(identity=[EVERYTHING], resource=to(STRANGER), restrict_public_buckets=True),
        ALLOWED,
        "resource-based policy",
    ),
]


@pytest.mark.parametrize(("principal", "policies", "decision", "layer"), cases(LAYERS))
def test_layers(principal: Principal, policies: Policies, decision: str, layer: str) -> None:
    verdict = decide(request(principal), policies)
    assert (verdict.decision, verdict.layer) == (decision, layer)
    assert verdict.allowed == (decision == ALLOWED)


@pytest.mark.parametrize("action", [f"s3:{verb}BucketPolicy" for verb in ("Get", "Put", "Delete")])
def test_owning_root_repairs_the_bucket_policy_whatever_it_denies(action: str) -> None:
    asked = request(root, action, BUCKET)
    locked = Policies(resource=policy(allow(Principal="*"), deny(Principal="*")))
    assert decide(asked, locked).allowed
    assert not decide(
        replace(asked, principal=user), replace(locked, identity=[EVERYTHING])
    ).allowed
    assert not decide(replace(asked, principal=strange_root), locked).allowed
    assert decide(asked, replace(locked, endpoint=CLOSED)).layer == "VPC endpoint policy"
    assert decide(asked, replace(locked, organization=[[DENIES]])).layer == "service control policy"
    controlled = decide(asked, replace(locked, resource_control=[[CLOSED]]))
    assert controlled.layer == "resource control policy"


REASONS = [
    ("with an explicit deny in an identity-based policy", Policies(identity=[DENIES])),
    ("with an explicit deny in a resource-based policy", Policies(resource=CLOSED)),
    ("with an explicit deny in a VPC endpoint policy", Policies(endpoint=CLOSED)),
    ("with an explicit deny in a resource control policy", Policies(resource_control=[[CLOSED]])),
    ("because no identity-based policy allows the s3:GetObject action", Policies()),
    (
        "because no VPC endpoint policy allows the s3:GetObject action",
        Policies(endpoint=to(USER)),
    ),
    ("", IDENTITY),
]


@pytest.mark.parametrize(("reason", "policies"), REASONS, ids=[row[0] or "none" for row in REASONS])
def test_reason_reads_as_aws_writes_it(reason: str, policies: Policies) -> None:
    assert decide(request(), policies).reason() == reason


def test_block_public_access_reads_as_a_deny_of_the_bucket_policy() -> None:
    verdict = decide(request(anonymous), Policies(resource=OPEN, restrict_public_buckets=True))
    assert verdict.reason() == "with an explicit deny in a resource-based policy"


def test_verdict_names_the_deciding_statement() -> None:
    identity = [OTHER_ACTION, policy(allow(Action="s3:Put*"), deny(Sid="NoReading"))]
    statement = decide(request(), Policies(identity=identity)).statement
    assert statement is not None
    assert (statement.layer, statement.policy) == ("identity-based policy", 1)
    assert (statement.index, statement.sid) == (1, "NoReading")


def test_verdict_names_the_organization_before_others_that_deny() -> None:
    policies = Policies(identity=[DENIES], organization=[[DENIES]], resource=CLOSED)
    assert decide(request(), policies).layer == "service control policy"


def test_verdict_names_the_keys_that_were_asked_for_and_are_absent() -> None:
    condition = {"StringEquals": {"aws:A": "1", "aws:B": "2"}, "Null": {"aws:C": "false"}}
    put = allow(Action="s3:PutObject", Condition={"Bool": {"aws:D": "true"}})
    other = allow(Resource=BUCKET, Condition={"Bool": {"aws:E": "true"}})
    identity = policy(allow(Condition=condition), put, other)
    verdict = decide(request(context={"aws:a": "1"}), Policies(identity=[identity]))
    assert verdict.missing == {"aws:B", "aws:C"}


FENCE = {"StringNotEquals": {"aws:PrincipalOrgID": "o-1"}}
UNKNOWN = frozenset({"aws:principalorgid"})


def test_verdict_depends_on_an_unknown_key_of_a_deny() -> None:
    policies = Policies(
        identity=[EVERYTHING], resource=policy(deny(Principal="*", Condition=FENCE))
    )
    verdict = decide(request(unknown=UNKNOWN), policies)
    assert (verdict.decision, verdict.layer) == ("depends", "resource-based policy")
    assert not verdict.allowed
    assert verdict.depends_on == {"aws:PrincipalOrgID"}
    assert verdict.reason() == "depending on aws:PrincipalOrgID"


def test_verdict_depends_on_an_unknown_key_of_an_allow() -> None:
    policies = Policies(identity=[policy(allow(Condition=FENCE))])
    assert decide(request(unknown=UNKNOWN), policies).decision == "depends"


def test_verdict_depends_on_an_unknown_variable() -> None:
    policies = Policies(identity=[policy(allow(Resource="arn:aws:s3:::reports/${aws:username}"))])
    verdict = decide(request(unknown=frozenset({"aws:username"})), policies)
    assert (verdict.decision, verdict.depends_on) == ("depends", {"aws:username"})


@pytest.mark.parametrize(
    ("policies", "decision"),
    cases(
        [
            (
                "another statement allows",
                Policies(identity=[policy(allow(Condition=FENCE), allow())]),
                ALLOWED,
            ),
            (
                "another layer denies",
                Policies(identity=[policy(allow(Condition=FENCE))], resource=CLOSED),
                EXPLICIT,
            ),
            (
                "nothing allows anyway",
                Policies(identity=[policy(deny(Condition=FENCE))]),
                IMPLICIT,
            ),
            (
                "another condition fails",
                Policies(
                    identity=[policy(allow(), deny(Condition=FENCE | {"Bool": {"aws:X": "true"}}))]
                ),
                ALLOWED,
            ),
        ]
    ),
)
def test_unknown_key_does_not_matter_if(policies: Policies, decision: str) -> None:
    verdict = decide(request(unknown=UNKNOWN), policies)
    assert (verdict.decision, verdict.depends_on) == (decision, frozenset())


@pytest.mark.parametrize(
    "policies",
    cases(
        [
            ("an identity policy with a Principal", Policies(identity=[OPEN])),
            ("a bucket policy without", Policies(resource=EVERYTHING)),
            ("an endpoint policy without", Policies(endpoint=EVERYTHING)),
            ("a resource control policy without", Policies(resource_control=[[EVERYTHING]])),
            ("a service control policy with a Principal", Policies(organization=[[OPEN]])),
            ("a session policy with a Principal", Policies(session=[OPEN])),
            ("a boundary with a Principal", Policies(boundary=OPEN)),
        ]
    ),
)
def test_policy_in_the_wrong_layer_is_an_error(policies: Policies) -> None:
    with pytest.raises(PolicyError, match=r"Statement\[0\]: Principal"):
        decide(request(), policies)

"""What can be wrong with the policies of a role."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from rehearsal.symptoms.ground import BUCKET_ARN, OTHER_BUCKET, Ground, Undo

Statement = dict[str, Any]

_OBJECTS_ARN, _OPERATOR = f"{BUCKET_ARN}/*", "operator"
_LOOKS = ("s3:Get", "s3:List")


def swap_arns(ground: Ground) -> Undo:
    """Listing is allowed on the objects, reading and writing on the bucket: neither works."""
    swapped = {BUCKET_ARN: _OBJECTS_ARN, _OBJECTS_ARN: BUCKET_ARN}

    def rewrite(statement: Statement) -> list[Statement]:
        resources = _listed(statement["Resource"])
        return [{**statement, "Resource": [swapped.get(one, one) for one in resources]}]

    return _rewrite(ground, rewrite)


def take_list_away(ground: Ground) -> Undo:
    """The role may read and write the bucket's objects, and not list them."""

    def rewrite(statement: Statement) -> list[Statement]:
        actions, resources = _listed(statement["Action"]), _listed(statement["Resource"])
        if "s3:ListBucket" not in actions:
            return [statement]
        others = [action for action in actions if action != "s3:ListBucket"]
        elsewhere = [one for one in resources if one not in (BUCKET_ARN, _OBJECTS_ARN)]
        kept = [(others, resources), (["s3:ListBucket"], elsewhere)]
        return [{**statement, "Action": a, "Resource": r} for a, r in kept if a and r]

    return _rewrite(ground, rewrite)


def let_operator_see_other_bucket(ground: Ground) -> Undo:
    """What the operator may see of the bucket, of the one in another Region too: it is in use."""
    seen = [
        {**statement, "Resource": f"arn:aws:s3:::{OTHER_BUCKET}"}
        for _, document in _policies(ground, _OPERATOR)
        for statement in document["Statement"]
        if BUCKET_ARN in _listed(statement["Resource"])
        and all(action.startswith(_LOOKS) for action in _listed(statement["Action"]))
    ]
    return _add_policy(ground, _OPERATOR, "see-the-other-bucket", seen)


def let_operator_delete_routes(ground: Ground) -> Undo:
    """Who tries it by hand may: it is the route that cannot be deleted."""
    statement = {"Effect": "Allow", "Action": "ec2:DeleteRoute", "Resource": "*"}
    return _add_policy(ground, _OPERATOR, "edit-routes-by-hand", [statement])


def let_instance(ground: Ground, name: str, statement: Statement) -> Undo:
    """Gives app-1's role one more policy."""
    return _add_policy(ground, ground.role, name, [statement])


def _add_policy(ground: Ground, role: str, name: str, statements: list[Statement]) -> Undo:
    iam, named = ground.iam, {"RoleName": role, "PolicyName": name}
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_role_policy(**named, PolicyDocument=document)
    return lambda: iam.delete_role_policy(**named)


def _policies(ground: Ground, role: str) -> Iterator[tuple[str, Any]]:
    """The inline policies of a role, by name."""
    for name in ground.iam.list_role_policies(RoleName=role)["PolicyNames"]:
        found = ground.iam.get_role_policy(RoleName=role, PolicyName=name)
        yield name, found["PolicyDocument"]


def _rewrite(ground: Ground, rewrite: Callable[[Statement], list[Statement]]) -> Undo:
    """Every statement about the bucket, in the policies of app-1's own role, becomes others."""
    role, before = ground.role, {}
    for name, document in _policies(ground, role):
        statements = [
            new
            for one in document["Statement"]
            for new in (rewrite(one) if _is_about_bucket(one) else [one])
        ]
        if statements != document["Statement"]:
            before[name] = document
            _put(ground, role, name, {**document, "Statement": statements})

    def undo() -> None:
        for name, document in before.items():
            _put(ground, role, name, document)

    return undo


def _put(ground: Ground, role: str, name: str, document: Any) -> None:
    text = json.dumps(document)
    ground.iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=text)


def _is_about_bucket(statement: Statement) -> bool:
    named = {BUCKET_ARN, _OBJECTS_ARN}
    return statement["Effect"] == "Allow" and not named.isdisjoint(_listed(statement["Resource"]))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

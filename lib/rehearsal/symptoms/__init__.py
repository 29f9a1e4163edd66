"""Breaks the open path of app-1 in each of the known ways, and shows how that looks.

The account is changed by its root, through the same API that everybody uses.
"""

from __future__ import annotations

from collections.abc import Callable

from rehearsal import Account
from rehearsal.symptoms import bucket, endpoint, keys, network, roles
from rehearsal.symptoms.catalogue import SYMPTOMS, Symptom
from rehearsal.symptoms.ground import Ground, Undo
from rehearsal.symptoms.seeing import command, see

__all__ = ["SYMPTOMS", "Symptom", "Undo", "command", "open_path", "plant", "see"]


def _nothing(ground: Ground) -> Undo:
    """For what is wrong with the command itself, or with what it asks for."""
    return lambda: None


_PLANTS: dict[str, Callable[[Ground], Undo]] = {
    "no-route": network.take_table_from_endpoint,
    "security-group": network.narrow_security_group,
    "network-acl": network.let_no_answers_back,
    "global-host-name": _nothing,
    "other-region": roles.let_operator_see_other_bucket,
    "no-dns": network.turn_off_dns,
    "longer-prefix": network.route_around_endpoint,
    "second-endpoint": _nothing,
    "route-by-hand": roles.let_operator_delete_routes,
    "source-ip": bucket.pin_to_office,
    "wrong-endpoint-id": bucket.pin_to_unknown_endpoint,
    "stale-endpoint-id": bucket.pin_to_deleted_endpoint,
    "endpoint-policy": endpoint.allow_other_bucket_only,
    "aws-buckets": endpoint.allow_own_bucket_only,
    "not-managed": network.remove_management_endpoint,
    "only-s3": _nothing,
    "wrong-arns": roles.swap_arns,
    "head-without-reason": roles.take_list_away,
    "kms-key": keys.pin_key_to_endpoint,
    "public-policy": _nothing,
    "services-denied": bucket.forget_services,
    "deny-never-fires": bucket.deny_never,
}


def open_path(account: Account) -> Undo:
    """The working state: app-1 lists, reads and writes its bucket through a gateway endpoint.

    The endpoint is made on the route table of app-1's subnet, unless that has one already.
    """
    return network.open_path(Ground(account))


def plant(account: Account, name: str) -> Undo:
    """Breaks the open path in the way of this name; what comes back puts it right again.

    Several are undone from the last to the first. KeyError: no symptom has this name, or it is one
    that cannot be planted. LookupError: the path is not open.
    """
    return _PLANTS[name](Ground(account))

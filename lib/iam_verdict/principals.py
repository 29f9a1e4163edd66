"""Who asks, and whom a statement names."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["role-session", "user", "root", "service", "anonymous"]

# How a statement reaches a principal: by its own name or `*`; through its role, within what
# permissions boundary and session policy leave; or through its account, which only delegates.
Grant = Literal["direct", "role", "account"]

_ROOT = re.compile(r"arn:[^:]+:iam::(\d{12}):root")
_NAMED = re.compile(r"arn:[^:*?]+:(iam|sts)::[^:*?]+:[^*?]+|[A-Z0-9]{16,}")


@dataclass(frozen=True)
class Principal:
    """Who asks."""

    kind: Kind
    arn: str = ""  # aws:PrincipalArn: of the role for its sessions; "" for service and anonymous
    session_arn: str = ""  # arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION; the role has no path
    account: str = ""  # twelve digits; "" for service and anonymous
    service: str = ""  # "logging.s3.amazonaws.com"

    def __post_init__(self) -> None:
        has = (bool(self.arn), bool(self.account), bool(self.service))
        apart = {"service": (False, False, True), "anonymous": (False, False, False)}
        if has != apart.get(self.kind, (True, True, False)):
            raise ValueError(f"{self} lacks what its kind has, or has what its kind lacks.")


@dataclass(frozen=True)
class Principals:
    """Whom a Principal or NotPrincipal element names.

    Sources: IAM User Guide, "AWS JSON policy elements: Principal" and "... NotPrincipal".
    """

    everyone: bool
    names: frozenset[str]  # ARNs, unique ids, services
    accounts: frozenset[str]
    federated: bool  # names a federated identity, none of which is a Principal here
    negated: bool

    def match(self, principal: Principal, bounded: bool) -> Grant | None:
        """How the element reaches the principal, None if it does not.

        `bounded` says that the principal has a permissions boundary: NotPrincipal spares no such.
        """
        if self.negated:
            return None if not bounded and self._spares(principal) else "direct"
        if self.everyone or principal.session_arn in self.names or principal.service in self.names:
            return "direct"
        if principal.arn in self.names:
            return "role" if principal.kind == "role-session" else "direct"
        if principal.account in self.accounts:
            return "direct" if principal.kind == "root" else "account"
        return None

    def _spares(self, principal: Principal) -> bool:
        """AWS may check the account, the role and the session in turn: all must be listed."""
        if self.everyone or principal.kind == "anonymous":
            return self.everyone
        if principal.kind == "service":
            return principal.service in self.names
        own = {principal.arn, principal.session_arn} - {""}
        return principal.account in self.accounts and (
            principal.kind == "root" or own <= self.names
        )


def principals(named: Mapping[str, Iterable[str]], negated: bool) -> Principals:
    """The principals of an element, by type: {"AWS": [...], "Service": [...]}.

    ValueError: a type or a name that is none.
    """
    if unknown := sorted(named.keys() - {"AWS", "Service", "Federated", "CanonicalUser"}):
        raise ValueError(f'unknown type of principal "{unknown[0]}"')
    names, accounts = set(named.get("Service", ())), set()
    everyone = False
    for name in named.get("AWS", ()):
        if name == "*":
            everyone = True
        elif account := _ROOT.fullmatch(name) or re.fullmatch(r"(\d{12})", name):
            accounts.add(account[1])
        elif _NAMED.fullmatch(name):
            names.add(name)
        else:
            raise ValueError(f'"{name}" is no principal')
    return Principals(
        everyone, frozenset(names), frozenset(accounts), "Federated" in named, negated
    )

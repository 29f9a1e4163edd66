"""Who may sign requests: root with its one key, and the sessions of roles."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from moto.iam.models import iam_backends
from moto.sts.models import STSBackend, sts_backends

from iam_verdict import Principal
from rehearsal.signature import SignatureError

_A_WEEK = 7 * 24 * 3600  # a rehearsal may go on for days; its keys die with it
_ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@dataclass(frozen=True)
class Caller:
    """Who signed a request. `instance_id` is set if an instance got the keys from its metadata."""

    principal: Principal
    user_id: str = "anonymous"
    access_key: str = ""
    secret_key: str = ""
    token: str | None = None
    instance_id: str | None = None

    @property
    def arn(self) -> str:
        """The ARN as AWS names the caller in its messages."""
        return self.principal.session_arn or self.principal.arn or "anonymous"

    def environment(self) -> dict[str, str]:
        """The environment variables that make the AWS CLI and SDKs sign as this caller."""
        keys = {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}
        return keys | ({"AWS_SESSION_TOKEN": self.token} if self.token else {})


ANONYMOUS = Caller(Principal("anonymous"))


class Callers:
    """Every caller of the account, by access key."""

    def __init__(self, account_id: str, region: str) -> None:
        self._account_id, self._region = account_id, region
        self._instances: dict[str, str] = {}
        self._sts: STSBackend = sts_backends[account_id]["aws"]
        self.root = Caller(
            Principal("root", f"arn:aws:iam::{account_id}:root", account=account_id),
            account_id,
            _access_key("AKIA"),
            secrets.token_urlsafe(30),
        )

    def find(self, access_key: str) -> Caller:
        """The caller who holds this key; SignatureError if nobody does."""
        if access_key == self.root.access_key:
            return self.root
        session = self._sts.get_assumed_role_from_access_key(access_key)
        if session is None:
            raise SignatureError(
                "InvalidClientTokenId", "The security token included in the request is invalid."
            )
        return self._caller(session)

    def sign_in(self, role: str, session_name: str) -> Caller:
        """A new session of a role."""
        return self._caller(self._assume(role, session_name, _A_WEEK))

    def credentials(self, role: str, instance_id: str) -> dict[str, str]:
        """New credentials of a role for an instance, in the form of its metadata service."""
        session = self._assume(role, instance_id, 6 * 3600)
        self._instances[session.access_key_id] = instance_id
        return {
            "AccessKeyId": session.access_key_id,
            "SecretAccessKey": session.secret_access_key,
            "Token": session.session_token,
            "Expiration": session.expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def _assume(self, role: str, session_name: str, duration: int) -> Any:
        arn = iam_backends[self._account_id]["aws"].get_role(role).arn
        return self._sts.assume_role(self._region, session_name, arn, "", duration, "")

    def _caller(self, session: Any) -> Caller:
        return Caller(
            Principal("role-session", session.role_arn, session.arn, self._account_id),
            session.user_id,
            session.access_key_id,
            session.secret_access_key,
            session.session_token,
            self._instances.get(session.access_key_id),
        )


def _access_key(prefix: str) -> str:
    return prefix + "".join(secrets.choice(_ID_LETTERS) for _ in range(16))


def _draw_keys(original: Callable[..., Any]) -> Callable[..., Any]:
    """moto draws keys from a generator that can be foretold; these open a running account."""

    def assume_role(self: STSBackend, *args: Any, **kwargs: Any) -> Any:
        session = original(self, *args, **kwargs)
        session.access_key_id = _access_key("ASIA")
        session.secret_access_key = secrets.token_urlsafe(30)
        session.session_token = secrets.token_urlsafe(200)
        return session

    return assume_role


STSBackend.assume_role = _draw_keys(STSBackend.assume_role)

"""The instance metadata service, version 2 only."""

import json
import secrets
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from werkzeug.wrappers import Request, Response

from rehearsal.network import Host

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_LONGEST = 21600  # seconds that a token may live


class Metadata:
    """The WSGI application of one instance's metadata service."""

    def __init__(
        self, host: Callable[[], Host], credentials: Callable[[str], dict[str, str]]
    ) -> None:
        self._host, self._credentials = host, credentials
        self._tokens: dict[str, float] = {}

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        request = Request(environ)
        return self._answer(request)(environ, start_response)

    def _answer(self, request: Request) -> Response:
        if request.method == "PUT" and request.path == "/latest/api/token":
            return self._token(request)
        token = request.headers.get("X-aws-ec2-metadata-token", "")
        if self._tokens.get(token, 0) < time.monotonic():
            return Response("Unauthorized", 401)
        if request.method != "GET":
            return Response("Method Not Allowed", 405)
        text = self._read(request.path.removeprefix("/latest/"))
        return Response("Not Found", 404) if text is None else Response(text)

    def _token(self, request: Request) -> Response:
        header = "X-aws-ec2-metadata-token-ttl-seconds"
        seconds = request.headers.get(header, "")
        if "X-Forwarded-For" in request.headers:
            return Response("Forbidden", 403)
        if not seconds.isdecimal() or not 1 <= int(seconds) <= _LONGEST:
            return Response("Bad Request", 400)
        token = secrets.token_urlsafe(40)
        self._tokens[token] = time.monotonic() + int(seconds)
        return Response(token, headers={header: seconds})

    def _read(self, path: str) -> str | None:
        host = self._host()
        if path == "meta-data/iam/security-credentials/" + host.role and host.role:
            return self._role_credentials(host)
        values = {
            "meta-data/ami-id": host.image_id,
            "meta-data/instance-id": host.instance_id,
            "meta-data/instance-type": host.instance_type,
            "meta-data/local-hostname": host.name,
            "meta-data/local-ipv4": host.private_ip,
            "meta-data/placement/availability-zone": host.availability_zone,
            "meta-data/placement/region": host.region,
            "dynamic/instance-identity/document": _json(identity_document(host)),
        }
        if host.role:
            values["meta-data/iam/security-credentials/"] = host.role
            values["meta-data/iam/info"] = _json(
                {
                    "Code": "Success",
                    "LastUpdated": _now(),
                    "InstanceProfileArn": host.profile_arn,
                    "InstanceProfileId": host.profile_id,
                }
            )
        return values.get(path) or values.get(path + "/") or _folder(path, values)

    def _role_credentials(self, host: Host) -> str | None:
        try:
            keys = self._credentials(host.instance_id)
        except KeyError:
            return None
        return _json({"Code": "Success", "LastUpdated": _now(), "Type": "AWS-HMAC", **keys})


def identity_document(host: Host) -> dict[str, str | None]:
    """What the instance may show to others about itself (unsigned here)."""
    return {
        "accountId": host.account_id,
        "architecture": host.architecture,
        "availabilityZone": host.availability_zone,
        "imageId": host.image_id,
        "instanceId": host.instance_id,
        "instanceType": host.instance_type,
        "pendingTime": host.launched,
        "privateIp": host.private_ip,
        "region": host.region,
        "version": "2017-09-30",
    }


def _folder(path: str, values: Iterable[str]) -> str | None:
    """The names below a folder, one a line, as the service lists them."""
    folder = path.rstrip("/") + "/" if path else ""
    below = [value.removeprefix(folder) for value in values if value.startswith(folder)]
    names = {name.partition("/")[0] + ("/" if "/" in name else "") for name in below}
    return "\n".join(sorted(names)) or None


def _json(value: object) -> str:
    return json.dumps(value, indent=2)


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"

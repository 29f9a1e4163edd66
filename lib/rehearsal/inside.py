"""boto3 on the account without a network: for whoever works in the account's own process."""

import io
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config

from rehearsal.callers import Caller
from rehearsal.front import Front
from rehearsal.network import OUTSIDE, Position


class _Body(io.BytesIO):
    """A body as urllib3 would have read it."""

    def stream(self, **_: Any) -> Any:
        return iter([self.read()])


def session(front: Front, caller: Caller, region: str, position: Position = OUTSIDE) -> Any:
    """A boto3 session of a caller at a position, whose calls go straight to the front."""

    def send(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        answer: list[Any] = []
        body = b"".join(front(_environ(request, position), lambda *start: answer.extend(start)))
        status, headers = answer
        return AWSResponse(
            request.url, int(status.split()[0]), HTTPHeaders.from_pairs(headers), _Body(body)
        )

    made = boto3.Session(caller.access_key, caller.secret_key, caller.token, region)
    made.events.register("before-send", send)  # type: ignore[arg-type]
    return made


def client(made: Any, service: str, region: str | None = None) -> Any:
    """A client of such a session."""
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "virtual"})
    return made.client(service, region, config=config)


def _environ(request: AWSPreparedRequest, position: Position) -> dict[str, Any]:
    url = urlsplit(request.url)
    target = url.path + (f"?{url.query}" if url.query else "")
    body = request.body or b""
    body = body.read() if hasattr(body, "read") else body
    body = body.encode() if isinstance(body, str) else body
    environ = {
        "REQUEST_METHOD": request.method,
        "RAW_URI": target,
        "PATH_INFO": unquote(url.path),
        "QUERY_STRING": url.query,
        "SERVER_NAME": url.hostname,
        "SERVER_PORT": "443",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": url.netloc,
        "wsgi.url_scheme": url.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.version": (1, 0),
        "rehearsal.position": position,
    }
    for name, value in request.headers.items():
        key = name.upper().replace("-", "_")
        text = value.decode() if isinstance(value, bytes) else str(value)
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = text
    return {**environ, "CONTENT_LENGTH": str(len(body))}

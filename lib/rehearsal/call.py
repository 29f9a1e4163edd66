"""One request to the account: what is asked of which service, and how to answer in its protocol."""

import io
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote
from xml.sax.saxutils import escape

from botocore.exceptions import DataNotFoundError
from moto.core.request import Request
from moto.core.routing import NotFound, get_service_router

from rehearsal.callers import ANONYMOUS, Caller
from rehearsal.network import OUTSIDE, Position
from rehearsal.signature import Signature, SignatureError

Environ = dict[str, Any]
Answer = tuple[int, list[tuple[str, str]], bytes]

_S3_HOST = re.compile(
    r"((?P<bucket>.+)\.)?s3[.-](dualstack\.)?((?P<region>[a-z]{2}-[a-z]+-\d)\.)?amazonaws\.com"
)
_READS = ("Describe", "Get", "List", "Head", "Lookup", "AssumeRole", "Validate", "Check")
# Services whose API model has another name than they sign with.
_MODELS = {"access-analyzer": "accessanalyzer"}


class Refused(Exception):
    """An answer that is an error of AWS: `status`, `code`, `message` and more `headers`."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(code, message)
        self.status, self.code, self.message = status, code, message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass
class Call:
    """One request, read once; `url` is as the client signed it, `target` as S3 is asked by path."""

    environ: Environ
    method: str
    url: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    signature: Signature | None
    service: str
    region: str
    request_id: str
    position: Position
    operation: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    bucket: str = ""
    key: str = ""
    caller: Caller = ANONYMOUS
    dropped: bool = False  # its connection ends instead of an answer
    actions: list[str] = field(default_factory=list)  # of IAM, that it was judged by

    @classmethod
    def read(cls, environ: Environ, request_id: str, home_region: str) -> "Call":
        """The request in a WSGI environment; what it asks is read once it is known who asks."""
        headers = {
            name.removeprefix("HTTP_").replace("_", "-").lower(): value
            for name, value in environ.items()
            if name.startswith("HTTP_") or name in ("CONTENT_TYPE", "CONTENT_LENGTH")
        }
        host = headers.get("host", "").partition(":")[0]
        target = environ.get("RAW_URI") or quote(environ.get("PATH_INFO", "/"))
        if "RAW_URI" not in environ and environ.get("QUERY_STRING"):
            target += "?" + environ["QUERY_STRING"]
        url = f"{environ['wsgi.url_scheme']}://{headers.get('host', '')}{target}"
        authorization = headers.get("authorization")
        signature = None
        with suppress(SignatureError):  # a garbled one is refused once it is known for what
            signature = Signature.read(authorization) if authorization else None
        # Only S3 is open to callers who do not sign.
        service = signature.service if signature else "s3"
        region = signature.region if signature else home_region
        if service == "s3" and (s3_host := _S3_HOST.fullmatch(host)):
            region = s3_host["region"] or "us-east-1"
            if s3_host["bucket"]:
                target = f"/{s3_host['bucket']}{target}"
        return cls(
            environ,
            environ["REQUEST_METHOD"],
            url,
            target,
            headers,
            _body(environ, headers),
            signature,
            service,
            region,
            request_id,
            environ.get("rehearsal.position", OUTSIDE),
        )

    def read_operation(self) -> None:
        """Finds out what is asked, the way the service's protocol says it."""
        if target := self.headers.get("x-amz-target"):
            self.operation = target.rpartition(".")[2]
            with suppress(ValueError):
                self.parameters = json.loads(self.body or b"{}")
        elif self._is_form:
            form = self.body.decode(errors="replace")
            self.parameters = dict(parse_qsl(form, keep_blank_values=True))
            self.operation = self.parameters.get("Action", "")
        else:
            self._route()

    def _route(self) -> None:
        """Finds out what is asked by method and path, as S3 and other REST services say it."""
        path, _, query = self.target.partition("?")
        self.parameters = dict(parse_qsl(query, keep_blank_values=True))
        if self.service == "s3":
            self.bucket, _, key = path[1:].partition("/")
            self.key = unquote(key)
        try:
            router = get_service_router(_MODELS.get(self.service, self.service))
            operation, _ = router.match(Request(self.moto_environ()))
        except (NotFound, NotImplementedError, DataNotFoundError):
            return
        self.operation = operation.name

    def moto_environ(self) -> Environ:
        """The environment in which moto is asked: it finds the Region by the Host header."""
        path, _, query = self.target.partition("?")
        return {
            **self.environ,
            "HTTP_HOST": f"{self.service}.{self.region}.amazonaws.com",
            "RAW_URI": self.target,
            "REQUEST_URI": self.target,
            "PATH_INFO": unquote(path, "latin-1"),
            "QUERY_STRING": query,
            "wsgi.input": io.BytesIO(self.body),
            "CONTENT_LENGTH": str(len(self.body)),
            "HTTP_TRANSFER_ENCODING": "",
        }

    @property
    def _is_form(self) -> bool:
        kind = self.headers.get("content-type", "")
        return kind.startswith("application/x-www-form-urlencoded")

    @property
    def is_write(self) -> bool:
        """Whether the operation changes the account, by its name."""
        return not self.operation.startswith(_READS)

    @property
    def is_dry_run(self) -> bool:
        """Whether it only asks whether it would be allowed."""
        return self.parameters.get("DryRun") == "true"

    @property
    def name(self) -> str:
        """The operation, for notes and faults: a dry run is another thing than the write."""
        return f"{self.operation} (dry run)" if self.is_dry_run else self.operation

    def items(self, name: str) -> list[str]:
        """The values of a list parameter."""
        if isinstance(values := self.parameters.get(name), list):
            return values
        return [value for key, value in self.parameters.items() if _is_item(key, name)]

    def error(self, refused: Refused) -> Answer:
        """The answer that makes the AWS CLI and SDKs raise this error."""
        code, message = escape(refused.code), escape(refused.message)
        content_type = "text/xml"
        if self.service == "s3":
            content_type = "application/xml"
            body = (
                f"<Error><Code>{code}</Code><Message>{message}</Message>"
                f"<Resource>{escape(self.target.partition('?')[0])}</Resource>"
                f"<RequestId>{self.request_id}</RequestId></Error>"
            )
        elif self.service == "ec2":
            body = (
                f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error>"
                f"</Errors><RequestID>{self.request_id}</RequestID></Response>"
            )
        elif self._is_form:
            body = (
                f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code>"
                f"<Message>{message}</Message></Error>"
                f"<RequestId>{self.request_id}</RequestId></ErrorResponse>"
            )
        else:
            content_type = "application/x-amz-json-1.1"
            body = json.dumps({"__type": refused.code, "message": refused.message})
        headers = {
            "Content-Type": content_type,
            "x-amzn-ErrorType": refused.code,
            **refused.headers,
        }
        # The answer to HEAD has no body, so that its reason stays unknown, as on AWS.
        return refused.status, [*headers.items()], b"" if self.method == "HEAD" else body.encode()


def _is_item(key: str, name: str) -> bool:
    """Whether a key of a form is an item of the list: `VpcEndpointId.1` of `VpcEndpointId`."""
    return re.fullmatch(rf"{name}\.\d+", key) is not None


def _body(environ: Environ, headers: Mapping[str, str]) -> bytes:
    if environ.get("wsgi.input_terminated"):
        return bytes(environ["wsgi.input"].read())
    length = headers.get("content-length", "")
    return bytes(environ["wsgi.input"].read(int(length) if length.isdecimal() else 0))

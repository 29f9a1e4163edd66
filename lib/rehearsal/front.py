"""The account's one door: every request is identified, judged, answered by moto, and noted."""

import hmac
import io
import json
import re
import socket
import struct
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from http import HTTPStatus
from itertools import count
from threading import RLock
from typing import Any

from moto.backend_index import backend_url_patterns
from moto.ec2.exceptions import EC2ClientError
from moto.moto_server.werkzeug_app import create_backend_app

from rehearsal.access import Access
from rehearsal.access_logs import AccessLogs
from rehearsal.acts import Acts
from rehearsal.call import Answer, Call, Environ, Refused
from rehearsal.callers import ANONYMOUS, Callers
from rehearsal.faults import Faults
from rehearsal.lags import Lags
from rehearsal.signature import SignatureError
from rehearsal.trail import Trail

CONTROL = "/_rehearsal/"
_REQUEST_ID = re.compile(rb"(<[rR]equestI[dD]>)[^<]*")

# How it shows that nobody can do what the one who started the account asks for.
_IMPOSSIBLE = (TypeError, ValueError, LookupError, EC2ClientError)
# Query strings with a signature, of version 4 or 2.
_SIGNED_QUERY = re.compile(r"[?&](X-Amz-Algorithm|X-Amz-Signature|Signature)=")
# The objects of a request for many that its caller may not have.
DENIED_OBJECTS: ContextVar[frozenset[str]] = ContextVar("denied_objects", default=frozenset())


class Front:
    """The WSGI application that the operator's door and the instances' doors serve.

    `lock` is held while moto is asked, and by everyone else who reads moto's state.
    """

    def __init__(self, account_id: str, region: str) -> None:
        self._region = region
        self.lock = RLock()
        self.callers = Callers(account_id, region)
        self.access = Access(account_id, region)
        self.trail, self.access_logs = Trail(account_id), AccessLogs(account_id)
        self._acts, self._lags = Acts(account_id, region, self.trail), Lags(account_id)
        self.faults = Faults(self.act)
        self.secret = ""
        self.people: dict[str, str] = {}  # names by access key, for the notes
        self.calls: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self.after_write: Callable[[], None] = lambda: None
        self.let_in: Callable[[], dict[str, str]] = dict
        self.services: dict[str, Callable[[Call], Answer]] = {}  # what moto does not have
        self._numbers = count(1)

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """The answer to one request, whoever it is from."""
        if environ.get("PATH_INFO", "").startswith(CONTROL):
            status, headers, body = self._control(environ)
        else:
            status, headers, body = self._serve(environ)
        start_response(f"{status} {HTTPStatus(status).phrase}", headers)
        return [body]

    def _serve(self, environ: Environ) -> Answer:
        started = time.monotonic()
        request_id = f"{next(self._numbers):032x}"
        refused: Refused | None = None
        call = Call.read(environ, request_id, self._region)
        try:
            answer = self._answer(call)
        except Refused as refusal:
            refused = refusal
        except NotImplementedError as error:
            refused = Refused(501, "NotImplemented", str(error) or f"{call.operation} is missing.")
        except Exception as error:
            # A fault of the emulator must never look like an answer of AWS, or like silence.
            self.errors.append(traceback.format_exc())
            refused = Refused(500, "InternalError", f"The rehearsal account failed: {error!r}")
        if refused:
            answer = call.error(refused)
        status, headers, body = answer
        code = refused.code if refused else _error_code(headers, body) if status >= 300 else None
        self.trail.note(call, status, code, refused.message if refused else "", len(body))
        self.access_logs.note(call, status, code, len(body))
        if call.dropped:
            self._note(call, 0, "dropped", started)
            _reset(environ)
            raise ConnectionResetError  # the handler then says nothing more
        headers += [("x-amzn-RequestId", request_id), ("x-amz-request-id", request_id)]
        self._note(call, status, code, started)
        return status, headers, body

    def _answer(self, call: Call) -> Answer:
        self._identify(call)
        call.read_operation()
        if not call.operation:
            raise NotImplementedError(f"{call.method} {call.target} is not implemented.")
        late = self.faults.strike(call, self._who(call))
        with self.lock:
            with self._lags.judging(call):
                denied = self.access.check(call)
            if call.operation.startswith("ListObjects"):
                self._deliver(call.bucket)
            with self._lags.writing(call, late), self._lags.reading(call):
                status, headers, body = self._carry_out(call, denied)
            arrived = self._lags.count(call, status, body)
            if arrived or (call.is_write and status < 300):
                self.after_write()
        return status, headers, body

    def _deliver(self, bucket: str) -> None:
        """Puts the logs into a bucket that somebody looks into: nobody sees them before."""
        if bucket == self.trail.bucket:
            self.trail.deliver()
        self.access_logs.deliver(bucket)

    def _carry_out(self, call: Call, denied: frozenset[str]) -> Answer:
        token = DENIED_OBJECTS.set(denied)
        try:
            return self.services.get(call.service, self._ask_moto)(call)
        finally:
            DENIED_OBJECTS.reset(token)

    def act(self, act: str, **on: Any) -> None:
        """Lets AWS, or somebody else, do something to the account."""
        with self.lock:
            self._acts.act(act, **on)
            self.after_write()

    def _unplant(self) -> None:
        """No fault is planted any more, and nothing is late."""
        self.faults.unplant()
        with self.lock:
            self._lags.arrive()
            self.after_write()

    def _who(self, call: Call) -> str:
        return self.people.get(call.caller.access_key, call.caller.arn)

    def _identify(self, call: Call) -> None:
        """Finds the caller by a signature that holds; who does not sign is anonymous."""
        signature = call.signature
        if signature is None and "authorization" in call.headers:
            message = "The authorization mechanism you have provided is not supported."
            raise Refused(400, "InvalidRequest", message)
        if signature is None and _SIGNED_QUERY.search(call.target):
            raise NotImplementedError("A signature in the query (a presigned URL) is not emulated.")
        if signature is None:
            call.caller = ANONYMOUS
            return
        try:
            caller = self.callers.find(signature.access_key)
            signature.check(
                caller.secret_key, caller.token, call.method, call.url, call.headers, call.body
            )
        except SignatureError as error:
            code = error.code
            if call.service == "s3" and code == "InvalidClientTokenId":
                code = "InvalidAccessKeyId"
            if call.service == "ec2":
                code = "AuthFailure"
            raise Refused(403, code, error.message) from error
        call.caller = caller

    def _ask_moto(self, call: Call) -> Answer:
        answer: dict[str, Any] = {}

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
            answer.update(status=int(status.split()[0]), headers=headers)

        body = b"".join(_moto_app(call.service)(call.moto_environ(), start_response))
        headers = [h for h in answer["headers"] if not h[0].lower().endswith("requestid")]
        kind = dict(headers).get("Content-Type", "")
        if body and answer["status"] >= 400 and kind.startswith("text/html"):
            raise NotImplementedError(f"{call.operation} is not implemented.")
        if call.service != "s3":
            # moto writes the same id into each; a journal needs one that finds the call again.
            body = _REQUEST_ID.sub(rb"\g<1>" + call.request_id.encode(), body)
            headers = [h for h in headers if h[0].lower() != "content-length"]
            headers.append(("Content-Length", str(len(body))))
        return answer["status"], headers, body

    def _note(self, call: Call, status: int, code: str | None, started: float) -> None:
        self.calls.append(
            {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "milliseconds": round((time.monotonic() - started) * 1000, 1),
                "who": self._who(call),
                "service": call.service,
                "region": call.region,
                "operation": call.name,
                "status": status,
                "error": code,
                "source_ip": call.position.source_ip,
                "endpoint_id": call.position.endpoint_id,
                "instance_id": call.position.instance_id,
                "request_id": call.request_id,
                "write": call.is_write and not call.is_dry_run,
                "actions": sorted({*call.actions}),
            }
        )

    def _control(self, environ: Environ) -> Answer:
        """What only the one who started the account may ask of it."""
        secret = environ.get("HTTP_X_REHEARSAL_SECRET", "")
        if not self.secret or not hmac.compare_digest(secret.encode(), self.secret.encode()):
            return 403, [], b"{}"
        name = environ["PATH_INFO"].removeprefix(CONTROL)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        asked = json.loads(body or b"{}")
        answers: dict[str, Callable[[], Any]] = {
            "calls": lambda: self.calls,
            "errors": lambda: self.errors,
            "plant": lambda: self.faults.plant(**asked),
            "unplant": self._unplant,
            "act": lambda: self.act(**asked),
            "ssh": lambda: self.let_in(),
        }
        if name not in answers:
            return 404, [], b"{}"
        try:
            answer = json.dumps(answers[name]())
        except _IMPOSSIBLE as error:
            return 400, [], json.dumps(str(error)).encode()
        return 200, [("Content-Type", "application/json")], answer.encode()


def _reset(environ: Environ) -> None:
    """Makes the connection of a request end with a reset, once its handler closes it."""
    connection = environ.get("werkzeug.socket")
    if connection:  # a caller within this process has none
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with suppress(OSError):  # the client has left meanwhile
            connection.shutdown(socket.SHUT_RD)  # lest the handler wait for the next request


@cache
def _moto_app(service: str) -> Any:
    """moto's own application for a service; NotImplementedError if it has none."""
    url = f"http://{service}.us-east-1.amazonaws.com"
    for name, pattern in backend_url_patterns:
        if pattern.match(url):
            return create_backend_app(name)
    raise NotImplementedError(f"The service {service} is not implemented.")


def _error_code(headers: list[tuple[str, str]], body: bytes) -> str | None:
    """The code of an error answer, wherever its protocol puts it."""
    named = {name.lower(): value for name, value in headers}.get("x-amzn-errortype")
    if named:
        return named
    text = body.decode(errors="replace")
    if "<Code>" in text:
        return text.partition("<Code>")[2].partition("<")[0]
    return str(json.load(io.StringIO(text)).get("__type")) if text.startswith("{") else None

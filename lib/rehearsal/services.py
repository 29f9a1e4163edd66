"""What an instance finds at the end of its connections, and the threads that answer there."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from dnslib import DNSError
from werkzeug.serving import WSGIRequestHandler
from werkzeug.wrappers import Response

from rehearsal.network import Outlook
from rehearsal.resolver import answer, s3_region
from rehearsal.tls import Authority

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_PATIENCE = 120  # seconds that a client may stay silent
# A client that goes away, or does not speak TLS, is no fault of ours.
_CLIENT_LEFT = (ConnectionError, TimeoutError, ssl.SSLError)

Failures = list[BaseException]


@dataclass
class Services:
    """The far side of one instance; the outlook is replaced when the network changes."""

    outlook: Outlook
    app: "WSGIApplication"
    metadata: "WSGIApplication"
    authority: Authority
    failures: Failures

    def serve(self, connection: socket.socket, destination: tuple[str, int] | None = None) -> None:
        """Answers as the host at the destination: the one the packets really went to."""
        address, port = destination or connection.getsockname()[:2]
        context = self.authority.context if port == 443 else None

        def host(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
            return self._host(address, port, environ)(environ, start)

        speak(connection, host, context, self.failures)

    def serve_metadata(self, connection: socket.socket) -> None:
        """Answers as the instance metadata service."""
        speak(connection, self.metadata, None, self.failures)

    def answer(self, query: bytes) -> bytes:
        """Answers as the VPC's resolver."""
        return answer(query, self.outlook)

    def _host(self, address: str, port: int, environ: "WSGIEnvironment") -> "WSGIApplication":
        position = self.outlook.position(address, port)
        if position is None:
            # The way was closed meanwhile. The handler then says nothing more, as a drop would be.
            raise ConnectionAbortedError
        environ["rehearsal.position"] = position
        environ["REMOTE_ADDR"] = position.source_ip
        name = environ.get("HTTP_HOST", "").partition(":")[0].lower()
        region = s3_region(name)
        if region and self.outlook.is_s3(address, region):
            return self.app
        return Response(f"This is {name or address}, a stand-in for a host of the internet.\n")


class Gate:
    """A listening socket, the thread that accepts, and a thread for each connection."""

    def __init__(
        self,
        listener: socket.socket,
        serve: Callable[[socket.socket], None],
        failures: Failures,
    ) -> None:
        self._listener, self._serve, self._failures = listener, serve, failures
        self._closed = False
        _in_thread(self._accept, failures)

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        """Accepts no more."""
        self._closed = True
        hang_up(self._listener)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                if self._closed:
                    return
                raise
            _in_thread(partial(self._answer, connection), self._failures)

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(*_CLIENT_LEFT):
            connection.settimeout(_PATIENCE)
            self._serve(connection)


def answer_queries(
    resolver: socket.socket, reply: Callable[[bytes], bytes], failures: Failures
) -> None:
    """Answers every datagram that comes, until the socket is hung up."""

    def loop() -> None:
        while True:
            try:
                query, client = resolver.recvfrom(4096)
            except OSError:
                if resolver.fileno() < 0:  # hung up
                    return
                raise
            with suppress(DNSError):  # what is no query gets no answer
                resolver.sendto(reply(query), client)

    _in_thread(loop, failures)


def hang_up(listener: socket.socket) -> None:
    """Closes a socket on which another thread waits; closing alone would not wake it."""
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def _in_thread(work: Callable[[], None], failures: Failures) -> None:
    """Starts the work; how it fails is kept, because to the instance it looks like a drop."""

    def keep_failure() -> None:
        try:
            work()
        except BaseException as failure:
            failures.append(failure)

    threading.Thread(target=keep_failure, daemon=True).start()


@dataclass
class _Server:
    """The little that werkzeug's handler asks of its server."""

    app: "WSGIApplication"
    ssl_context: ssl.SSLContext | None
    server_address: tuple[str, int]
    failures: Failures
    multithread: bool = True
    multiprocess: bool = False
    passthrough_errors: bool = False

    def log(self, level: str, message: str, *_: object) -> None:
        """Keeps what went wrong while a request was answered; the client gets a 500."""
        self.failures.append(RuntimeError(message))


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "Rehearsal"

    def version_string(self) -> str:
        return self.server_version

    def handle_expect_100(self) -> bool:
        return True  # run_wsgi says it

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


def speak(
    connection: socket.socket,
    app: "WSGIApplication",
    context: ssl.SSLContext | None,
    failures: Failures,
) -> None:
    """Answers the requests of one connection. The TLS handshake is made here, in its thread."""
    address = connection.getsockname()[:2]
    if context:
        connection = context.wrap_socket(connection, server_side=True)
    with connection:
        _Handler(connection, address, cast(Any, _Server(app, context, address, failures)))

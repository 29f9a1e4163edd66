"""Instances where the kernel offers no namespaces: scripts are asked to go through a proxy.

The proxy lets through what the VPC lets through, and is silent where packets would be dropped.
What these instances are not: a program that ignores the proxy sees the machine's own network, all
see its files, and a process that leaves the group of its script outlives it. The proxy and the
metadata service listen on this machine, but serve only who knows a secret: the password of the
one, a part of the address of the other.
"""

import base64
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Response

from rehearsal.processes import Completed, Processes, environment
from rehearsal.resolver import lookup
from rehearsal.services import Gate, Services, speak
from rehearsal.temporary import Folder

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_NOBODY = 65534
_METADATA = ("169.254.169.254", 80)
_REQUEST = re.compile(
    rb"(?:(?P<connect>CONNECT) |[A-Z]+ http://)(?P<name>[^\s:/]+)(?::(?P<port>\d+))?[\s/]"
)
# Waits at standard input for the end of the lab, however it comes about.
_SCRIPT_OF_THE_LAB = """exec 3<&0 </dev/null
({ read -r _; kill -KILL 0; } <&3 >/dev/null 2>&1 &)
exec 3<&-
exec sh -c "$1"
"""


@cache
def user_of_scripts() -> dict[str, Any]:
    """How to start a script as nobody; as this user if it is an ordinary one already."""
    if os.getuid() != 0:
        return {}
    nobody: dict[str, Any] = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
    try:
        subprocess.run([sys.executable, "-c", ""], check=True, cwd="/", **nobody)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PermissionError(
            "Could not run a script as an ordinary user, and will not run one as root.\n"
            f"{sys.executable} cannot be started by user {_NOBODY}: {error}\n"
            "Next: start the rehearsal as an ordinary user, or put Python and this project where "
            "every user can read them."
        ) from None
    return nobody


class PortableInstance:
    """One running instance, from what it finds at the end of its connections."""

    def __init__(self, services: Services, processes: Processes) -> None:
        self._services, self._processes = services, processes
        self._as_user = user_of_scripts()
        self._secret = secrets.token_urlsafe(16)
        self._metadata = self._gate(self._serve_metadata)
        self._proxy = self._gate(self._serve_proxy)
        self._folder = Folder("rehearsal-")
        self._folder.path.chmod(0o755)
        self._bundle = self._folder.path / "ca-bundle.pem"
        self._bundle.write_text(services.authority.bundle)
        self._bundle.chmod(0o644)

    def update(self) -> None:
        """Nothing to do: the proxy looks at the outlook for each connection."""

    def run(self, script: str, timeout: float) -> Completed:
        """Runs `sh` with the script as a child process that is asked to use the proxy."""
        proxy = f"http://instance:{self._secret}@127.0.0.1:{self._proxy.port}"
        names = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
        with tempfile.TemporaryDirectory(dir=self._folder.path, ignore_cleanup_errors=True) as home:
            Path(home).chmod(0o1777)
            variables = environment(
                home=home,
                bundle=str(self._bundle),
                AWS_EC2_METADATA_SERVICE_ENDPOINT=(
                    f"http://127.0.0.1:{self._metadata.port}/{self._secret}"
                ),
                **dict.fromkeys(names, proxy),
                **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1"),
            )
            process = self._processes.start(
                ["sh", "-c", _SCRIPT_OF_THE_LAB, "sh", script],
                variables,
                stdin=self._folder.ends,
                cwd=home,
                **self._as_user,
            )
            return self._processes.wait(process, timeout)

    def close(self) -> None:
        """Ends the listening and the scripts, and removes their files."""
        self._metadata.close()
        self._proxy.close()
        self._folder.close()

    def _gate(self, serve: Any) -> Gate:
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        return Gate(listener, serve, self._services.failures)

    def _serve_metadata(self, connection: socket.socket) -> None:
        speak(connection, self._guarded_metadata, None, self._services.failures)

    def _guarded_metadata(
        self, environ: "WSGIEnvironment", start: "StartResponse"
    ) -> Iterable[bytes]:
        """The metadata service below the secret path, which no other user of the machine knows."""
        secret, _, path = environ["PATH_INFO"].removeprefix("/").partition("/")
        if not secrets.compare_digest(secret.encode(), self._secret.encode()):
            return Response("Not Found", 404)(environ, start)
        return self._services.metadata({**environ, "PATH_INFO": f"/{path}"}, start)

    def _serve_proxy(self, connection: socket.socket) -> None:
        """Makes one connection of the instance, as its own network would have made it."""
        head = _peek_head(connection)
        request = _REQUEST.match(head)
        if not request:
            return connection.sendall(_status("400 Bad Request"))
        if not self._authorized(head):
            return connection.sendall(_status("407 Proxy Authentication Required"))
        connect, port = request["connect"], int(request["port"] or 80)
        address = lookup(request["name"].decode(), self._services.outlook)
        if address is None:
            return connection.sendall(_status("502 The name does not resolve"))
        if (address, port) == _METADATA and not connect:
            return self._services.serve_metadata(connection)
        if self._services.outlook.position(address, port) is None:
            return _wait_for_end(connection)
        if connect:
            connection.recv(len(head))
            connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self._services.serve(connection, (address, port))

    def _authorized(self, head: bytes) -> bool:
        wanted = base64.b64encode(f"instance:{self._secret}".encode())
        given = re.search(rb"(?i)\r\nproxy-authorization: *basic +(\S+)", head)
        return given is not None and secrets.compare_digest(given[1], wanted)


def _peek_head(connection: socket.socket) -> bytes:
    """The head of the next request, which stays to be read: whoever serves it needs it too."""
    while True:
        seen = connection.recv(65536, socket.MSG_PEEK)
        end = seen.find(b"\r\n\r\n")
        if end >= 0:
            return seen[: end + 4]
        if not seen or len(seen) == 65536:
            raise ConnectionAbortedError("no request")
        time.sleep(0.01)


def _wait_for_end(connection: socket.socket) -> None:
    """Stays silent, as a dropped packet is, until the client gives up."""
    connection.settimeout(None)
    while connection.recv(65536):
        pass


def _status(line: str) -> bytes:
    return f"HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()

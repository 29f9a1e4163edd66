"""Instances as Linux namespaces: what runs on one sees its network, its files and its processes."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from rehearsal.cable import Cable, inside
from rehearsal.network import SSH
from rehearsal.processes import Completed, Processes, environment
from rehearsal.sandbox import CLONE_NEWNET, CLONE_NEWPID, CLONE_NEWUSER, call, map_user
from rehearsal.services import Gate, Services, answer_queries, hang_up
from rehearsal.ssh import Server, Ssh

_SANDBOX = (sys.executable, "-I", "-S", str(Path(__file__).with_name("sandbox.py")))
_BUNDLE = "etc/ca-bundle.pem"
_PATIENCE, _LONGEST_SESSION = 5, 3600  # seconds
# The operator's /etc stays out of sight, so what programs need to find names is said here.
_FILES = {
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/passwd": "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/home:/bin/sh\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
}


def enter() -> None:
    """Moves this process, while it has one thread, to where it may make network namespaces.

    It gets one for itself too: no mistake made here can touch the machine's network.
    """
    user, group = os.getuid(), os.getgid()
    try:
        call("unshare", CLONE_NEWNET)
    except PermissionError:  # an ordinary user: root in a user namespace of its own
        call("unshare", CLONE_NEWUSER | CLONE_NEWNET)
        map_user(0, user, group)


class NamespaceInstance:
    """One running instance, from its outlook and what it finds at the end of its connections."""

    def __init__(self, services: Services, processes: Processes) -> None:
        self._services, self._processes = services, processes
        self._cable = cable = Cable(services.outlook.host)
        failures = services.failures
        self._gates = [
            Gate(cable.listen(443), services.serve, failures),
            Gate(cable.listen(80), services.serve, failures),
            Gate(cable.listen_metadata(), services.serve_metadata, failures),
        ]
        self._resolvers = cable.bind_resolvers()
        for resolver in self._resolvers:
            answer_queries(resolver, services.answer, failures)

    def update(self) -> None:
        """Makes the routes of the kernel those of the outlook."""
        positions = self._services.outlook.positions
        self._cable.let_through({key: way is not None for key, way in positions.items()})

    def run(self, script: str, timeout: float) -> Completed:
        """Runs `sh` with the script as nobody, in the instance's namespaces."""
        return inside(self._cable.instance, lambda: self._run(["sh", "-c", script], timeout))

    def let_in(self, ssh: Ssh) -> None:
        """Opens its port 22, where each connection gets an sshd of its own."""
        variables = environment(home="/home", bundle=f"/{_BUNDLE}")
        server = ssh.server(self._services.outlook.host.instance_id, variables)

        def serve(connection: socket.socket) -> None:
            connection.settimeout(None)
            inside(self._cable.instance, lambda: self._serve_ssh(server, connection))

        listener = inside(self._cable.instance, lambda: socket.create_server(("", SSH)))
        self._gates.append(Gate(listener, serve, self._services.failures))

    def connect(self, port: int) -> socket.socket:
        """A connection to one of its ports, made where it is."""
        address = (self._services.outlook.host.private_ip, port)
        return inside(self._cable.instance, lambda: socket.create_connection(address, _PATIENCE))

    def close(self) -> None:
        """Ends the listening; the namespaces end with the last socket and process in them."""
        for gate in self._gates:
            gate.close()
        for resolver in self._resolvers:
            hang_up(resolver)
        self._cable.close()

    def _serve_ssh(self, server: Server, connection: socket.socket) -> None:
        """Serves one connection to its end; that ends all that was started by it."""
        with connection:
            self._run(
                server.command,
                _LONGEST_SESSION,
                stdin=connection.fileno(),
                files=server.files,
                private=server.private,
            )

    def _run(
        self,
        command: Sequence[str],
        timeout: float,
        *,
        stdin: int = subprocess.DEVNULL,
        files: Mapping[str, str] = MappingProxyType({}),
        private: Mapping[str, str] = MappingProxyType({}),
    ) -> Completed:
        call("unshare", CLONE_NEWPID)  # for the next child: when it ends, all it started ends
        errors, told = os.pipe()
        secret, hidden = os.pipe()
        with os.fdopen(hidden, "w") as pipe:
            json.dump(dict(private), pipe)  # a pipe holds it
        with os.fdopen(errors) as pipe:
            try:
                process = self._processes.start(
                    [*_SANDBOX, self._settings(told, secret, files), *command],
                    environment(home="/home", bundle=f"/{_BUNDLE}"),
                    stdin=stdin,
                    pass_fds=(told, secret),
                )
            finally:
                os.close(told)
                os.close(secret)
            completed = self._processes.wait(process, timeout)
            if trouble := pipe.read():
                raise RuntimeError(
                    f"The sandbox of {self._services.outlook.host.instance_id} failed.\n{trouble}"
                )
            return completed

    def _settings(self, errors: int, private: int, files: Mapping[str, str]) -> str:
        host = self._services.outlook.host
        python = Path(sys.executable).resolve().parent.parent
        resolver = f"nameserver {host.resolver}\noptions timeout:2 attempts:1\n"
        return json.dumps(
            {
                "errors": errors,
                "private": private,
                "hostname": host.name.partition(".")[0],
                "visible": sorted({sys.prefix, sys.base_prefix, str(python)}),
                "files": {
                    **_FILES,
                    **files,
                    "etc/resolv.conf": resolver,
                    _BUNDLE: self._services.authority.bundle,
                },
            }
        )

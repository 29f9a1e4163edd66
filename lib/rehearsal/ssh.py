"""The operator's way onto instances by OpenSSH: a door, and what sshd and ssh have to know.

The door stands for an EC2 Instance Connect Endpoint: it listens on this machine only, serves only
who knows its secret, and leads to port 22 of an instance if a security group lets that in. All keys
are new for each account; they and the secret are in a folder of this user alone, and in no argument
of a program.
"""

import hmac
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rehearsal.services import Failures, Gate
from rehearsal.temporary import Folder

_TUNNEL = Path(__file__).with_name("tunnel.py")
_USER = "nobody"
_FOLDER = "etc/ssh"
_LONGEST_GREETING, _PATIENCE = 256, 10
_CONFIGURATION = """\
HostKey /{folder}/host_key
AuthorizedKeysFile /{folder}/authorized_keys
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
AllowUsers {user}
DisableForwarding yes
PermitTTY no
PermitUserRC no
UseDNS no
MaxSessions 1
LoginGraceTime 20
PidFile none
SetEnv {variables}
"""
_CLIENT = """\
# How OpenSSH reaches the instances of one rehearsal account, by their ids.
Host i-*
    User {user}
    IdentityFile "{folder}/operator"
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile "{folder}/known_hosts"
    GlobalKnownHostsFile /dev/null
    ProxyCommand {tunnel} %h
"""


class NoSsh(OSError):
    """There is no way by ssh here; in three lines."""

    def __init__(self, reason: str, following: str) -> None:
        attempted = "Could not open a way by ssh onto the instances of the rehearsal account."
        super().__init__(f"{attempted}\n{reason}\nNext: {following}")


@dataclass(frozen=True)
class Server:
    """What the sshd of one instance is started with: its program, and its files by path.

    `private` files are for its user alone.
    """

    command: tuple[str, ...]
    files: Mapping[str, str]
    private: Mapping[str, str]


def program(mode: str) -> str:
    """The sshd of this machine; raises NoSsh where there is none, or nowhere to run it."""
    if mode != "namespace":
        raise NoSsh(
            "Its instances have no network of their own here: it is in portable mode.",
            "use Linux with namespaces, or set check_by to ssm or manual",
        )
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"
    missing = [name for name in ("sshd", "ssh-keygen") if not shutil.which(name, path=path)]
    if missing:
        raise NoSsh(
            f"There is no {' and no '.join(missing)} on this machine.",
            "install OpenSSH with its server (Debian: openssh-server), or set check_by to ssm or "
            "manual",
        )
    found = shutil.which("sshd", path=path)
    assert found
    return str(Path(found).resolve())


class Ssh:
    """The door, and the configuration with which OpenSSH comes through it: `configuration`."""

    def __init__(
        self,
        program: str,
        door: socket.socket,
        connect: Callable[[str], socket.socket | None],
        failures: Failures,
    ) -> None:
        """`connect` gives a connection to port 22 of an instance, None if that is dropped, and
        raises KeyError if it is not running."""
        self._program, self._connect = program, connect
        self._folder = Folder("rehearsal-ssh-")
        folder = self._folder.path
        self._secret = secrets.token_urlsafe(30)
        self._write("door", f"{door.getsockname()[1]} {self._secret}\n")
        self._operator = self._new_key("operator")[1]
        self._known = folder / "known_hosts"
        self._write("known_hosts", "")
        tunnel = [sys.executable, "-I", "-S", str(_TUNNEL), str(folder / "door")]
        text = _CLIENT.format(
            user=_USER, folder=_escaped(folder), tunnel=_escaped(shlex.join(tunnel))
        )
        self.configuration = str(self._write("config", text))
        Gate(door, self._serve, failures)

    def server(self, instance_id: str, variables: Mapping[str, str]) -> Server:
        """What a new sshd of an instance is started with, and what it lets programs find set.

        The operator knows its key from now on.
        """
        private, public = self._new_key(instance_id)
        (self._folder.path / instance_id).unlink()
        with self._known.open("a") as file:
            file.write(f"{instance_id} {public}\n")
        text = _CONFIGURATION.format(
            folder=_FOLDER,
            user=_USER,
            variables=" ".join(f'"{name}={value}"' for name, value in variables.items()),
        )
        files = {f"{_FOLDER}/sshd_config": text, f"{_FOLDER}/authorized_keys": self._operator}
        # As inetd starts it: its connection is its standard input, and its output too.
        command = [self._program, "-i", "-e", "-f", f"/{_FOLDER}/sshd_config"]
        return Server(
            ("sh", "-c", f"exec {shlex.join(command)} >&0"),
            files,
            {f"{_FOLDER}/host_key": private},
        )

    def close(self) -> None:
        """Removes the keys; the door is there for whoever serves the account next."""
        self._folder.close()

    def _serve(self, connection: socket.socket) -> None:
        """Lets in who says the secret and the id of an instance, one line, before all else."""
        connection.settimeout(_PATIENCE)
        said = _line(connection).split(" ")
        secret, instance_id = (*said, "")[:2]
        if not hmac.compare_digest(secret.encode(), self._secret.encode()):
            return
        try:
            instance = self._connect(instance_id)
        except KeyError:
            return connection.sendall(b"-")
        connection.settimeout(None)
        if instance is None:
            while connection.recv(65536):  # silent, as dropped packets are
                pass
            return
        with instance:
            instance.settimeout(None)  # a script may be silent for long
            connection.sendall(b"+")
            _join(connection, instance)

    def _new_key(self, name: str) -> tuple[str, str]:
        """A new pair of keys, private and public, of which the private one is in the folder."""
        path = self._folder.path / name
        path.unlink(missing_ok=True)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = " ".join(f"{done.stdout} {done.stderr}".split())
            raise NoSsh(f"ssh-keygen has failed and said: {said}", "see what keeps it from a key")
        public = path.with_suffix(".pub")
        pair = path.read_text(), public.read_text().strip()
        public.unlink()
        return pair

    def _write(self, name: str, text: str) -> Path:
        path = self._folder.path / name
        path.touch(0o600)
        path.write_text(text)
        return path


def _line(connection: socket.socket) -> str:
    """The first line that is said, read no further; empty if it is too long or no text."""
    said = b""
    while not said.endswith(b"\n") and len(said) < _LONGEST_GREETING:
        piece = connection.recv(1)
        if not piece:
            return ""
        said += piece
    return said.decode("ascii", errors="replace").strip() if said.endswith(b"\n") else ""


def _join(one: socket.socket, other: socket.socket) -> None:
    """Carries what each says to the other, until both have said all."""
    there = threading.Thread(target=_carry, args=(one, other), daemon=True)
    there.start()
    _carry(other, one)
    there.join()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):  # one side has left
        while piece := source.recv(65536):
            target.sendall(piece)
    for side, how in ((target, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with suppress(OSError):
            side.shutdown(how)


def _escaped(text: object) -> str:
    """A text as a part of a value of OpenSSH, which fills in what follows a percent sign."""
    return str(text).replace("%", "%%")

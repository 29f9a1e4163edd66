"""The running instances of the account, which follow it: what a script on one of them sees."""

import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from rehearsal.imds import Metadata
from rehearsal.network import SSH, Host, Network, Outlook
from rehearsal.processes import Completed, Processes
from rehearsal.services import Failures, Services
from rehearsal.ssh import Ssh, program
from rehearsal.tls import Authority

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


@dataclass(frozen=True)
class Mode:
    """How instances are made here: `name` is `namespace` or `portable`."""

    name: str
    reason: str = ""  # why not namespaces, when they were wanted


class Instance(Protocol):
    """One running instance."""

    def update(self) -> None: ...
    def run(self, script: str, timeout: float) -> Completed: ...
    def close(self) -> None: ...


class WithSsh(Instance, Protocol):
    """One whose network can be reached from outside it."""

    def let_in(self, ssh: Ssh) -> None: ...
    def connect(self, port: int) -> socket.socket: ...


def choose_mode(wanted: str = "auto") -> Mode:
    """The best mode that this machine allows; for namespaces, moves this process into its own.

    To be called while the process has one thread, after its listening sockets are bound.
    """
    if wanted not in ("auto", "namespace", "portable"):
        raise ValueError(f"The mode is auto, namespace or portable, not {wanted!r}.")
    if wanted == "portable":
        return Mode("portable", "portable mode was asked for")
    reason = _refusal()
    if not reason:
        from rehearsal.namespaces import enter

        enter()
        return Mode("namespace")
    if wanted == "namespace":
        raise OSError(
            "Could not make the network namespaces of the instances.\n"
            f"{reason}\n"
            "Next: allow user namespaces, run as root, or use the portable mode."
        )
    return Mode("portable", reason)


def _refusal() -> str:
    """Why this machine allows no namespaces; empty when it does: it was tried, in a process."""
    if sys.platform != "linux":
        return f"{sys.platform} has no network namespaces"
    from rehearsal import trial

    says, hears = os.pipe()
    process = os.fork()  # so that nothing has to be loaded for it alone
    if not process:
        try:
            trial.main()
        except BaseException as error:
            os.write(hears, f"{type(error).__name__}: {error}".encode())
            os._exit(1)
        os._exit(0)
    os.close(hears)
    with os.fdopen(says) as pipe:
        reason = pipe.read().strip().rpartition("\n")[2]
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return reason or (f"the trial ended with {code}" if code else "")


class Instances:
    """Every running instance; `sync` makes them follow the account."""

    def __init__(
        self,
        app: "WSGIApplication",
        network: Network,
        credentials: Callable[[str], dict[str, str]],
        mode: str,
    ) -> None:
        self.mode = mode
        self._app, self._network, self._credentials = app, network, credentials
        self._authority, self._processes = Authority(), Processes()
        # What went wrong in the threads that answer for the network, since the start.
        self.failures: Failures = []
        self._services: dict[str, Services] = {}
        self._instances: dict[str, Instance] = {}
        self._ssh: Ssh | None = None
        self._made: Callable[[Services, Processes], Instance]
        if mode == "namespace":
            from rehearsal.namespaces import NamespaceInstance

            self._made = NamespaceInstance
        else:
            from rehearsal.portable import PortableInstance

            self._made = PortableInstance

    def sync(self) -> None:
        """Starts and ends instances, and lets each reach what its network lets it reach now.

        To be called under the account's lock: all that is read of the account is read here.
        """
        outlooks = self._network.outlooks()
        for gone in self._instances.keys() - outlooks.keys():
            self._services.pop(gone)
            self._instances.pop(gone).close()
        for instance_id, outlook in outlooks.items():
            if instance_id in self._services:
                self._services[instance_id].outlook = outlook
            else:
                self._start(instance_id, outlook)
            self._instances[instance_id].update()
        self._raise_failures()

    def run(self, instance_id: str, script: str, timeout: float) -> Completed:
        """How `sh` ended that ran the script on the instance; KeyError when it is not running."""
        completed = self._instances[instance_id].run(script, timeout)
        self._raise_failures()
        return completed

    def role(self, instance_id: str) -> str:
        """The name of the role that the instance has; KeyError when it has none."""
        role = self._services[instance_id].outlook.host.role
        if not role:
            raise KeyError(f"{instance_id} has no role")
        return role

    def let_in(self, door: socket.socket) -> str:
        """Opens a way by ssh through the door; the path of the configuration for OpenSSH.

        To be called under the account's lock. Raises NoSsh where there can be none.
        """
        if self._ssh is None:
            ssh = Ssh(program(self.mode), door, self._connect, self.failures)
            for instance in self._instances.values():
                cast(WithSsh, instance).let_in(ssh)
            self._ssh = ssh
        return self._ssh.configuration

    def close(self) -> None:
        """Ends every script and every instance."""
        if self._ssh:
            self._ssh.close()
        self._processes.close()
        for instance in self._instances.values():
            instance.close()
        self._instances.clear()
        self._services.clear()

    def _start(self, instance_id: str, outlook: Outlook) -> None:
        def host() -> Host:
            return self._services[instance_id].outlook.host

        metadata = Metadata(host, self._credentials)
        services = Services(outlook, self._app, metadata, self._authority, self.failures)
        self._services[instance_id] = services
        self._instances[instance_id] = made = self._made(services, self._processes)
        if self._ssh:
            cast(WithSsh, made).let_in(self._ssh)

    def _connect(self, instance_id: str) -> socket.socket | None:
        """What the door joins with: a connection to port 22, None if the VPC drops it."""
        instance = cast(WithSsh, self._instances[instance_id])
        return instance.connect(SSH) if self._services[instance_id].outlook.ssh else None

    def _raise_failures(self) -> None:
        """A gate that failed looks like a dropped packet, so no result may be trusted then."""
        if self.failures:
            raise RuntimeError(
                f"The instances' network failed {len(self.failures)} times, the last time by this."
            ) from self.failures[-1]

"""Tries, in a process of its own, all that instances ask of the kernel; fails with its refusal."""

from werkzeug.wrappers import Response

from rehearsal.namespaces import NamespaceInstance, enter
from rehearsal.network import EVERYWHERE, OUTSIDE, Host, Outlook
from rehearsal.processes import Processes
from rehearsal.services import Services
from rehearsal.tls import Authority


def main() -> None:
    """Runs a command on an instance with a route to everywhere."""
    enter()
    host = Host("trial", "10.0.0.4", "10.0.0.1", "10.0.0.2", dns_support=True, name="trial")
    outlook = Outlook(host, {}, {(443, EVERYWHERE): OUTSIDE})
    nothing = Response()
    instance = NamespaceInstance(Services(outlook, nothing, nothing, Authority(), []), Processes())
    instance.update()
    completed = instance.run("true", timeout=20)
    if completed.exit_code != 0:
        raise OSError(f"a command on a trial instance ended so: {completed}")

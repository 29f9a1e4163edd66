"""Tries, as a program, all that instances ask of the kernel; fails with what it refused."""

from rehearsal.namespaces import NamespaceInstance, enter
from rehearsal.network import EVERYWHERE, OUTSIDE, Host, Outlook
from rehearsal.processes import Processes
from rehearsal.services import Services
from rehearsal.tls import Authority


def main() -> None:
    """Runs a command on an instance with a route to everywhere."""
    enter()
    host = Host(
        instance_id="trial",
        private_ip="10.0.0.4",
        subnet_router="10.0.0.1",
        resolver="10.0.0.2",
        dns_support=True,
        name="trial",
        image_id="",
        instance_type="",
        architecture="",
        launched="",
        account_id="",
        region="",
        availability_zone="",
        profile_arn="",
        profile_id="",
        role="",
    )
    outlook = Outlook(host, {}, {(443, EVERYWHERE): OUTSIDE})
    services = Services(outlook, None, None, Authority(), [])  # type: ignore[arg-type]
    instance = NamespaceInstance(services, Processes())
    instance.update()
    completed = instance.run("true", timeout=20)
    if completed.exit_code != 0:
        raise OSError(f"a command on a trial instance failed: {completed}")


if __name__ == "__main__":
    main()

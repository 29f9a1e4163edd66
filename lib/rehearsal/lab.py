"""The rehearsal account put together: moto repaired, the scenario built, the instances started."""

import shlex
import socket
import sys
from functools import partial
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

import rehearsal.repairs.endpoints
import rehearsal.repairs.keys
import rehearsal.repairs.locks
import rehearsal.repairs.network
import rehearsal.repairs.s3  # noqa: F401 - importing these modules installs the repairs
from rehearsal import analyzer, identifiers, scenario
from rehearsal.callers import Caller
from rehearsal.front import Front
from rehearsal.inside import client, session
from rehearsal.instances import Instances, Mode
from rehearsal.network import Network
from rehearsal.quotas import Quotas
from rehearsal.services import Gate, speak
from rehearsal.ssh import NoSsh
from rehearsal.ssm import SystemsManager

_PRIVATE_BUCKET, _OPEN_TO_NOBODY, _INSTANCE = "rehearsal-private-data", "readme.txt", "app-1"
# How it shows that a description cannot be built.
_UNUSABLE = (AttributeError, BotoCoreError, ClientError, LookupError, TypeError, ValueError)
# Proves that a script runs on the instance, and that it has an identity there.
_WHO_AM_I = f"""exec {shlex.quote(sys.executable)} - <<'END'
import os
from urllib.request import Request, urlopen
base = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254").rstrip("/")
lifetime = {{"X-aws-ec2-metadata-token-ttl-seconds": "60"}}
token = urlopen(Request(base + "/latest/api/token", method="PUT", headers=lifetime)).read()
headers = {{"X-aws-ec2-metadata-token": token.decode()}}
print(urlopen(Request(base + "/latest/meta-data/instance-id", headers=headers)).read().decode())
END
"""


class SelfTestFailed(OSError):
    """The account does not do what it is for: a check in it could not be trusted."""

    def __init__(self, found: str) -> None:
        super().__init__(
            "Could not start the rehearsal account: its self-test failed.\n"
            f"Found that {' '.join(found.split())}.\n"
            "Next: report this; nothing that such an account says can be trusted"
        )


class Lab:
    """A rehearsal account; `people` are its callers by name, `ids` its things by name.

    Until it serves it has no thread and no process, so that it can be forked.
    """

    def __init__(self, mode: Mode, path: str = "") -> None:
        identifiers.install()
        description = scenario.read(path)
        self.account_id, self.region = description["account"], description["region"]
        self.front = Front(self.account_id, self.region)
        network = Network(self.account_id, self.region)
        systems_manager = SystemsManager(self.account_id, self.region, self.front, network)
        systems_manager.install()
        self.front.services["access-analyzer"] = analyzer.answer
        self.front.services["cloudtrail"] = self.front.trail.answer
        self.front.services["servicequotas"] = Quotas(self.account_id).answer
        try:
            self.ids = scenario.Builder(self.front, description).build()
            self.people = self._sign_in(description["people"])
        except _UNUSABLE as error:
            if not path:
                raise
            raise scenario.NoScenario(path, f"{type(error).__name__}: {error}") from error
        self._instances = Instances(self.front, network, self._credentials, mode.name)
        systems_manager.instances = self._instances
        self._test_access()
        self.front.trail.begin(description["trail"])
        self.front.calls.clear()  # what it took to build the account is nobody's business

    def serve(self, listener: socket.socket, door: socket.socket) -> None:
        """Starts the instances and opens the operator's door; the second socket is for ssh."""
        self.front.after_write = self._instances.sync
        with self.front.lock:
            self._instances.sync()
        self.front.let_in = partial(self._let_in, door)
        Gate(
            listener, lambda connection: speak(connection, self.front, None, self._kept), self._kept
        )

    def _let_in(self, door: socket.socket) -> dict[str, str]:
        """Opens the way by ssh: where its configuration is, or why there is none."""
        try:
            with self.front.lock:
                return {"configuration": self._instances.let_in(door)}
        except NoSsh as error:
            return {"error": str(error)}

    @property
    def _kept(self) -> Any:
        return self._instances.failures

    def close(self) -> None:
        """Ends the instances and whatever runs on them."""
        self._instances.close()

    def _sign_in(self, people: dict[str, str]) -> dict[str, Caller]:
        callers = self.front.callers
        signed_in = {name: callers.sign_in(role, "rehearsal") for name, role in people.items()}
        signed_in["root"] = callers.root
        self.front.people = {caller.access_key: name for name, caller in signed_in.items()}
        return signed_in

    def _credentials(self, instance_id: str) -> dict[str, str]:
        with self.front.lock:
            role = self._instances.role(instance_id)
            return self.front.callers.credentials(role, instance_id)

    def _test_access(self) -> None:
        """Positive controls, without which a refusal or a silence later would prove nothing."""
        operator = client(session(self.front, self.people["operator"], self.region), "s3")
        try:
            operator.get_bucket_policy(Bucket=_PRIVATE_BUCKET)
        except ClientError as error:
            raise SelfTestFailed(f"what must be allowed is refused: {error}") from error
        anybody = client(
            session(self.front, self.front.callers.sign_in("auditor", "test"), self.region), "s3"
        )
        try:
            anybody.get_object(Bucket=_PRIVATE_BUCKET, Key=_OPEN_TO_NOBODY)
        except ClientError as error:
            if error.response["Error"]["Code"] != "AccessDenied":
                raise SelfTestFailed(f"a refusal is not one: {error}") from error
        else:
            raise SelfTestFailed("what must be refused is allowed")

    def test_instance(self) -> None:
        """Runs a script on an instance, which finds out there which one that is."""
        completed = self._instances.run(self.ids[_INSTANCE], _WHO_AM_I, timeout=30)
        if completed.stdout.strip() != self.ids[_INSTANCE]:
            raise SelfTestFailed(f"the instance does not know itself: {completed}")

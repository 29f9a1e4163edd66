"""An emulated AWS account in which a check can really fail: start it, use it, end it."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from types import TracebackType
from typing import Any, cast

__all__ = ["Account", "StartError", "start"]

_SECONDS_TO_END = 10


class StartError(RuntimeError):
    """The account did not come up: what was tried, what came back, what to do next."""


@dataclass(frozen=True)
class Account:
    """A running rehearsal account, in a process of its own that ends with this one.

    `ids` are the ids of its things by Name tag; `reason` says why `mode` is not "namespace".
    """

    account_id: str
    region: str
    mode: str
    reason: str
    ids: dict[str, str]
    port: int
    people: dict[str, dict[str, str]]
    secret: str
    process: subprocess.Popen[str]

    def __enter__(self) -> Account:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:  # the generated one would show the keys
        return f"<rehearsal account {self.account_id} in {self.mode} mode>"

    @property
    def endpoint_url(self) -> str:
        """Where the account answers, on this machine only."""
        return f"http://127.0.0.1:{self.port}"

    def environment(self, who: str = "operator") -> dict[str, str]:
        """The variables that turn boto3 and the AWS CLI to this account, and to nothing else.

        AWS_PROFILE has to be absent besides. `who` is operator, break-glass or root.
        """
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
            **self.people[who],
        }

    def client(self, service: str, who: str = "root", region: str = "") -> Any:
        """A boto3 client of one of the people, whatever the environment says."""
        import boto3  # here, because the processes of the account itself do without it for long

        keys, make = self.people[who], cast(Any, boto3.client)
        return make(
            service,
            region_name=region or self.region,
            endpoint_url=self.endpoint_url,
            aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=keys.get("AWS_SESSION_TOKEN"),
        )

    def calls(self) -> list[dict[str, Any]]:
        """Every call that was made to the account since its start, in order."""
        calls: list[dict[str, Any]] = self._ask("calls")
        return calls

    def errors(self) -> list[str]:
        """What went wrong inside the emulator itself; empty, unless it has a defect."""
        errors: list[str] = self._ask("errors")
        return errors

    def plant(self, operation: str, **fault: Any) -> None:
        """Lets something befall the next calls of an operation: see `rehearsal.faults.Fault`."""
        self._ask("plant", operation=operation, **fault)

    def close(self) -> None:
        """Ends the account and all that runs in it."""
        assert self.process.stdin
        self.process.stdin.close()
        try:
            self.process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def _ask(self, question: str, **asked: Any) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            headers = {"X-Rehearsal-Secret": self.secret}
            connection.request("POST", f"/_rehearsal/{question}", json.dumps(asked), headers)
            answer = connection.getresponse()
            if answer.status != 200:
                raise RuntimeError(f"The rehearsal account answered {answer.status} to {question}.")
            return json.loads(answer.read())
        finally:
            connection.close()


def start(mode: str = "auto") -> Account:
    """A new rehearsal account; raises StartError if it does not come up.

    `mode` is auto, namespace (Linux network namespaces) or portable (a proxy for each instance).
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "rehearsal", mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None,
        text=True,
        # Ctrl-C is for the parent, which then ends the account in good order.
        start_new_session=True,
    )
    assert process.stdout
    line = process.stdout.readline()
    greeting = json.loads(line or "{}")
    if "port" not in greeting:
        with process:  # closes its pipes
            code = process.wait()
        raise StartError(
            greeting.get("error")
            or f"Could not start the rehearsal account in {mode} mode.\n"
            f"Its process ended with {code}; what it said stands above.\n"
            "Next: report what it said"
        )
    return Account(process=process, **greeting)

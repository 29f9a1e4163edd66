"""An emulated AWS account in which a check can really fail: start it, use it, end it."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, cast

__all__ = ["Account", "StartError", "start"]

_SECONDS_TO_END = 10


class StartError(RuntimeError):
    """The account did not come up: what was tried, what came back, what to do next."""


def _failed(tried: str, answer: str, following: str) -> StartError:
    """The error in three lines; those of the answer if it has three."""
    if answer.count("\n") == 2:
        return StartError(answer)
    return StartError(f"{tried}\n{' '.join(answer.split())}\nNext: {following}")


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
    _resetting: Lock = field(default_factory=Lock, repr=False, compare=False)
    _clients: dict[tuple[str, str, str], Any] = field(
        default_factory=dict, repr=False, compare=False
    )
    _ids_at_start: dict[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_ids_at_start", {**self.ids})

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

    @property
    def ssh_config(self) -> str:
        """Path of an OpenSSH configuration that reaches each instance by its id, for the operator.

        Each instance then has an sshd, and its own host key, new with the account as all keys are.
        The file ends with the account. Raises StartError where there is no sshd, or no network of
        its own for an instance.
        """
        answer = self._ask("ssh")
        if "error" in answer:
            raise StartError(answer["error"])
        return str(answer["configuration"])

    def environment(self, who: str = "operator") -> dict[str, str]:
        """The variables that turn boto3 and the AWS CLI to this account, and to nothing else.

        AWS_PROFILE has to be absent besides. `who` is operator, reader (who may do no more than the
        policy for reading allows), break-glass, ci or root.
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
        """The boto3 client of one of the people, whatever the environment says; made once."""
        import boto3  # here, because the processes of the account itself do without it for long

        asked = service, who, region or self.region
        if asked not in self._clients:
            keys, make = self.people[who], cast(Any, boto3.client)
            self._clients[asked] = make(
                service,
                region_name=asked[2],
                endpoint_url=self.endpoint_url,
                aws_access_key_id=keys["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=keys["AWS_SECRET_ACCESS_KEY"],
                aws_session_token=keys.get("AWS_SESSION_TOKEN"),
            )
        return self._clients[asked]

    def calls(self) -> list[dict[str, Any]]:
        """Every call that was made to the account since its start, in order."""
        calls: list[dict[str, Any]] = self._ask("calls")
        return calls

    def errors(self) -> list[str]:
        """What went wrong inside the emulator itself; empty, unless it has a defect."""
        errors: list[str] = self._ask("errors")
        return errors

    def plant(self, operation: str, **fault: Any) -> None:
        """Lets something befall the next call of an operation, or of any if that is "*".

        Which calls: `who` is the person as in calls(), an instance's session by its ARN, or empty
        for anybody; `skip` so many calls first, then `times` calls, 0 for all until unplant().
        Faults of one call strike in the order in which they were planted; one that prevents the
        call leaves those behind it for the next. Only a call that is well signed is one.

        What befalls them, in this order: `delay` seconds pass; what `do` says; a refusal with
        `code`, `message` and the HTTP `status`. Or `do` is one of these, where `reads` is how many
        reads it takes for AWS to be done; a write that changes nothing is done at once:

        - "drop": the connection is reset before anything is carried out; status 0 in calls().
        - "drop answer": it is carried out, or refused, then the connection is reset.
        - "pending" (CreateVpcEndpoint): in the answer and the next `reads` DescribeVpcEndpoints
          that list it the endpoint is pending; its routes come when it is available, after them.
        - "deleting" (DeleteVpcEndpoints): the endpoint is still listed, as deleting, in the next
          `reads` DescribeVpcEndpoints that ask for it; its routes are gone at once.
        - "stale endpoint" (any write of an endpoint): the next `reads` DescribeVpcEndpoints, be
          they of other endpoints, are as before it.
        - "stale policy" (PutBucketPolicy, DeleteBucketPolicy): so are the next `reads`
          GetBucketPolicy of the bucket.
        - "slow policy" (the same): the next `reads` requests to the bucket other than to get, put
          or delete its policy are judged by the policy before it, refused ones too.
        - an act of others, which comes just before the call: any of act(), on its bucket; or
          "foreign endpoint" (CreateVpcEndpoint), which takes its route tables.
        """
        self._ask("plant", operation=operation, **fault)

    def unplant(self) -> None:
        """Forgets every fault that has not struck; all that AWS is still to be done with, is."""
        self._ask("unplant")

    def act(self, act: str, **on: Any) -> None:
        """Lets AWS, or somebody else, do something by itself, now.

        - "grow prefix list": S3 has one more range of addresses in the account's Region.
        - "dual stack": the gateway endpoint `endpoint_id`, or each one if there is none, gets the
          routes to IPv6 too: a second one per route table, as by IpAddressType "dualstack".
        - "reorder policy": the policy of the `bucket` is stored in other words, its statements
          from last to first, one-item lists as strings, account ids as the ARNs of their roots.
        - "foreign policy": somebody else adds a statement to the policy of the `bucket`.
        - "foreign endpoint": somebody else makes an endpoint in `vpc_id` for `service_name`, on
          `route_table_ids`.
        - "delay trail": CloudTrail shows what was asked only after so many `seconds`; at its start
          the account shows it at once. Data events are in log files in rehearsal-trail.
        """
        self._ask("act", act=act, **on)

    def reset(self) -> None:
        """Puts the account back to its start, whatever was done to it; StartError if it fails.

        Its ids, keys and address stay, so that clients made before go on working. Connections end,
        and so do scripts on its instances.
        """
        assert self.process.stdin and self.process.stdout
        try:
            with self._resetting:
                self.process.stdin.write("\n")
                self.process.stdin.flush()
                answer = json.loads(self.process.stdout.readline())
        except (OSError, ValueError):  # nobody reads, or nobody answers
            answer = {"error": "Its process ended."}
        if "error" in answer:
            tried = "Could not put the rehearsal account back to its start."
            raise _failed(tried, answer["error"], "start another")
        self.ids.clear()  # something may have been created again, with another id
        self.ids.update(self._ids_at_start)

    def close(self) -> None:
        """Ends the account and all that runs in it."""
        assert self.process.stdin
        with suppress(BrokenPipeError):  # its process has ended before it read all
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
            said = answer.read().decode()
            if answer.status != 200:
                raise RuntimeError(
                    f"The rehearsal account answered {answer.status} to {question}: {said}"
                )
            return json.loads(said)
        finally:
            connection.close()


def start(mode: str = "auto", scenario: Path | None = None) -> Account:
    """A new rehearsal account; raises StartError if it does not come up.

    `mode` is auto, namespace (Linux network namespaces) or portable (a proxy for each instance).
    `scenario` is a file that describes the account, in the form of `scenario.yaml` in this package.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "rehearsal", mode, *([str(scenario)] if scenario else [])],
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
        process.communicate()  # closes its pipes
        ended = f"Its process ended with {process.returncode}; what it said stands above."
        raise _failed(
            f"Could not start the rehearsal account in {mode} mode.",
            greeting.get("error", ended),
            "report what it said",
        )
    return Account(process=process, **greeting)

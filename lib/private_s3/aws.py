"""Speaks to AWS: the session, the clients, whole listings, and errors in three lines."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
)

from private_s3 import progress
from private_s3.errors import AwsRefused, BadInput
from private_s3.parameters import Parameters
from private_s3.progress import Tick

if TYPE_CHECKING:
    from mypy_boto3_accessanalyzer import AccessAnalyzerClient
    from mypy_boto3_cloudtrail import CloudTrailClient
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_iam import IAMClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_ssm import SSMClient

CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=10, read_timeout=30
)
# For writes, which `again` repeats: botocore would do so blindly, and so write over what somebody
# else wrote meanwhile.
ONCE = CONFIG.merge(Config(retries={"mode": "standard", "total_max_attempts": 1}))
# Answers of the 4xx kind that pass; those of the 5xx kind, and silence, all may.
PASSING = frozenset({"OperationAborted", "RequestTimeout", "Throttling", "ThrottlingException"})
ATTEMPTS = 5
Seen = TypeVar("Seen")
# How AWS says which permission is missing, on what, and why.
NOT_AUTHORIZED = re.compile(
    r'not authorized to perform: ([\w-]+:\w+)(?: on resource: "?([^\s"]+)"?)?\s*(.*)', re.DOTALL
)
SIGN_IN = "sign in to the account (for example `aws sso login`), then run this again"


class Account:
    """The AWS account and Region of a change, as the operator's credentials see it.

    `calls` counts the calls made through the clients, by operation.
    """

    def __init__(self, session: boto3.Session, account_id: str, arn: str) -> None:
        self.session, self.id, self.arn = session, account_id, arn
        self.region: str = session.region_name
        self.calls: Counter[str] = Counter()
        for event in ("after-call", "after-call-error"):
            session.events.register(event, self._count)

    def _count(self, event_name: str, **_: Any) -> None:
        self.calls[event_name.rsplit(".", 1)[1]] += 1

    @cached_property
    def accessanalyzer(self) -> AccessAnalyzerClient:
        return self.session.client("accessanalyzer", config=CONFIG)

    @cached_property
    def cloudtrail(self) -> CloudTrailClient:
        return self.session.client("cloudtrail", config=CONFIG)

    @cached_property
    def ec2(self) -> EC2Client:
        return self.session.client("ec2", config=CONFIG)

    @cached_property
    def ec2_once(self) -> EC2Client:
        """For writes, within `again`."""
        return self.session.client("ec2", config=ONCE)

    @cached_property
    def iam(self) -> IAMClient:
        return self.session.client("iam", config=CONFIG)

    @cached_property
    def kms(self) -> Any:
        return self.session.client("kms", config=CONFIG)

    @cached_property
    def s3(self) -> S3Client:
        return self.session.client("s3", config=CONFIG)

    @cached_property
    def s3_once(self) -> S3Client:
        """For writes, within `again`."""
        return self.session.client("s3", config=ONCE)

    @cached_property
    def servicequotas(self) -> Any:
        return self.session.client("service-quotas", config=CONFIG)

    @cached_property
    def ssm(self) -> SSMClient:
        return self.session.client("ssm", config=CONFIG)


def connect(parameters: Parameters) -> Account:
    """The account that the parameters expect; raises AwsRefused or BadInput for any other.

    Asks sts:GetCallerIdentity, which needs no permission, before anything else.
    """
    attempted = f"bind to account {parameters.expected_account} in {parameters.region}"
    with attempt(attempted, SIGN_IN):
        session = boto3.Session(
            profile_name=parameters.profile or None, region_name=parameters.region
        )
        if parameters.role_arn:
            session = _assume(session, parameters.role_arn, parameters.change_id)
        caller = session.client("sts", config=CONFIG).get_caller_identity()
    if caller["Account"] != parameters.expected_account:
        raise BadInput(
            f"Could not {attempted}.",
            f"The credentials are of account {caller['Account']} ({caller['Arn']}).",
            "use credentials of the expected account, or correct expected_account",
        )
    account = Account(session, caller["Account"], caller["Arn"])
    account.calls["GetCallerIdentity"] += 1
    return account


def assume(account: Account, role_arn: str, name: str) -> Account:
    """The same account as a role sees it; its calls are counted with the others."""
    with attempt(f"assume {role_arn}", "let the role trust the operator, if it is to be asked"):
        session = _assume(account.session, role_arn, name)
    account.calls["AssumeRole"] += 1
    assumed = Account(session, account.id, role_arn)
    assumed.calls = account.calls
    return assumed


def _assume(session: boto3.Session, role_arn: str, name: str) -> boto3.Session:
    credentials = session.client("sts", config=CONFIG).assume_role(
        RoleArn=role_arn, RoleSessionName=name
    )["Credentials"]
    return boto3.Session(
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
        region_name=session.region_name,
    )


@contextmanager
def attempt(attempted: str, remedy: str) -> Iterator[None]:
    """Whatever AWS or the way to it answers becomes AwsRefused, with `remedy` as the next step."""
    try:
        yield
    except ClientError as error:
        raise _refusal(attempted, error, remedy) from error
    except (NoCredentialsError, PartialCredentialsError, ProfileNotFound) as error:
        raise AwsRefused(f"Could not {attempted}.", f"No credentials: {error}", SIGN_IN) from error
    except BotoCoreError as error:
        raise AwsRefused(
            f"Could not {attempted}.",
            f"AWS could not be reached: {error}",
            "check the network and AWS_ENDPOINT_URL, then run this again",
            passing=True,
        ) from error


def _refusal(attempted: str, error: ClientError, remedy: str) -> AwsRefused:
    """What AWS answered, with the next step: for what nobody has granted, AWS names the action."""
    answer, about = error.response["Error"], error.response["ResponseMetadata"]
    code, status = answer["Code"], about["HTTPStatusCode"]
    passing = status >= 500 or status == 429 or code in PASSING
    return AwsRefused(
        f"Could not {attempted}.",
        f"AWS answered {code}: {answer['Message']}",
        "this may pass: run it again in a minute" if passing else _named(answer["Message"], remedy),
        code,
        status=status,
        request_id=about.get("RequestId", ""),
        passing=passing,
    )


def _named(message: str, remedy: str) -> str:
    """What to do about a missing permission, if AWS says which one it is; else the remedy.

    Of several calls within one attempt, and of several actions of one call, it is the exact one.
    """
    found = NOT_AUTHORIZED.search(message)
    if not found:
        return remedy
    action, resource, reason = found.groups()
    if reason.startswith("with an explicit deny"):
        return f"have the Deny lifted for {action}; AWS has named the kind of policy it stands in"
    if layer := re.match(r"because no ([\w -]+?) allows", reason):
        if layer[1] != "identity-based policy":
            return f"have {action} allowed in the {layer[1]} too"
    elif reason.startswith("because"):
        return remedy  # it is something else that forbids it, as Block Public Access
    on = f" on {resource}" if resource not in (None, "*") else ""
    return f"grant {action}{on} to the caller"


def pages(client: Any, operation: str, key: str, **request: Any) -> list[Any]:
    """Every item of a paged listing; a page without `key` is an error, not an empty page."""
    return [item for page in listing(client, operation, **request) for item in page[key]]


def listing(client: Any, operation: str, **request: Any) -> list[Any]:
    """Every page of a paged listing."""
    found = []
    with progress.waiting(f"every page of {operation}") as tick:
        for page in client.get_paginator(operation).paginate(**request):
            found.append(page)
            tick(f"{len(found)} so far")
    return found


def again(attempt: Callable[[], None]) -> None:
    """Does `attempt`, which must look before it writes, until AWS takes it; at most ATTEMPTS times.

    Raises the last AwsRefused, and at once each that will not pass.
    """
    pause = 0.5
    with progress.waiting("AWS to take the change") as tick:
        for left in reversed(range(ATTEMPTS)):
            try:
                return attempt()
            except AwsRefused as error:
                if not (error.passing and left):
                    raise
                answer = error.code or "nothing"
            tick(f"it answered {answer} to attempt {ATTEMPTS - left} of {ATTEMPTS}")
            time.sleep(pause)
            pause *= 2


def settle(
    read: Callable[[], Seen], done: Callable[[Seen], bool], limit: float, tick: Tick
) -> Seen:
    """What `read` returns once it is `done`, or else the last that it returned within `limit` s."""
    pause, end = 0.1, time.monotonic() + limit
    while True:
        seen = read()
        if done(seen) or time.monotonic() + pause > end:
            return seen
        tick()
        time.sleep(pause)
        pause = min(pause * 2, 2.0)


def wait(
    what: str,
    read: Callable[[], Seen],
    done: Callable[[Seen], bool],
    limit: float = 60,
    tick: Tick | None = None,
) -> Seen:
    """What `read` returns once it is `done`; raises AwsRefused with the last seen after `limit` s.

    AWS shows a write only after a while, and has no waiter for these. What shows the wait is
    `tick`, if it is part of a longer one.
    """
    with nullcontext(tick) if tick else progress.waiting(what, limit) as shown:
        seen = settle(read, done, limit, shown)
    if not done(seen):
        raise AwsRefused(
            f"Waited {limit:.0f} s for {what}.",
            f"Last seen: {seen}",
            "run the step again: what is already done will be found and not be done twice",
        )
    return seen

"""What AWS shows, or goes by, late: counted in reads, so that it comes out the same each time."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import Any

from moto.ec2.models import ec2_backends
from moto.s3.models import s3_backends

from rehearsal.call import Call
from rehearsal.repairs.endpoints import STATE_AT_BIRTH, become_available

_POLICY_WRITES = frozenset({"PutBucketPolicy", "DeleteBucketPolicy"})
# The writes that can be late in each way.
OPERATIONS = {
    "pending": frozenset({"CreateVpcEndpoint"}),
    "deleting": frozenset({"DeleteVpcEndpoints"}),
    "stale endpoint": frozenset({"CreateVpcEndpoint", "ModifyVpcEndpoint", "DeleteVpcEndpoints"}),
    "stale policy": _POLICY_WRITES,
    "slow policy": _POLICY_WRITES,
}


@dataclass(eq=False)
class Lag:
    """What the next `reads` readers of an attribute of moto's find there instead."""

    reads: int
    is_reader: Callable[[Call], bool]
    owner: Any
    attribute: str
    seen: Callable[[Any], Any]
    listed: str = ""  # only answers that list this id are counted
    judges: bool = False  # found while access is decided, not while the call is answered
    arrive: Callable[[], None] = lambda: None

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Puts it there for as long as one call lasts."""
        true = getattr(self.owner, self.attribute)
        setattr(self.owner, self.attribute, self.seen(true))
        try:
            yield
        finally:
            setattr(self.owner, self.attribute, true)


class Lags:
    """All that is late in the account; to be used under its lock."""

    def __init__(self, account_id: str) -> None:
        self._account_id = account_id
        self._lags: list[Lag] = []
        self._kinds: dict[str, Callable[[Call, int], AbstractContextManager[None]]] = {
            "pending": self._pending,
            "deleting": self._deleting,
            "stale endpoint": self._stale_endpoint,
            "stale policy": self._stale_policy,
            "slow policy": self._slow_policy,
        }

    @contextmanager
    def writing(self, call: Call, late: Iterable[tuple[str, int]]) -> Iterator[None]:
        """Makes what the call changes late, in these ways; if it changes nothing, nothing is."""
        with ExitStack() as stack:
            for kind, reads in late:
                stack.enter_context(self._kinds[kind](call, reads))
            yield

    @contextmanager
    def judging(self, call: Call) -> Iterator[None]:
        """Access is decided by what was there before, where that is so."""
        lags = self._of(call, judges=True)
        try:
            with _in_place(lags):
                yield
        finally:
            self._count(lags)

    def reading(self, call: Call) -> AbstractContextManager[None]:
        """The call is answered by what was there before, where that is so."""
        return _in_place(self._of(call, judges=False))

    def count(self, call: Call, status: int, body: bytes) -> bool:
        """Counts one more read that was answered; True if something is late no more."""
        lags = self._of(call, judges=False)
        return self._count(
            lag for lag in lags if not lag.listed or (status < 300 and lag.listed.encode() in body)
        )

    def arrive(self) -> None:
        """Everything that is late arrives now."""
        for lag in self._lags:
            lag.arrive()
        self._lags.clear()

    def _of(self, call: Call, judges: bool) -> list[Lag]:
        return [lag for lag in self._lags if lag.judges == judges and lag.is_reader(call)]

    def _count(self, lags: Iterable[Lag]) -> bool:
        ended = []
        for lag in lags:
            lag.reads -= 1
            if lag.reads <= 0:
                ended.append(lag)
        for lag in ended:
            self._lags.remove(lag)
            lag.arrive()
        return bool(ended)

    def _add(self, lag: Lag) -> None:
        if lag.reads > 0:
            self._lags.append(lag)
        else:
            lag.arrive()

    @contextmanager
    def _pending(self, call: Call, reads: int) -> Iterator[None]:
        """The endpoint that is made is "pending", and has no route until it is available."""
        ec2 = self._ec2(call)
        before = set(ec2.vpc_end_points)
        token = STATE_AT_BIRTH.set("pending")
        try:
            yield
        finally:
            STATE_AT_BIRTH.reset(token)
        for name in [name for name in ec2.vpc_end_points if name not in before]:
            arrive = partial(become_available, ec2, name)
            self._add(_endpoint_lag(call, reads, ec2, lambda now: now, name, arrive))

    @contextmanager
    def _deleting(self, call: Call, reads: int) -> Iterator[None]:
        """The endpoint that is deleted stays in the list, as "deleting"; its routes do not."""
        ec2 = self._ec2(call)
        before = dict(ec2.vpc_end_points)
        yield
        for name in [name for name in before if name not in ec2.vpc_end_points]:
            still = _as_it_is(before[name])
            still.state = "deleting"
            self._add(_endpoint_lag(call, reads, ec2, partial(_with, name, still), name))

    @contextmanager
    def _stale_endpoint(self, call: Call, reads: int) -> Iterator[None]:
        """The endpoints are described as they were before the write."""
        ec2 = self._ec2(call)
        before = {name: _as_it_is(endpoint) for name, endpoint in ec2.vpc_end_points.items()}
        yield
        now = ec2.vpc_end_points
        if {name: vars(e) for name, e in now.items()} != {n: vars(e) for n, e in before.items()}:
            self._add(_endpoint_lag(call, reads, ec2, lambda now: before))

    @contextmanager
    def _stale_policy(self, call: Call, reads: int) -> Iterator[None]:
        """GetBucketPolicy answers what was there before the write."""

        def is_reader(reader: Call) -> bool:
            return reader.operation == "GetBucketPolicy" and reader.bucket == call.bucket

        with self._policy(call, reads, is_reader, judges=False):
            yield

    @contextmanager
    def _slow_policy(self, call: Call, reads: int) -> Iterator[None]:
        """Requests are judged by the policy that was there before the write."""
        at_once = {"GetBucketPolicy", *_POLICY_WRITES}

        def is_reader(reader: Call) -> bool:
            return (
                reader.service == "s3"
                and reader.bucket == call.bucket
                and reader.operation not in at_once
            )

        with self._policy(call, reads, is_reader, judges=True):
            yield

    @contextmanager
    def _policy(
        self, call: Call, reads: int, is_reader: Callable[[Call], bool], judges: bool
    ) -> Iterator[None]:
        bucket = s3_backends[self._account_id]["aws"].buckets[call.bucket]
        before = bucket.policy
        yield
        if bucket.policy != before:
            self._add(Lag(reads, is_reader, bucket, "policy", lambda now: before, judges=judges))

    def _ec2(self, call: Call) -> Any:
        return ec2_backends[self._account_id][call.region]


def _endpoint_lag(
    write: Call,
    reads: int,
    ec2: Any,
    seen: Callable[[Any], Any],
    listed: str = "",
    arrive: Callable[[], None] = lambda: None,
) -> Lag:
    def is_reader(call: Call) -> bool:
        return call.operation == "DescribeVpcEndpoints" and call.region == write.region

    return Lag(reads, is_reader, ec2, "vpc_end_points", seen, listed, arrive=arrive)


def _with(name: str, endpoint: Any, now: dict[str, Any]) -> dict[str, Any]:
    return {**now, name: endpoint}


def _as_it_is(endpoint: Any) -> Any:
    """A copy that does not follow when the endpoint is modified."""
    still = copy(endpoint)
    lists = {name: [*value] for name, value in vars(endpoint).items() if isinstance(value, list)}
    vars(still).update(lists)
    return still


@contextmanager
def _in_place(lags: list[Lag]) -> Iterator[None]:
    """All of them in place, the oldest last: of two, it says what is found."""
    with ExitStack() as stack:
        for lag in reversed(lags):
            stack.enter_context(lag.in_place())
        yield

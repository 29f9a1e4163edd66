"""Faults on demand: an error, a delay, silence, a late effect, or another's act before a call."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from threading import Lock
from typing import Any

from rehearsal import acts, lags
from rehearsal.call import Call, Refused

_DROPS = ("drop", "drop answer")
# What can be done only to some operations; all else, to any.
_ONLY_TO = {**lags.OPERATIONS, "foreign endpoint": frozenset({"CreateVpcEndpoint"})}
_TO_A_BUCKET = ("foreign policy", "reorder policy")


@dataclass(eq=False)
class Fault:
    """What befalls `times` calls of an operation, or of any if that is "*": see Account.plant."""

    operation: str
    code: str = ""
    message: str = "Planted by the rehearsal."
    status: int = 400
    delay: float = 0
    do: str = ""
    times: int = 1
    skip: int = 0
    who: str = ""
    reads: int = 1

    def check(self) -> None:
        """ValueError if it could never strike, or not be told to the caller."""
        known = {*_DROPS, *acts.ON, *lags.OPERATIONS}
        if self.do and self.do not in known:
            raise ValueError(f'"{self.do}" is none of {", ".join(sorted(known))}')
        only = _ONLY_TO.get(self.do, {self.operation})
        if self.operation not in {"*", *only}:
            raise ValueError(f'"{self.do}" is for {", ".join(sorted(only))}')
        HTTPStatus(self.status)

    def fits(self, call: Call, who: str) -> bool:
        """Whether it is about this call of this person."""
        return (
            self.operation in ("*", call.name)
            and self.who in ("", who)
            and call.name in _ONLY_TO.get(self.do, {call.name})
            and (self.do not in _TO_A_BUCKET or bool(call.bucket))
        )


class Faults:
    """The faults that are planted and have not yet struck; `act` lets others act."""

    def __init__(self, act: Callable[..., None]) -> None:
        self._act, self._lock = act, Lock()
        self._planted: list[Fault] = []

    def plant(self, **fault: Any) -> None:
        """Plants one more fault; ValueError if it could never strike."""
        planted = Fault(**fault)
        planted.check()
        with self._lock:
            self._planted.append(planted)

    def unplant(self) -> None:
        """Forgets every fault that has not struck."""
        with self._lock:
            self._planted.clear()

    def strike(self, call: Call, who: str) -> list[tuple[str, int]]:
        """Lets every fault that is due happen; raises Refused if one prevents the call.

        The late effects come back, each with its reads: they are for when the call is carried out.
        """
        late = []
        for fault in self._due(call, who):
            if not self._take(fault):
                continue
            time.sleep(fault.delay)
            if fault.do in acts.ON:
                self._act(fault.do, **acts.ON[fault.do](call))
            elif fault.do in lags.OPERATIONS:
                late.append((fault.do, fault.reads))
            call.dropped = call.dropped or fault.do in _DROPS
            if fault.code or fault.do == "drop":
                raise Refused(fault.status, fault.code, fault.message)
        return late

    def _due(self, call: Call, who: str) -> list[Fault]:
        """The faults that this call does not skip; each counts every call that it is about."""
        with self._lock:
            fitting = [fault for fault in self._planted if fault.fits(call, who)]
            due = [fault for fault in fitting if not fault.skip]
            for fault in fitting:
                fault.skip = max(0, fault.skip - 1)
            return due

    def _take(self, fault: Fault) -> bool:
        """Uses a fault once; False if another call was quicker."""
        with self._lock:
            if fault not in self._planted:
                return False
            fault.times -= 1
            if not fault.times:
                self._planted.remove(fault)
            return True

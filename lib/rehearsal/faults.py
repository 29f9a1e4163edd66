"""Faults on demand: an error, a delay, or somebody else's act just before a call."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import RLock
from typing import Any

from moto.ec2.models import ec2_backends
from moto.s3.models import s3_backends

from rehearsal.call import Call, Refused


@dataclass
class Fault:
    """What befalls the next `times` calls of an operation."""

    operation: str
    code: str = ""
    message: str = "Planted by the rehearsal."
    status: int = 400
    delay: float = 0
    do: str = ""
    times: int = 1


class Faults:
    """The faults that are planted and have not yet struck."""

    def __init__(self, account_id: str, region: str) -> None:
        self._account_id, self._region = account_id, region
        self._planted: list[Fault] = []
        self._acts: dict[str, Callable[[Call], None]] = {
            "foreign endpoint": self._create_foreign_endpoint,
            "foreign policy": self._change_policy,
        }

    def plant(self, **fault: Any) -> None:
        """Plants one more fault; ValueError if nobody could `do` what it says."""
        planted = Fault(**fault)
        if planted.do and planted.do not in self._acts:
            raise ValueError(f'"{planted.do}" is none of {", ".join(sorted(self._acts))}')
        self._planted.append(planted)

    def strike(self, call: Call, lock: RLock) -> None:
        """Lets every fault that was planted for this operation happen; Refused if one says so."""
        for fault in [fault for fault in self._planted if fault.operation == call.operation]:
            fault.times -= 1
            if not fault.times:
                self._planted.remove(fault)
            time.sleep(fault.delay)
            if fault.do:
                with lock:
                    self._acts[fault.do](call)
            if fault.code:
                raise Refused(fault.status, fault.code, fault.message)

    def _create_foreign_endpoint(self, call: Call) -> None:
        """Somebody else gives the same route tables an S3 gateway endpoint of their own."""
        ec2 = ec2_backends[self._account_id][self._region]
        ec2.create_vpc_endpoint(
            vpc_id=call.parameters["VpcId"],
            service_name=call.parameters["ServiceName"],
            endpoint_type="Gateway",
            policy_document=None,
            route_table_ids=call.items("RouteTableId"),
            tags={"Name": "somebody-else"},
        )

    def _change_policy(self, call: Call) -> None:
        """Somebody else adds a statement to the policy of the same bucket."""
        bucket = s3_backends[self._account_id]["aws"].buckets[call.bucket]
        policy = json.loads(bucket.policy or '{"Version": "2012-10-17", "Statement": []}')
        statement = {
            "Sid": "AddedBySomebodyElse",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:DeleteBucket",
            "Resource": f"arn:aws:s3:::{call.bucket}",
        }
        policy["Statement"].append(statement)
        bucket.policy = json.dumps(policy).encode()

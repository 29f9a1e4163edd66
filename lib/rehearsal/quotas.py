"""Service Quotas, which moto does not have: how much of a thing an account may have in a Region.

An increase that is asked for is granted at once; AWS takes its time, and may refuse.
"""

import json
from typing import Any, NamedTuple

from moto.ec2.models import ec2_backends

from rehearsal.call import Answer, Call, Refused

GATEWAY_ENDPOINTS, ROUTES = "L-1B52E74A", "L-93826ACB"
# Source: AWS General Reference, "Amazon Virtual Private Cloud endpoints and quotas". This one is
# fixed, and has no code.
GATEWAY_ENDPOINTS_PER_VPC = 255


class Quota(NamedTuple):
    """What a quota is called, how much it is at first, and how much it can be at most."""

    name: str
    default: int
    largest: int


_QUOTAS = {
    ("vpc", GATEWAY_ENDPOINTS): Quota("Gateway VPC endpoints per Region", 20, 10_000),
    ("vpc", ROUTES): Quota("Routes per route table", 500, 1_000),
}


class Quotas:
    """Answers the calls of the service for one account."""

    def __init__(self, account_id: str) -> None:
        self._account_id = account_id

    def answer(self, call: Call) -> Answer:
        """The answer to a call, in the service's own form; raises Refused."""
        operations = {
            "GetServiceQuota": self._get,
            "RequestServiceQuotaIncrease": self._increase,
        }
        if call.operation not in operations:
            raise NotImplementedError(f"{call.operation} is not implemented.")
        asked: dict[str, Any] = {**call.parameters}
        key = str(asked.get("ServiceCode")), str(asked.get("QuotaCode"))
        if key not in _QUOTAS:
            message = "The request failed because the specified service or quota does not exist."
            raise Refused(400, "NoSuchResourceException", message)
        found = operations[call.operation](call, *key)
        return 200, [("Content-Type", "application/x-amz-json-1.1")], json.dumps(found).encode()

    def _get(self, call: Call, service: str, code: str) -> dict[str, Any]:
        quota, arn = _QUOTAS[service, code], f"{call.region}:{self._account_id}:{service}/{code}"
        return {
            "Quota": {
                "ServiceCode": service,
                "ServiceName": "Amazon Virtual Private Cloud (Amazon VPC)",
                "QuotaArn": f"arn:aws:servicequotas:{arn}",
                "QuotaCode": code,
                "QuotaName": quota.name,
                "Value": float(limit(ec2_backends[self._account_id][call.region], code)),
                "Unit": "None",
                "Adjustable": True,
                "GlobalQuota": False,
                "QuotaAppliedAtLevel": "ACCOUNT",
            }
        }

    def _increase(self, call: Call, service: str, code: str) -> dict[str, Any]:
        backend, asked = (
            ec2_backends[self._account_id][call.region],
            dict[str, Any](call.parameters),
        )
        wanted, quota = asked.get("DesiredValue", 0), _QUOTAS[service, code]
        if not limit(backend, code) < wanted <= quota.largest:
            message = f"{wanted} is not between {limit(backend, code)} and {quota.largest}."
            raise Refused(400, "IllegalArgumentException", message)
        vars(backend).setdefault("quotas", {})[code] = int(wanted)
        return {
            "RequestedQuota": {
                "ServiceCode": service,
                "QuotaCode": code,
                "QuotaName": quota.name,
                "DesiredValue": float(wanted),
                "Status": "APPROVED",
            }
        }


def limit(backend: Any, code: str) -> int:
    """How much a Region may have of what a quota of VPC is about."""
    quotas: dict[str, int] = vars(backend).get("quotas", {})
    return quotas.get(code, _QUOTAS["vpc", code].default)

"""Makes moto count instead of draw, so that the same calls give the same ids in every account.

Only creations count: however often a client polls, the next id is the same.
"""

import base64
from collections import Counter
from hashlib import sha256

import moto.ec2.utils
import moto.iam.models
import moto.kms.models
import moto.s3.models
from moto.moto_api._internal.moto_random import MotoRandom

_counters: Counter[str] = Counter()


def _digest(kind: str) -> bytes:
    _counters[kind] += 1
    return sha256(f"{kind} {_counters[kind]}".encode()).digest()


def _random_id(prefix: str = "", size: int = 17) -> str:
    # The 17 digits of real ids begin with 0.
    return f"{prefix}-0{_digest(prefix).hex()[: size - 1]}"


def _unique_id(prefix: str) -> str:
    """A unique id of IAM, such as AROA..., of 21 characters."""
    return prefix + base64.b32encode(_digest(prefix)).decode()[:17]


def command_id() -> str:
    """The id of a command: a UUID."""
    return _uuid("command")


def _uuid(kind: str) -> str:
    text = _digest(kind).hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-8{text[17:20]}-{text[20:32]}"


def install() -> None:
    """Replaces where moto draws; what must stay secret, access keys, is drawn elsewhere."""
    moto.ec2.utils.random_id = _random_id
    # Addresses and MACs: drawn at creation only, so a generator of their own makes them stable.
    moto.ec2.utils.random = MotoRandom(0)
    moto.s3.models.random = MotoRandom(0)
    moto.iam.models.random_role_id = lambda account_id: _unique_id("AROA")
    moto.iam.models.random_policy_id = lambda: _unique_id("ANPA")
    moto.kms.models.generate_key_id = lambda multi_region=False: (
        f"{'mrk-' if multi_region else ''}{_uuid('key')}"
    )
    moto.iam.models.random_resource_id = lambda size=20: _unique_id("AIPA")

"""Keys of KMS: how they are named, and what encrypts an object."""

from typing import Any

import moto.kms.responses
from moto.kms.models import Key, KmsBackend
from moto.s3.models import FakeKey, S3Backend

from rehearsal.repairs import repair

_assert_default_policy = moto.kms.responses._assert_default_policy
# moto: the name of the policy must be given, though there is only one.
moto.kms.responses._assert_default_policy = lambda name: _assert_default_policy(name or "default")
# moto: judges by a policy without its conditions; here it was judged before moto was asked.
moto.kms.responses.validate_policy = lambda key, action: None


@repair(KmsBackend, "cancel_key_deletion", "disable_key", "enable_key", "schedule_key_deletion")
def by_any_name(original: Any, self: KmsBackend, key_id: str, *args: Any, **kwargs: Any) -> Any:
    """moto: fails if the key is named by its ARN."""
    return original(self, self.get_key_id(key_id), *args, **kwargs)


@repair(KmsBackend, "create_key")
def create_key(
    original: Any, self: KmsBackend, policy: str | None, key_usage: str | None, *args: Any
) -> Key:
    """moto: a key is for nothing, unless it is said for what."""
    made: Key = original(self, policy, key_usage or "ENCRYPT_DECRYPT", *args)
    made.multi_region = bool(made.multi_region)
    return made


@repair(S3Backend, "put_object")
def put_object(
    original: Any,
    self: S3Backend,
    *args: Any,
    encryption: str | None = None,
    kms_key_id: str | None = None,
    **kwargs: Any,
) -> FakeKey:
    """moto: who asks for encryption, but for no key, gets the bucket's instead of S3's own."""
    made: FakeKey = original(self, *args, encryption=encryption, kms_key_id=kms_key_id, **kwargs)
    if encryption:
        made.kms_key_id = kms_key_id
    return made

"""Whom a change touches besides: their connections, their policies, what AWS serves them."""

from private_s3.blast_radius.radius import (
    COLUMNS,
    CUT_COLUMNS,
    POLICY_COLUMNS,
    endpoint_policy,
    read,
)

__all__ = ["COLUMNS", "CUT_COLUMNS", "POLICY_COLUMNS", "endpoint_policy", "read"]

"""Follows a request of an instance to S3 hop by hop, and marks the first that stops it."""

from private_s3.path.walk import (
    COLUMNS,
    HOPS,
    Way,
    checks,
    first_blocker,
    frame,
    hops,
    sentence,
    way,
)

__all__ = ["COLUMNS", "HOPS", "Way", "checks", "first_blocker", "frame", "hops", "sentence", "way"]

"""Names the first blocker between the instances and the bucket, and then the next."""

from private_s3.doctor.doctor import by_text, diagnose

__all__ = ["by_text", "diagnose"]

"""Looks, before anything is written, for what would stop a change or its checks half-way."""

from private_s3.preflight.looking_ahead import checks

__all__ = ["checks"]

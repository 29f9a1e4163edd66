"""Fixtures of the tests that run notebooks; papermill takes seconds to import."""

from __future__ import annotations

from tests.support.in_process import (  # noqa: F401 - fixtures
    impatient,
    in_process,
    started,
    unprinted,
)

"""Makes botocore and moto come up in half the time: they read much that nobody here asks for."""

import os
from functools import cache
from typing import Any

import botocore.session
import moto.core.utils
import moto.utilities.utils

# Where instances are: the Region of scenario.yaml, whose reader imports moto.
_REGION = "ap-northeast-1"


def install() -> None:
    """Leaves that out; to be called before the parts of moto are imported."""
    sessions: Any = botocore.session
    # Otherwise every session reads the descriptions of the services again, and so does moto.
    sessions.create_loader = cache(sessions.create_loader)
    core: Any = moto.core.utils
    core.create_loader = sessions.create_loader
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    resources: Any = moto.utilities.utils
    load = resources.load_resource

    def load_resource(path: str) -> Any:
        unused = "instance_type_offerings" in path and f"/{_REGION}.json" not in path
        return [] if unused else load(path)

    resources.load_resource = load_resource

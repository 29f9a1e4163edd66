"""moto made to answer as AWS, where it does not; importing a module installs its repairs."""

from collections.abc import Callable
from functools import wraps
from typing import Any

Method = Callable[..., Any]


def repair(owner: type, *names: str) -> Callable[[Method], Method]:
    """Puts a function in place of methods of `owner`; it gets the method it replaces first."""

    def install(function: Method) -> Method:
        for name in names:
            setattr(owner, name, _after(getattr(owner, name, None), function))
        return function

    return install


def _after(original: Any, function: Method) -> Method:
    @wraps(original or function)
    def method(*args: Any, **kwargs: Any) -> Any:
        return function(original, *args, **kwargs)

    return method

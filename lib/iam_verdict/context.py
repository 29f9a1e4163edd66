"""What a request says of itself, and how to reason when part of it is not known."""

from collections.abc import Iterable, Mapping, Sequence

# True, False, or the condition keys that would have to be known to say.
Truth = bool | frozenset[str]


def negate(truth: Truth) -> Truth:
    """The opposite; what is not known stays not known."""
    return not truth if isinstance(truth, bool) else truth


def either(truths: Iterable[Truth]) -> Truth:
    """True if one is; otherwise the keys that could still make one true; otherwise False."""
    unknown: frozenset[str] = frozenset()
    for truth in truths:
        if truth is True:
            return True
        if truth is not False:
            unknown |= truth
    return unknown or False


def every(truths: Iterable[Truth]) -> Truth:
    """False if one is; otherwise the keys that could still make one false; otherwise True."""
    return negate(either(map(negate, truths)))


class Context:
    """The condition keys of one request, whose names are case-insensitive.

    Remembers in `missing` which keys were asked for and are absent.
    """

    def __init__(self, keys: Mapping[str, str | Sequence[str]], unknown: Iterable[str] = ()):
        self._values = {
            name.lower(): (value,) if isinstance(value, str) else tuple(value)
            for name, value in keys.items()
        }
        self._unknown = frozenset(name.lower() for name in unknown)
        self.missing: set[str] = set()

    def knows(self, key: str) -> bool:
        """Whether it is known what the key holds, or that it is absent."""
        return key.lower() not in self._unknown

    def values(self, key: str) -> tuple[str, ...]:
        """The values of a key, none if it is absent."""
        values = self._values.get(key.lower(), ())
        if not values:
            self.missing.add(key)
        return values

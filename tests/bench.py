"""How fast things are, each against the fastest that it could be, measured in the same run.

`python -m tests.bench`
"""

import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from iam_verdict import Policies, Principal, Request, decide
from tests.support.oracle import corpus

_REPEATS = 7

# A request, and its policies as texts.
_Asked = tuple[Request, dict[str, Any]]


def main() -> None:
    """Prints a line for each thing that is measured."""
    print(verdicts())


def verdicts() -> str:
    """The speed of iam_verdict on policies that it never saw.

    Whoever decides from policies must read them: the floor is to read their JSON, and no more.
    """
    speeds, ratios = [], []
    for number in range(_REPEATS):
        asked = _recorded(number)
        floor = _seconds(_read, asked)
        ours = _seconds(_decide, asked)
        speeds.append(len(asked) / ours)
        ratios.append(ours / floor)
    return (
        f"iam_verdict: {median(speeds):,.0f} verdicts a second, {median(ratios):.1f} times as long"
        f" as json.loads of the same policies (medians of {_REPEATS})"
    )


def _recorded(number: int) -> list[_Asked]:
    """The recorded cases, their policies with an Id of this number so that no cache knows them."""

    def text(document: dict[str, Any]) -> str:
        return json.dumps({"Id": f"round {number}", **document})

    asked = []
    for case, _ in corpus.recorded()[1]:
        policies = dict(case.pop("policies"))
        for name, given in policies.items():
            if name in ("identity", "session"):
                policies[name] = [text(document) for document in given]
            elif name in ("organization", "resource_control"):
                policies[name] = [[text(document) for document in level] for level in given]
            elif name != "restrict_public_buckets":
                policies[name] = text(given)
        case["principal"] = Principal(**case["principal"])
        asked.append((Request(**case), policies))
    return asked


def _seconds(work: Callable[[_Asked], object], asked: list[_Asked]) -> float:
    started = time.perf_counter()
    for one in asked:
        work(one)
    return time.perf_counter() - started


def _decide(asked: _Asked) -> object:
    request, policies = asked
    return decide(request, Policies(**policies))


def _read(asked: _Asked) -> object:
    return [_loaded(given) for given in asked[1].values()]


def _loaded(given: Any) -> Any:
    if isinstance(given, str):
        return json.loads(given)
    return [_loaded(inner) for inner in given] if isinstance(given, list) else given


if __name__ == "__main__":
    main()

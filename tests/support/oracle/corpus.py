"""The committed cases with the engine's decisions, which are replayed without the engine.

`python -m tests.support.oracle.corpus` writes them again, for a new version of the engine say.
"""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import chain, count, islice
from typing import Any

import iam_verdict
from tests.support.oracle.cases import Case, case_of, verdict
from tests.support.oracle.engine import FOLDER, PACKAGE, Engine, version
from tests.support.oracle.exclusions import excluded

FILE = FOLDER / "corpus.jsonl.gz"
CASES = 3_000
# At most so many of the same caller, decision, deciding layer and layers: dull cases abound.
_ALIKE = 3
# The numbers of cases without which some planted faults would not be found: rare ones.
_TELLING = (4770, 8207, 10507, 12954, 31652, 34436)


@cache
def recorded() -> tuple[str, list[tuple[Case, str]]]:
    """The engine's version, and each case with the decision that it came to."""
    first, *lines = gzip.decompress(FILE.read_bytes()).decode().splitlines()
    return json.loads(first)[PACKAGE], [tuple(json.loads(line)) for line in lines]


def differences(package: Any = iam_verdict) -> Iterator[Case]:
    """The recorded cases that the package, or one like it, decides otherwise."""
    for case, decision in recorded()[1]:
        if verdict(case, package).decision != decision:
            yield case


def _varied() -> Iterator[Case]:
    seen = Counter[tuple[str, ...]]()
    for case in map(case_of, chain(_TELLING, count())):
        ours = verdict(case)
        kind = (case["principal"]["kind"], ours.decision, ours.layer, *case["policies"])
        if not excluded(case) and seen[kind] < _ALIKE:
            seen[kind] += 1
            yield case


def write() -> None:
    """Asks the engine, and writes down what it decides."""
    engine = Engine()
    lines = [{PACKAGE: version()}, *engine.answers(islice(_varied(), CASES))]
    engine.close()
    text = "\n".join(json.dumps(line, separators=(",", ":")) for line in lines)
    FILE.write_bytes(gzip.compress(text.encode(), mtime=0))


if __name__ == "__main__":
    write()

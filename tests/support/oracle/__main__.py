"""Compares many cases with the independent engine and says what came of them.

`python -m tests.support.oracle [CASES [SEED]]`; the exit code is 1 if one is not explained.
"""

import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.support.oracle.cases import verdict
from tests.support.oracle.differential import Comparison, compare, shrink
from tests.support.oracle.engine import PACKAGE, install, version

_SHOWN = 5


def main(count: int = 250_000, seed: int = 0) -> int:
    """Compares the cases from this number on, on all cores."""
    install()
    started = time.monotonic()
    workers = os.cpu_count() or 1
    result = Comparison()
    with ProcessPoolExecutor(workers) as pool:
        shares = [range(seed + first, seed + count, workers) for first in range(workers)]
        for part in pool.map(compare, shares):
            result.add(part)
    print(f"engine       {PACKAGE} {version()}")
    print(f"cases        {result.cases:,} from number {seed} on")
    print(f"compared     {result.compared:,}")
    print(f"excluded     {result.excluded.total():,}")
    for name, number in result.excluded.most_common():
        print(f"  {number:>10,} {name}")
    print("verdicts")
    for name, number in result.verdicts.most_common():
        print(f"  {number:>10,} {name}")
    print(f"differences  {len(result.differences)}")
    for case in result.differences[:_SHOWN]:
        small = shrink(case)
        print(f"  we say {verdict(small).decision}: {json.dumps(small)}")
    print(f"seconds      {time.monotonic() - started:.0f}")
    complete = result.cases == count == result.compared + result.excluded.total()
    return 0 if complete and not result.differences else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))

"""Makes the pandas tables that notebooks show: whole ids, no row numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def table(rows: Iterable[Sequence[Any]], columns: Sequence[str]) -> pd.DataFrame:
    """The rows as a frame with these columns, also when there are none."""
    # Imported here: it takes longer than everything else, and not every command shows a table.
    import pandas as pd

    pd.set_option("display.max_colwidth", None, "display.max_rows", None, "display.width", 250)
    frame = pd.DataFrame(list(rows), columns=list(columns))
    frame.index = pd.Index([""] * len(frame))
    return frame

"""Makes the pandas tables that notebooks show: whole ids, text to the left, no row numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from private_s3.clean import clean

if TYPE_CHECKING:
    import pandas as pd


def table(rows: Iterable[Sequence[Any]], columns: Sequence[str]) -> pd.DataFrame:
    """The rows as a frame with these columns, also when there are none; its texts are clean."""
    texts = [[clean(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    made = _table_class()(texts, columns=list(columns))
    made.index = [""] * len(made)
    return made


@cache
def _table_class() -> type[pd.DataFrame]:
    # Imported here: it takes longer than everything else, and not every command shows a table.
    import pandas as pd

    pd.set_option("display.max_colwidth", None, "display.max_rows", None, "display.width", 250)

    class Table(pd.DataFrame):
        """A frame that a notebook shows with its text to the left; markup in it stays text."""

        @property
        def _constructor(self) -> type[pd.DataFrame]:
            return Table

        def _repr_html_(self) -> str:
            # In the cells themselves, since notebooks and their HTML align cells to the right.
            html = self.to_html(index=False, border=0, escape=True)
            return re.sub(r"<(t[hd])>", r'<\1 style="text-align: left">', html)

    return Table

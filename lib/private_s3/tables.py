"""Makes the pandas tables that notebooks show: whole ids, text to the left, no row numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from private_s3.clean import clean

if TYPE_CHECKING:
    import pandas as pd

# Cells that are looked for first. White reads on each of these, and each on a page of any theme;
# what they say is said by the word or sign itself.
GREEN, RED, AMBER, GREY = "#1b6e3c", "#b3261e", "#8a5a00", "#565d66"
STATES = {"PASS": GREEN, "FAIL": RED, "UNCERTAIN": AMBER, "SKIPPED": GREY}
STATES |= {"open": GREEN, "blocked": RED, "uncertain": AMBER}  # of the hops to S3
SIGNS = {"+": GREEN, "-": RED}
# Browsers part words at these: ids, ARNs and names that hold one are kept whole.
_PARTED = re.compile(r"\S+[-/]\S+")
_PLATE = "padding: 1px 6px; border-radius: 3px; font-weight: bold; color: #ffffff;"
# A cell in the HTML of pandas: what begins its row, if it is the first; its tag; its text.
_CELL = re.compile(r"(<tr>\s*)?<(t[hd])>([^<]*)")


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
    # JupyterLab would set what stands between two dollars, as in policy variables, as a formula.
    pd.set_option("display.html.use_mathjax", False)

    class Table(pd.DataFrame):
        """A frame that a notebook shows with its text to the left; markup in it stays text."""

        @property
        def _constructor(self) -> type[pd.DataFrame]:
            return Table

        def _repr_html_(self) -> str:
            html = self.to_html(index=False, border=0, escape=True)
            # In any other column than the first, a "-" stands for nothing.
            signs = SIGNS if list(self.columns[:1]) == [""] else {}
            return _CELL.sub(lambda cell: _shown(cell, signs), html)

    return Table


def _shown(cell: re.Match[str], signs: Mapping[str, str]) -> str:
    """A cell as notebooks keep it: they align to the right, and drop style sheets."""
    row, tag, text = cell.groups("")  # the text is escaped already
    colours = {**STATES, **(signs if row else {})} if tag == "td" else {}
    if text in colours:
        text = f'<span style="{_PLATE} background-color: {colours[text]}">{text}</span>'
    else:
        text = _PARTED.sub(r'<span style="white-space: nowrap">\g<0></span>', text)
    return f'{row}<{tag} style="text-align: left; vertical-align: top">{text}'

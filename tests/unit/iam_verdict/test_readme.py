"""The example of the package's README does what it says."""

import re
from pathlib import Path
from typing import Any

import iam_verdict

README = Path(iam_verdict.__file__).with_name("README.md")


def test_example_gives_the_values_that_it_shows() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    shown = re.findall(r"^(verdict\..+?)  # (.+)$", code, re.MULTILINE)
    assert len(shown) == 4
    for expression, value in shown:
        assert repr(eval(expression, names)) == value

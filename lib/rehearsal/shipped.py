"""The IAM policies that this project ships for operators, filled in for an account."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_FOLDER = Path("params/iam")
# By the word in capitals what stands for it; of several values, each in a text of its own.
Values = Mapping[str, Sequence[str]]


def policy(name: str, values: Values) -> str:
    """A policy by the name of its file, as JSON."""
    document = json.loads((_folder() / f"{name}.json").read_text(encoding="utf-8"))
    for statement in document["Statement"]:
        for element in ("Resource", "Condition"):
            if element in statement:
                statement[element] = _filled(statement[element], values)
    return json.dumps(document)


def _folder() -> Path:
    """Where the files are: in the project that this runs in, else in the one it is a part of."""
    here = Path.cwd()
    for top in (here, *here.parents, Path(__file__).parents[2]):
        if (top / _FOLDER).is_dir():
            return top / _FOLDER
    raise FileNotFoundError(
        "Could not start the rehearsal account.\n"
        f"The policies of its operator, {_FOLDER}/*.json, are in no folder above {here}.\n"
        "Next: run this from the top of the project"
    )


def _filled(value: Any, values: Values) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, values) for key, item in value.items()}
    texts = [text for one in _as_list(value) for text in _texts(one, values)]
    return texts if len(texts) > 1 else texts[0]


def _texts(text: str, values: Values) -> list[str]:
    """The text with what stands for its words; once for each value of a word that has several."""
    texts = [text]
    for word, meant in values.items():
        if word in text:
            texts = [one.replace(word, value) for one in texts for value in meant]
    return texts


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

"""Takes account ids out of pages, the same id by the same name in all of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping

# Twelve digits that are no part of a longer word; also after an escape, as in %3A or \n.
_STANDALONE = re.compile(
    r"(?:(?<![0-9A-Za-z])|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrt])|(?<=\\x[0-9a-f]{2}))"
    r"([0-9]{12})(?![0-9A-Za-z])"
)
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_PICTURE = re.compile(r'<img src="data:image/png;base64,([A-Za-z0-9+/=]*)" alt="([^"]*)"[^>]*>')


class Redaction:
    """What stands for each account id of some pages; `own` is the account of the change.

    Twelve digits that are one of `digests` are no account.
    """

    def __init__(self, pages: Iterable[str], own: str, digests: Collection[str]) -> None:
        texts = [_UUID.sub("", _PICTURE.sub(r"\2", page)) for page in pages]
        found = dict.fromkeys(one for text in texts for one in _STANDALONE.findall(text))
        if _STANDALONE.fullmatch(own):
            found = {own: None, **found}
        ids = [one for one in found if one not in digests]
        self.names = {one: f"account-{number}" for number, one in enumerate(ids, 1)}

    def pages(self, pages: Mapping[str, str]) -> dict[str, str]:
        """The pages without the ids."""
        return {name: self.page(page) for name, page in pages.items()}

    def page(self, page: str) -> str:
        """One page without the ids; of a picture that shows one its description is left."""
        parts, end = [], 0
        for found in _PICTURE.finditer(page):
            parts += [self.text(page[end : found.start()]), self._picture(found)]
            end = found.end()
        return "".join([*parts, self.text(page[end:])])

    def text(self, text: str) -> str:
        """A text without the ids, also where they stand within a word."""
        if not self.names:
            return text
        spelled = {
            spelling: name
            for one, name in self.names.items()
            for spelling in (one, f"{one[:4]}-{one[4:8]}-{one[8:]}")
        }
        pattern = rf"(?<![0-9])(?:{'|'.join(spelled)})(?![0-9])"
        return re.sub(pattern, lambda found: spelled[found[0]], text)

    def _picture(self, found: re.Match[str]) -> str:
        alt = self.text(found[2])
        if alt == found[2] and alt:
            return found[0]
        # What is in the picture is known from its description alone.
        told = alt or "nothing is known of what it shows"
        return f'<p class="quiet">Picture left out, which may show account ids. {told}</p>'

"""What a mask names, hidden wherever it stands: in prose, in strings and keys of JSON, in whole numbers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from sallyport.pep.model import Json
from sallyport.pep.release.addresses import EMAIL, IP
from sallyport.pep.release.credentials import SECRET, SECRET_KEY
from sallyport.pep.release.numbers import CARD, IBAN, PHONE, SSN
from sallyport.pep.release.withheld import Withheld

# What has check digits or a form of its own comes before what is only a number.
PATTERNS: Final = {"secret": SECRET, "email": EMAIL, "iban": IBAN, "card": CARD, "ssn": SSN, "ip": IP, "phone": PHONE}
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ESCAPED: Final = re.compile(r"\\u00(?!22|5[cC])([2-7][0-9a-fA-F])")  # JSON within prose: \u0040 is an @


class Masks:
    """Some of the patterns, ready to hide."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self._patterns = [pattern for kind, pattern in PATTERNS.items() if kind in kinds]
        self._secrets = "secret" in kinds

    def text(self, text: str) -> str:
        plain = _plain(text)
        for pattern in self._patterns:
            plain = pattern.hide(plain)
        return plain

    def data(self, value: Json) -> Json:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.data(item) for item in value]
        if isinstance(value, dict):
            return self._object(value)
        return self._number(value)

    def _object(self, value: dict[str, Json]) -> Json:
        masked = {self.text(key): self._member(key, item) for key, item in value.items()}
        if len(masked) != len(value):
            raise Withheld("two keys are one under a mask")
        return masked

    def _member(self, key: str, item: Json) -> Json:
        # camelCase has no sign between its words.
        spelt = _HUMP.sub("_", key).removesuffix("s") if self._secrets else ""
        return _hidden(item) if spelt and SECRET_KEY.fullmatch(spelt) else self.data(item)

    def _number(self, value: Json) -> Json:
        """4111111111111111 is a card as well as "4111111111111111" is."""
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
            return value
        text = str(int(value))
        masked = self.text(text)
        return value if masked == text else masked


def _plain(text: str) -> str:
    """As it is read: without characters that nobody sees, and without escapes of what needs none."""
    if "\\u00" in text:
        text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    if text.isascii():
        return text
    return "".join(character for character in text if character.isascii() or unicodedata.category(character) != "Cf")


def _hidden(item: Json) -> Json:
    """A number of `tokens` tells nothing, and neither does whether there is a password."""
    if isinstance(item, list):
        return [_hidden(each) for each in item]
    if isinstance(item, dict):
        return {key: _hidden(each) for key, each in item.items()}
    return SECRET.mark if isinstance(item, str) else item

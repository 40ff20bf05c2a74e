"""What a mask names, hidden wherever it stands: in prose, in strings and keys of JSON, in whole numbers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

from sallyport.pep.model import Json
from sallyport.pep.release.addresses import EMAIL, IP
from sallyport.pep.release.credentials import SECRET, SECRET_KEY
from sallyport.pep.release.numbers import CARD, IBAN, PHONE, SSN
from sallyport.pep.release.together import Together
from sallyport.pep.release.withheld import Withheld

# What has check digits or a form of its own comes before what is only a number.
PATTERNS: Final = {"secret": SECRET, "email": EMAIL, "iban": IBAN, "card": CARD, "ssn": SSN, "ip": IP, "phone": PHONE}
_LEAST: Final = 10**6  # no pattern takes fewer than seven digits without a sign between them for anything
_SHORT: Final = 64  # characters
_WORD: Final = re.compile(r"[A-Za-z_-]{1,32}")  # a member's name, and no secret of its own
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_ESCAPED: Final = re.compile(r"\\u00(?!22|5[cC])([2-7][0-9a-fA-F])")  # JSON within prose: \u0040 is an @


class Masks:
    """Some of the patterns, ready to hide."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self._patterns = [pattern for kind, pattern in PATTERNS.items() if kind in kinds]
        self._secrets = "secret" in kinds

    def text(self, text: str) -> str:
        text = _plain(text)
        if len(text) > _SHORT:
            return self._hidden([text])[0]
        for pattern in self._patterns:
            text = pattern.hide_in(text)
        return text

    def data(self, value: Json) -> Json:
        """JSON, all strings of it at once."""
        strings: dict[str, None] = {}
        keys: dict[str, bool] = {}
        self._gather(value, strings, keys)
        return _told(value, self._changes(list(strings)), keys)

    def _hidden(self, strings: Sequence[str]) -> Sequence[str]:
        left = Together(strings)
        for pattern in self._patterns:
            left = pattern.hide(left)
        return left.strings

    def _gather(self, value: Json, strings: dict[str, None], keys: dict[str, bool]) -> None:
        """Every string once, numbers that are long enough too; and of each key whether it names a secret."""
        if isinstance(value, dict):
            for key, item in value.items():
                if key not in keys:
                    strings[key], keys[key] = None, self._secrets and _names_secret(key)
                if not keys[key] or _counts(key, item):
                    self._gather(item, strings, keys)
        elif isinstance(value, list):
            for item in value:
                self._gather(item, strings, keys)
        elif text := _spelt(value):
            strings[text] = None

    def _changes(self, strings: list[str]) -> dict[str, str]:
        """Of those that a mask changes, what is left."""
        plain = strings if _is_plain("".join(strings)) else [_plain(text) for text in strings]
        left = self._hidden(plain) if strings else []
        return {given: changed for given, changed in zip(strings, left, strict=True) if changed is not given}


def _told(value: Json, changes: Mapping[str, str], keys: Mapping[str, bool]) -> Json:
    if isinstance(value, dict):
        told = {
            changes.get(key, key): _blank(item) if keys[key] and not _counts(key, item) else _told(item, changes, keys)
            for key, item in value.items()
        }
        if len(told) != len(value):
            raise Withheld("two keys are one under a mask")
        return told
    if isinstance(value, list):
        return [_told(item, changes, keys) for item in value]
    return changes.get(_spelt(value), value)


def _spelt(value: Json) -> str:
    """What a mask looks at: 4111111111111111 is a card as well as "4111111111111111" is."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    return "" if -_LEAST < value < _LEAST or value != value // 1 else str(int(value))


def _names_secret(key: str) -> bool:
    # camelCase has no sign between its words.
    return SECRET_KEY.fullmatch(_HUMP.sub("_", key).removesuffix("s")) is not None


def _is_plain(text: str) -> bool:
    return text.isascii() and "\\u00" not in text


def _plain(text: str) -> str:
    """As it is read: without characters that nobody sees, and without escapes of what needs none."""
    if "\\u00" in text:
        text = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)
    if text.isascii():
        return text
    unseen = {ord(each): None for each in set(text) if not each.isascii() and unicodedata.category(each) == "Cf"}
    return text.translate(unseen) if unseen else text


def _counts(key: str, item: Json) -> bool:
    """A number of `tokens` tells nothing; a `token` that is a number does."""
    return isinstance(item, int | float) and key[-1:] in {"s", "S"} and _names_secret(key[:-1])


def _blank(item: Json) -> Json:
    """Everything beneath goes; whether there is a password tells nothing."""
    if item is None or isinstance(item, bool):
        return item
    if isinstance(item, list):
        return [_blank(each) for each in item]
    if isinstance(item, dict) and all(_WORD.fullmatch(key) for key in item):
        return {key: _blank(each) for key, each in item.items()}
    return SECRET.mark

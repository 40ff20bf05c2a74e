"""Names and words that a reader takes for others: by case, by width, by letters of another script (UTS 39, in short)."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

# Lower-case letters of Cyrillic, Greek and Armenian, and letters of Latin itself, that look like ASCII ones.
_CYRILLIC: Final = dict(zip("авеёкмнорстухіјѕԁԛԝһґьгѵӏпԍ", "abeekmhopctyxijsdqwhrbrvlng", strict=True))
_GREEK: Final = dict(zip("αβγεζηικνορτυχωϲϳ", "abyeznikvoptuxwcj", strict=True))
_OTHER: Final = dict(zip("աոսօհցզƿɑɡɩıƖǀℓⅼօ", "wnuohgqpagiillllo", strict=True))
_LETTERS: Final = str.maketrans({**_CYRILLIC, **_GREEK, **_OTHER})
_CAPITALS: Final = str.maketrans(
    dict(zip("АВЕЗКМНОРСТУХІЈЅԌԚԜҺΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "AB\u0045ZKMHOPCTYXIJSGQWHABEZHIKMNOPTYX", strict=True))
)
_DIGITS: Final = str.maketrans("01", "ol")
_SEPARATORS: Final = re.compile(r"[-_. ]+")
_WORD: Final = re.compile(r"\w+")
_SCRIPTS: Final = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE")


def folded(text: str) -> str:
    """The text as it is read: what isn't seen is gone, lookalikes are ASCII, all in lower case."""
    seen = "".join(char for char in unicodedata.normalize("NFKC", text) if unicodedata.category(char) != "Cf")
    letters = unicodedata.normalize("NFD", seen.translate(_CAPITALS).casefold().translate(_LETTERS))
    return "".join(char for char in letters if not unicodedata.combining(char))


def skeletons(name: str) -> frozenset[str]:
    """Names that share one of these look alike. `I` is read as `i` or as `l`, and separators as each other."""
    forms = (folded(name), folded(name.replace("I", "l")))
    return frozenset(_SEPARATORS.sub("_", form.translate(_DIGITS)) for form in forms)


def alike(one: str, other: str) -> bool:
    return not skeletons(one).isdisjoint(skeletons(other))


def mixed_words(text: str) -> tuple[str, ...]:
    """Words written in letters of several scripts: nobody types those, but who wants to be read as another word."""
    return tuple(dict.fromkeys(word for word in _WORD.findall(text) if len(_scripts(word)) > 1))


def _scripts(word: str) -> set[str]:
    if word.isascii():
        return set()
    names = (unicodedata.name(char, "").partition(" ")[0] for char in word if char.isalpha())
    return {name for name in names if name in _SCRIPTS}

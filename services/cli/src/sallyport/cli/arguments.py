"""`key=value` on the command line as a tool's arguments.

`key:=JSON` is that JSON. `key=value` is text, unless the tool's schema says that `key` is something else than a
string: then it is read as JSON (5, true, ["a"]). The schema is asked for only if that could make a difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sallyport.cli.complaint import Complaint
from sallyport.runtime import strict_json


@dataclass(frozen=True, slots=True)
class Given:
    texts: Mapping[str, str]
    values: Mapping[str, Any]

    @property
    def ambiguous(self) -> bool:
        """Whether some text could also be a JSON value other than a string."""
        return any(not isinstance(_as_json(text), str) for text in self.texts.values())

    def fit(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments, under the tool's input schema; an empty one leaves every text a text."""
        properties = schema.get("properties")
        known = properties if isinstance(properties, dict) else {}
        fitted = {key: _fit(text, known.get(key)) for key, text in self.texts.items()}
        return {**fitted, **self.values}


def parse(words: Iterable[str]) -> Given:
    texts: dict[str, str] = {}
    values: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        explicit = key.endswith(":")
        key = key.removesuffix(":")
        if not key or not equals:
            raise Complaint(f"{word}: not KEY=VALUE", "write arguments as path=alice/notes.txt or limit:=5")
        if key in texts or key in values:
            raise Complaint(f"{key} is given twice", "give each argument once")
        if explicit:
            values[key] = _must_be_json(key, text)
        else:
            texts[key] = text
    return Given(texts, values)


def _must_be_json(key: str, text: str) -> Any:
    try:
        return strict_json.parse(text.encode())
    except strict_json.JsonRefused as refused:
        raise Complaint(f"{key}:= is not JSON ({refused})", f"write {key}={text} for plain text") from None


def _fit(text: str, schema: object) -> Any:
    match schema:
        case {"type": str(kind)} if kind != "string":
            return _as_json(text)
        case _:
            return text


def _as_json(text: str) -> Any:
    """The JSON value, or the text itself where it is none: then the gate says what is wrong with it."""
    try:
        return strict_json.parse(text.encode())
    except strict_json.JsonRefused:
        return text

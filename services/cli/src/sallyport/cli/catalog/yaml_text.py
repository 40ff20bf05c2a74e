"""YAML that says exactly what was meant, to our own reader and to any other, whatever the strings in it are.

Block style, so that a reviewer can read it and a diff shows it. A string is written plain only where nobody could take
it for anything else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from sallyport.runtime import exact_json, strict_yaml
from sallyport.runtime.problems import ConfigError

# Word by word: as one expression for the whole text its time would grow with the square of it, or worse.
_FIRST: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_WORD: Final = re.compile(r"[A-Za-z0-9_(][A-Za-z0-9_./()'-]*")
# YAML 1.1 and its readers have many words for few values.
_WORDS: Final = frozenset(
    {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "none", "nan", "inf", "infinity"}
)
_MAX_KEY: Final = 512  # characters; a longer one can't stand before its colon (YAML 1.2 §7.4.2: 1024, quoted)
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


class NotWritable(ValueError):
    """No YAML that our own reader takes says this. The text holds none of it."""


def lines(value: Any, indent: int = 0) -> list[str]:
    """A value in block style, each line indented by so many blanks. Raises NotWritable."""
    return [f"{' ' * indent}{line}" if line else "" for line in _block(value)]


def flow(value: Any) -> str:
    """A value on one line."""
    return _short(value)


def checked(text: str, meant: Any) -> str:
    """The text, if reading it gives what was meant. Raises NotWritable."""
    try:
        read = strict_yaml.parse(text.encode(), "", exact=True).value
        same = exact_json.encode(read) == exact_json.encode(meant)
    except (ConfigError, ValueError):
        same = False
    if not same:
        raise NotWritable("can't be written in YAML as it is: too deep, too long, or a number that readers differ on")
    return text


def _block(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        yield from _mapping(value)
    elif isinstance(value, list | tuple) and value:
        for item in value:
            yield from _item(item)
    else:
        yield _short(value)


def _mapping(value: Mapping[str, Any]) -> Iterator[str]:
    for key, item in value.items():
        if len(key) > _MAX_KEY:
            raise NotWritable(f"has a key of more than {_MAX_KEY} characters")
        if isinstance(item, str) and (literal := _literal(item)):
            head, *rest = literal
            yield f"{_text(key)}: {head}"
            yield from (f"  {line}" if line else "" for line in rest)
        elif _is_flat(item):
            yield f"{_text(key)}: {_short(item)}"
        else:
            yield f"{_text(key)}:"
            yield from (f"  {line}" if line else "" for line in _block(item))


def _item(value: Any) -> Iterator[str]:
    if _is_flat(value):
        yield f"- {_short(value)}"
        return
    first, *rest = _block(value)
    yield f"- {first}"
    yield from (f"  {line}" if line else "" for line in rest)


def _is_flat(value: Any) -> bool:
    """Whether it stands on one line: scalars, and short lists of them."""
    if isinstance(value, list | tuple):
        return all(not isinstance(item, list | tuple | Mapping) for item in value) and len(_flow(value)) < 80  # noqa: PLR2004
    if isinstance(value, Mapping):
        return not value or (value.keys() <= {"upstream", "tool", "hosted"})
    return True


def _short(value: Any) -> str:
    if isinstance(value, list | tuple):
        return _flow(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(key)}: {_short(item)}" for key, item in value.items()) + "}"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int):
        return str(value)
    return _number(value) if isinstance(value, float) else _text(value)


def _flow(value: Iterable[Any]) -> str:
    return "[" + ", ".join(map(_short, value)) + "]"


def _number(value: float) -> str:
    if value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    text = repr(value)
    if "e" in text:
        mantissa, _, exponent = text.partition("e")
        text = f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent}"
    elif "." not in text:  # inf and nan
        text = format(Decimal(text), "f")
    return text


def _text(text: str) -> str:
    if _is_plain(text) and text.lower() not in _WORDS:
        return text
    return f'"{"".join(map(_character, text))}"'


def _is_plain(text: str) -> bool:
    first, *words = text.split(" ")
    return _FIRST.fullmatch(first) is not None and all(map(_WORD.fullmatch, words))


def _character(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\U{code:08X}" if code > 0xFFFF else f"\\u{code:04X}"  # noqa: PLR2004 — the last of the first plane


def _literal(text: str) -> list[str] | None:
    """A block scalar's lines, for text of several lines that one can hold without a doubt."""
    body = text.removesuffix("\n")
    parts = body.split("\n")
    plain = all(part.isprintable() and part == part.strip() for part in parts)
    if len(parts) < 2 or not plain or not parts[0] or not parts[-1]:  # noqa: PLR2004 — one line is no block
        return None
    return ["|" if body != text else "|-", *parts]

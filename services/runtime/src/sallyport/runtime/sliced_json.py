"""JSON of megabytes, written in slices: while the encoder of the standard library is at work no other thread has a turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeAlias

from sallyport.runtime import canonical_json
from sallyport.runtime.strict_json import Json

SLICE: Final = 64 << 10  # bytes, roughly: a few milliseconds
_ITEMS: Final = 1024  # that are looked at, and written, together
_NULL: Final = len("null}")

Container: TypeAlias = "list[Json] | dict[str, Json]"
_Inside: TypeAlias = tuple[Container]  # to be written without its brackets
_Left: TypeAlias = "Json | bytes | _Inside"


def written(value: Json, write: Callable[[Json], bytes], *, most: int = SLICE) -> bytes:
    """What `write` gives, from slices of it. `write` must write all that a value holds, in whatever order."""
    told: list[bytes] = []
    left: list[_Left] = [value]
    while left:  # no recursion: each level of nesting may be cut many times
        item = left.pop()
        if isinstance(item, bytes):
            told.append(item)
        elif isinstance(item, tuple):
            left.extend(reversed(_inside(item[0], write, most)))
        elif isinstance(item, list | dict) and canonical_json.exceeds(item, most):
            opening, closing = (b"[", b"]") if isinstance(item, list) else (b"{", b"}")
            left += [closing, (item,), opening]
        else:
            told.append(write(item))
    return b"".join(told)


def _inside(value: Container, write: Callable[[Json], bytes], most: int) -> Sequence[_Left]:
    if len(value) <= _ITEMS and not canonical_json.exceeds(value, most):
        return [write(value)[1:-1]]
    if len(value) > 1:
        return [part for cut in _cut(value) for part in (b",", (cut,))][1:]
    if isinstance(value, list):
        return value
    [(key, item)] = value.items()
    return [write({key: None})[1:-_NULL], item]


def _cut(value: Container) -> Iterator[Container]:
    step = min(_ITEMS, (len(value) + 1) // 2)
    if isinstance(value, list):
        yield from (value[begin : begin + step] for begin in range(0, len(value), step))
    else:
        members = iter(value.items())
        yield from (dict(islice(members, step)) for _ in range(0, len(value), step))

"""How deep a text nests, told from its tokens alone: Cedar's parser recurses, and a stack that overflows kills the PDP.

Measured with cedarpy 4.12: a bracket takes about 11 KiB of stack, an operator of a chain 5 KiB. Both bounds together
stay below 1 MiB, an eighth of the stack that a thread gets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sallyport.pdp.cedar_text import Token

MAX_BRACKETS = 32
MAX_TYPES = 64
MAX_EXPANDED = 10_000  # tokens, once every named type is written out where it is used
MAX_DEPTH = 100  # brackets, chained operators, `if`s and attribute steps on the way to the innermost term
_OPENING = frozenset("([{")
_CLOSING = frozenset(")]}")
_CHAINED = frozenset({"||", "&&", "+", "-", "*", "!", "if"})


@dataclass(slots=True)
class _Group:
    """What stands between two brackets; its parts between commas lie side by side."""

    operators: int = 0
    steps: int = 0  # `.a`, `[…]` and `(…)` behind the present term
    longest: int = 0
    inner: int = 0
    earlier: int = 0  # the deepest part before the last comma

    @property
    def depth(self) -> int:
        return max(self.earlier, 1 + self.operators + self.longest + self.inner)

    def step(self) -> None:
        self.steps += 1
        self.longest = max(self.longest, self.steps)

    def take(self, token: Token) -> None:
        match token.text:
            case "," | ";":
                self.earlier = self.depth
                self.operators = self.steps = self.longest = self.inner = 0
            case ".":
                self.step()
            case sign if sign in _CHAINED:
                self.operators += 1
                self.steps = 0


def too_deep(held: Iterable[Token], *, angles: bool = False) -> Token | None:
    """The token at which the text turns out to nest too deep, None if it doesn't. `angles`: `Set<…>` nests too."""
    opening = _OPENING | {"<"} if angles else _OPENING
    closing = _CLOSING | {">"} if angles else _CLOSING
    groups = [_Group()]
    last = None
    for last in held:
        if last.kind == "string":
            continue
        if last.text in opening:
            groups[-1].step()
            groups.append(_Group())
        elif last.text in closing:
            _close(groups)
        else:
            groups[-1].take(last)
        if len(groups) > MAX_BRACKETS + 1 or groups[-1].depth > MAX_DEPTH:
            return last
    while len(groups) > 1:  # whatever was left open
        _close(groups)
    return last if groups[0].depth > MAX_DEPTH else None


def _close(groups: list[_Group]) -> None:
    if len(groups) > 1:
        inner = groups.pop().depth
        groups[-1].inner = max(groups[-1].inner, inner)


def expands_too_far(held: Iterable[Token]) -> Token | None:
    """The name of a schema's type that stands for too much: types of types double with each (a "billion laughs")."""
    bodies: dict[str, list[Token]] = {}
    body: list[Token] = []
    before = ""
    for token in held:
        if before == "type" and token.kind == "name":
            body = bodies.setdefault(token.text, [])
        body.append(token)
        before = token.text
        if len(bodies) > MAX_TYPES:
            return token
    sizes: dict[str, int] = {}
    for name in bodies:
        if _expanded(name, bodies, sizes) > MAX_EXPANDED:
            return bodies[name][0]
    return None


def _expanded(name: str, bodies: dict[str, list[Token]], sizes: dict[str, int]) -> int:
    """At most MAX_TYPES calls deep: each name is asked for once. A cycle is left to Cedar, which refuses it."""
    if name not in sizes:
        sizes[name] = 1
        inner = bodies[name][1:]
        sizes[name] = sum(_expanded(token.text, bodies, sizes) if token.text in bodies else 1 for token in inner)
    return sizes[name]

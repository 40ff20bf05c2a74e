"""Which parts of the context the policies of an action read: the rest needn't be sent, and costs most of a decision.

And which resources any policy names: all others of a type differ by their attributes alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final, TypeAlias

from cedarpy import pst

from sallyport.pdp import listed
from sallyport.pdp.policy import Policy
from sallyport.pdp.schema import Action
from sallyport.pdp.slices import ANY, Key, action_keys
from sallyport.pdp.types import Field, Record

Path: TypeAlias = tuple[str, str]  # such as ("session", "risk")
_ALL: Final[Path] = ("", "")
_CONTEXT: Final = pst.Var("context")


class Reads:
    """What each action's policies read."""

    def __init__(self) -> None:
        self._by_action: dict[Key, set[Path]] = defaultdict(set)
        self.named: set[Key] = set()

    def enter(self, policy: Policy) -> None:
        literals = pst.entity_uids((policy.node.resource, *policy.node.clauses))
        self.named |= {(str(uid.type), uid.id) for uid in literals if str(uid.type) in listed.MANY}
        read = frozenset(path for clause in policy.node.clauses for path in _read(clause.expr))
        for key in action_keys(policy.node.action) if read else ():
            self._by_action[key] |= read

    def context(self, action: Action) -> Record:
        """The action's context without what no policy reads of it; each part stays, if empty, for `has` to find."""
        keys = (ANY, *(("Action", name) for name in (action.name, *action.parents)))
        read = {path for key in keys for path in self._by_action.get(key, ())}
        if _ALL in read:
            return action.context
        return Record({name: Field(_trimmed(name, field, read), True) for name, field in action.context.fields.items()})


def _trimmed(part: str, field: Field, read: set[Path]) -> Record:
    if not isinstance(field.type, Record):
        raise TypeError("a part of the context that is no record")
    return Record({name: inner for name, inner in field.type.fields.items() if (part, name) in read})


def _read(expression: pst.Expr) -> Iterator[Path]:
    """Every `context.a.b` that is read or asked for; whatever else is done with the context reads all of it."""
    waiting: list[object] = [expression]
    while waiting:
        found = waiting.pop()
        match found:
            case pst.GetAttr(pst.GetAttr(base, part), name) if base == _CONTEXT:
                yield part, name
            case pst.HasAttr(pst.GetAttr(base, part), names) if base == _CONTEXT:
                yield part, names[0]
            case pst.HasAttr(base, (part, name, *_)) if base == _CONTEXT:
                yield part, name
            case pst.HasAttr(base, (_,)) if base == _CONTEXT:
                pass  # every part is always sent
            case pst.Var("context"):
                yield _ALL
            case _:
                waiting += _inside(found)


def _inside(node: object) -> Iterator[object]:
    if isinstance(node, tuple):
        yield from node
    elif isinstance(node, dict):
        yield from node.values()
    else:
        yield from (getattr(node, name) for name in getattr(node, "__dataclass_fields__", ()))

"""Arguments for a question that comes without: what catalog and resource say, and stand-ins that no caller sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cedarpy import pst

from sallyport.pdp.policy import Policy, nodes
from sallyport.pdp.policy_tests.filling import filled
from sallyport.pdp.schema import Action
from sallyport.pdp.types import CedarType, Primitive, Record, SetOf

_STAND_INS: Final[Mapping[str, Any]] = {"Bool": False, "Long": 0, "decimal": 0}


@dataclass(frozen=True, slots=True)
class Filled:
    input: Mapping[str, Any]
    stand_ins: tuple[str, ...]  # arguments that nothing gives, and that Cedar must have


def fill(action: Action, given: Mapping[str, Any], resource: tuple[str, str]) -> Filled:
    """What is given, with what the typed input needs beside it."""
    found = filled(action, resource, given)
    missing = [name for name, field in action.input.fields.items() if field.required and name not in found]
    stand_ins = {name: _stand_in(action.input.fields[name].type) for name in missing}
    return Filled({**found, **stand_ins}, tuple(missing))


def reads(policies: Iterable[Policy], part: str) -> frozenset[str]:
    """Which of the `session`'s or the `input`'s attributes these policies name."""
    base = pst.GetAttr(pst.Var("context"), part)
    found: set[str] = set()
    for node in (node for policy in policies for node in nodes(policy.node.clauses)):
        if isinstance(node, pst.GetAttr) and node.base == base:
            found.add(node.attr)
        elif isinstance(node, pst.HasAttr) and node.base == base:
            found.add(node.attrs[0])
    return frozenset(found)


def _stand_in(cedar_type: CedarType) -> Any:
    match cedar_type:
        case Primitive(name):
            return _STAND_INS.get(name, "")
        case SetOf():
            return []
        case Record(fields):
            return {name: _stand_in(field.type) for name, field in fields.items() if field.required}
        case _:
            return ""

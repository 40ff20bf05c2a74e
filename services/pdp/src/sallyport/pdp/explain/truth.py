"""The truth of parts of policies in one request, as Cedar itself finds it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import cedarpy
from cedarpy import pst

from sallyport.pdp.explain.prepared import Prepared

_ANY: Final = pst.ScopeAny()
_ERROR: Final = re.compile(r"^error while evaluating policy `(policy\d+)`: (.*)$", re.DOTALL)
_LARGEST: Final = 4096  # parts in one question

Part: TypeAlias = pst.Template  # a permit for what is asked, with an empty id and no annotations


@dataclass(frozen=True, slots=True)
class Truth:
    """`holds` is None where it couldn't be found, and `error` says why."""

    holds: bool | None
    error: str = ""


def condition(expression: pst.Expr) -> Part:
    return whole(_ANY, _ANY, _ANY, (pst.When(expression),))


def principal(constraint: pst.PrincipalOrResourceConstraint) -> Part:
    return whole(constraint, _ANY, _ANY)


def action(constraint: pst.ActionConstraint) -> Part:
    return whole(_ANY, constraint, _ANY)


def resource(constraint: pst.PrincipalOrResourceConstraint) -> Part:
    return whole(_ANY, _ANY, constraint)


def whole(
    who: pst.PrincipalOrResourceConstraint,
    what: pst.ActionConstraint,
    which: pst.PrincipalOrResourceConstraint,
    clauses: tuple[pst.Clause, ...] = (),
) -> Part:
    return pst.Template("", "permit", who, what, which, clauses, pst.FrozenMap())


def truths(parts: Iterable[Part], prepared: Prepared) -> Mapping[Part, Truth]:
    """Each part made a policy of its own and put to Cedar; all together, for one question is as good as another."""
    wanted = list(dict.fromkeys(parts))
    found: dict[Part, Truth] = {}
    for start in range(0, len(wanted), _LARGEST):
        found.update(_asked(wanted[start : start + _LARGEST], prepared))
    return found


def _asked(wanted: list[Part], prepared: Prepared) -> Mapping[Part, Truth]:
    names = [f"policy{number}" for number in range(len(wanted))]
    named = {name: dataclasses.replace(part, id=name) for name, part in zip(names, wanted, strict=True)}
    tree = pst.PolicySet(pst.FrozenMap(), pst.FrozenMap(named), ())
    result = cedarpy.is_authorized(
        dict(prepared.request), cedarpy.PolicySet.from_pst(tree), prepared.entities, prepared.schema
    )
    if result.decision is cedarpy.Decision.NoDecision:
        why = "; ".join(result.diagnostics.errors) or "Cedar gives no reason"
        return dict.fromkeys(wanted, Truth(None, why))
    holding = frozenset(result.diagnostics.reasons)
    failing = {match[1]: match[2] for match in map(_ERROR.match, result.diagnostics.errors) if match}
    return {
        part: Truth(None, failing[name]) if name in failing else Truth(name in holding)
        for name, part in zip(names, wanted, strict=True)
    }

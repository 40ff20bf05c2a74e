"""The engine room: policies and a schema, whatever they speak of. Only Cedar's Allow without an error is allowed.

Cedar skips a policy that fails, also a forbid, and goes on; a request that doesn't fit the schema isn't evaluated at
all; an entity that isn't there is taken for one without attributes. All of it looks harmless in Cedar's answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import cedarpy

from sallyport.pdp.rule import Rule
from sallyport.pdp.slices import Keys, Part, Slices
from sallyport.pdp.world import World

_NAMED: Final = re.compile(r"policy(\d+)")
_NOTHING: Final = Part((), cedarpy.PolicySet.from_str(""))


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the policies say. Allowed only if no field speaks against it."""

    allowed: bool
    reasons: tuple[Rule, ...] = ()  # the policies that decided
    failed: tuple[Rule, ...] = ()  # the policies that couldn't be evaluated: denied
    invalid: bool = False  # the request doesn't fit the schema: denied
    absent: bool = False  # something that it refers to isn't there: denied


class Room:
    """One policy set under one schema."""

    def __init__(self, rules: Sequence[Rule], schema: cedarpy.Schema | None) -> None:
        self.slices = Slices(rules)
        self.schema = schema

    def judge(self, request: Mapping[str, Any], keys: Keys, world: World) -> Judgement:
        """`request` is Cedar's: principal, action and resource as {type, id}, and the context. May raise: a denial."""
        permitting: dict[str, Rule] = {}
        forbidding: dict[str, Rule] = {}
        failed: dict[str, Rule] = {}
        # Without any policy the request must fit the schema all the same.
        for part in tuple(self.slices.parts(keys)) or (_NOTHING,):
            result = cedarpy.is_authorized(dict(request), part.compiled, world.handle, self.schema)
            if result.decision is cedarpy.Decision.NoDecision:
                return Judgement(allowed=False, invalid=True)
            decided = [part.rules[number] for number in sorted(map(_number, result.diagnostics.reasons))]
            deciding = permitting if result.decision is cedarpy.Decision.Allow else forbidding
            deciding.update((rule.id, rule) for rule in decided)
            failed.update((rule.id, rule) for rule in (part.rules[_number(text)] for text in result.diagnostics.errors))
        if any(rule.permits for rule in forbidding.values()) or not all(rule.permits for rule in permitting.values()):
            raise ValueError("Cedar's reasons and its decision disagree")
        reasons = tuple((forbidding or permitting).values())
        allowed = bool(permitting) and not forbidding and not failed and not world.gaps
        return Judgement(allowed, reasons, tuple(failed.values()), absent=world.gaps)


def _number(text: str) -> int:
    """The N of the `policyN` that a reason, or an error message, names first: the engine's own id."""
    match = _NAMED.search(text)
    if match is None:
        raise ValueError("the engine names no policy")
    return int(match[1])

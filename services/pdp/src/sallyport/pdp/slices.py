"""Policies sliced by the constants in their scopes: what can't match costs a request nothing.

Sound because a scope that names a constant matches only what is that entity, or is in it: a policy under none of a
request's keys isn't satisfied and can't fail, so decision, reasons and errors are those of the whole set.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import cedarpy
from cedarpy import pst

from sallyport.pdp.rule import Rule

Key: TypeAlias = tuple[str, str | None]  # an entity's type and id; (type, None): `is` that type
ANY: Final[Key] = ("", None)
LARGE: Final = 16  # policies under one combination of keys that are compiled by themselves, at load
_LONG: Final = 4096  # characters of them; the same: what is joined on a request's way must be compiled in no time
_CHUNK: Final = 1024  # policies in one compiled set
_HELD: Final = 2048  # policies in sets compiled on demand; one takes about 13 KiB
_PLANS: Final = 4096


@dataclass(frozen=True, slots=True)
class Keys:
    """What a request's entities are known by. `own` are those that few requests share: kept apart in the cache."""

    principal: tuple[Key, ...]
    own_principal: tuple[Key, ...]
    action: tuple[Key, ...]
    resource: tuple[Key, ...]
    own_resource: tuple[Key, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """Some policies, compiled; the engine's `policyN` is rules[N]."""

    rules: tuple[Rule, ...]
    compiled: cedarpy.PolicySet


@dataclass(slots=True)
class _Block:
    """The policies under one combination of constants."""

    number: int
    rules: list[int]
    parts: tuple[Part, ...] = ()  # only where it is large


_ByResource: TypeAlias = dict[Key, _Block]
_Plan: TypeAlias = tuple[tuple[bool, _ByResource], ...]  # whether the principal's key is its own


class Slices:
    """The index over one policy set; never changed, but for what it remembers."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self._index: dict[tuple[Key, Key], _ByResource] = defaultdict(dict)
        self._blocks: list[_Block] = []
        for number, rule in enumerate(self.rules):
            self._enter(number, rule)
        for block in self._blocks:
            if len(block.rules) > LARGE or sum(len(self.rules[number].text) for number in block.rules) > _LONG:
                block.parts = tuple(self._chunks(block.rules))
        self._parts: OrderedDict[tuple[int, ...], Part] = OrderedDict()
        self._weight = 0
        self._plans: dict[tuple[tuple[Key, ...], tuple[Key, ...], tuple[Key, ...]], _Plan] = {}

    def parts(self, keys: Keys) -> Iterator[Part]:
        """Every policy that can match, in compiled sets; each policy at least once."""
        shared: list[_Block] = []
        own: list[_Block] = []
        for is_own, by_resource in self._plan(keys.principal, keys.own_principal, keys.action):
            for key in keys.resource:
                if key in by_resource:
                    (own if is_own else shared).append(by_resource[key])
            own += [by_resource[key] for key in keys.own_resource if key in by_resource]
        for blocks in (shared, own):
            small = tuple(block.number for block in blocks if not block.parts)
            if small:
                yield self._part(small)
            for block in blocks:
                yield from block.parts

    def whatever_the_resource(
        self, keys: Keys, types: frozenset[str], alone: Collection[str] = ()
    ) -> tuple[list[Rule], list[Rule]]:
        """Every policy whose principal and action can match, on some resource of these types.

        First those for all of a type, and those on types of which there is one resource `alone`; then those for others.
        """
        wide: list[Rule] = []
        narrow: list[Rule] = []
        for _, by_resource in self._plan(keys.principal, keys.own_principal, keys.action):
            for (kind, identity), block in by_resource.items():
                if not kind or kind in types:
                    found = wide if identity is None or kind in alone else narrow
                    found += (self.rules[number] for number in block.rules)
        return wide, narrow

    def _enter(self, number: int, rule: Rule) -> None:
        resource = key_of(rule.resource)
        for action in action_keys(rule.action):
            by_resource = self._index[key_of(rule.principal), action]
            block = by_resource.get(resource)
            if block is None:
                block = by_resource[resource] = _Block(len(self._blocks), [])
                self._blocks.append(block)
            block.rules.append(number)

    def _plan(self, shared: tuple[Key, ...], own: tuple[Key, ...], actions: tuple[Key, ...]) -> _Plan:
        asked = shared, own, actions
        plan = self._plans.get(asked)
        if plan is None:
            plan = tuple(self._planned(*asked))
            if len(self._plans) >= _PLANS:
                self._plans.clear()
            self._plans[asked] = plan
        return plan

    def _planned(self, shared: Iterable[Key], own: Iterable[Key], actions: Sequence[Key]) -> _Plan:
        return tuple(
            (is_own, self._index[principal, action])
            for is_own, principals in ((False, shared), (True, own))
            for principal in principals
            for action in actions
            if (principal, action) in self._index
        )

    def _part(self, blocks: tuple[int, ...]) -> Part:
        """Compiled once and kept, the least used going first; bounded by policies, for they take the memory."""
        part = self._parts.get(blocks)
        if part is not None:
            self._parts.move_to_end(blocks)
            return part
        part = self._compiled(sorted({number for block in blocks for number in self._blocks[block].rules}))
        self._parts[blocks] = part
        self._weight += len(part.rules)
        while self._weight > _HELD and len(self._parts) > 1:
            self._weight -= len(self._parts.popitem(last=False)[1].rules)
        return part

    def _chunks(self, numbers: Sequence[int]) -> Iterator[Part]:
        for start in range(0, len(numbers), _CHUNK):
            yield self._compiled(numbers[start : start + _CHUNK], release_gil=True)

    def _compiled(self, numbers: Iterable[int], *, release_gil: bool = False) -> Part:
        rules = tuple(self.rules[number] for number in numbers)
        compiled = cedarpy.PolicySet.from_str("\n".join(rule.text for rule in rules), release_gil=release_gil)
        if len(compiled) != len(rules):
            raise ValueError("Cedar counts other policies than were read")  # never happens: each was parsed alone
        return Part(rules, compiled)


def key_of(scope: pst.PrincipalOrResourceConstraint) -> Key:
    """The one key that everything in this scope has."""
    match scope:
        case pst.ScopeEq(pst.EntityUid() as uid) | pst.ScopeIn(pst.EntityUid() as uid):
            return str(uid.type), uid.id
        case pst.ScopeIsIn(_, pst.EntityUid() as uid):
            return str(uid.type), uid.id
        case pst.ScopeIs(kind):
            return str(kind), None
        case _:
            return ANY


def action_keys(scope: pst.ActionConstraint) -> tuple[Key, ...]:
    """Every action in this scope has at least one of these keys."""
    match scope:
        case pst.ActionEq(uid):
            return ((str(uid.type), uid.id),)
        case pst.ActionIn(uids):
            return tuple(dict.fromkeys((str(uid.type), uid.id) for uid in uids))
        case _:
            return (ANY,)

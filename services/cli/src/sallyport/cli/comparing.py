"""What differs between two policy sets, and which recorded or written questions they answer otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from sallyport.cli.recorded import Given, Recorded, rebuild
from sallyport.contract.catalog import Prompt, Resource, Tool
from sallyport.pdp import agents, base_schema, resources, roles
from sallyport.pdp.decider import decide
from sallyport.pdp.findings.parts import Parts
from sallyport.pdp.load import CATALOG
from sallyport.pdp.model import Effect, Purpose, Verdict
from sallyport.pdp.policy import Policy
from sallyport.pdp.policy_tests.model import Question


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, and how it is told of."""

    name: str
    question: Question


@dataclass(frozen=True, slots=True)
class Answered:
    asked: Asked
    old: Verdict
    new: Verdict

    @property
    def flips(self) -> bool:
        return self.old.effect is not self.new.effect

    @property
    def otherwise(self) -> bool:
        """The same effect, but with other obligations: what may be seen of an answer changes too."""
        return not self.flips and self.old.obligations != self.new.obligations


@dataclass(frozen=True, slots=True)
class Rebuilding:
    asked: tuple[Asked, ...]
    left_out: tuple[Recorded, ...]  # neither set decides them as recorded: what isn't recorded made the difference
    nameless: int  # calls refused before a resource was known
    guessed: int  # calls whose roles were inferred


def rebuilt(records: Iterable[Recorded], given: Given, old: Parts, new: Parts) -> Rebuilding:
    """Each recorded call, under the set that was in force if it is one of the two, else under the old one."""
    found: list[Asked] = []
    left_out: list[Recorded] = []
    nameless = guessed = 0
    for record in records:
        base = new if record.revision == new.snapshot.revision else old
        again = rebuild(record, given, base)
        if not again.queries:
            nameless += 1
            continue
        if not again.faithful:
            left_out.append(record)
            continue
        guessed += given.roles is None and not record.witnessed
        found += (
            Asked(f"decision {record.decision_id}", Question(again.principal, query, again.at))
            for query in again.queries
        )
    return Rebuilding(tuple(found), tuple(left_out), nameless, guessed)


def answers(asked: Iterable[Asked], old: Parts, new: Parts) -> Iterator[Answered]:
    for one in asked:
        yield Answered(one, _verdict(old, one.question), _verdict(new, one.question))


def _verdict(parts: Parts, question: Question) -> Verdict:
    snapshot = parts.snapshot
    return decide(
        snapshot,
        question.principal,
        [question.query],
        Purpose.CALL,
        catalog_digest=snapshot.catalog_digest,
        now=question.at,
    )[0]


def flips(found: Sequence[Answered]) -> Iterator[str]:
    """What opens first, then what closes; alike ones once, with a count and an example."""
    for effect, heading in ((Effect.PERMIT, "deny -> permit"), (Effect.DENY, "permit -> deny")):
        groups: dict[tuple[str, ...], list[Answered]] = {}
        for one in found:
            if one.flips and one.new.effect is effect:
                groups.setdefault(_alike(one), []).append(one)
        if groups:
            total = sum(map(len, groups.values()))
            yield f"{heading}: {total} request{'' if total == 1 else 's'}"
        for (who, action, resource, old, new), group in groups.items():
            yield f"  {len(group)}x  {who}  {action}  on {resource}"
            yield f"        old: {old}"
            yield f"        new: {new}"
            example = group[0].asked
            query = example.question.query
            yield f"        such as {example.name}: {query.resource_type}::{query.resource_id}"


def _alike(one: Answered) -> tuple[str, str, str, str, str]:
    principal, query = one.asked.question.principal, one.asked.question.query
    who = f"{principal.user_id} via {principal.agent_id} ({principal.org}; {', '.join(principal.roles) or 'no role'})"
    return who, query.action, query.resource_type, why(one.old), why(one.new)


def why(verdict: Verdict) -> str:
    by = [*(code.name for code in verdict.errors), *verdict.reasons]
    return f"{verdict.effect.name.lower()} by {', '.join(by) or 'no permit'}"


def differences(old: Parts, new: Parts) -> Iterator[str]:
    """In short: names of what was added, removed and changed, kind by kind; comments and tests are no difference."""
    for file, kinds in _said(old, new).items():
        told = [line for kind, (was, is_) in kinds.items() for line in _changes(kind, was, is_)]
        yield from told
        # What no kind above takes in, such as the order of tools, isn't passed over.
        if not told and file in old.documents and _json(_value(old, file)) != _json(_value(new, file)):
            yield f"{file}: changed"
    yield from _changes("policies", _policies(old), _policies(new))


_Kinds: TypeAlias = Mapping[str, tuple[Mapping[str, Any], Mapping[str, Any]]]


def _said(old: Parts, new: Parts) -> Mapping[str, _Kinds]:
    """By file and kind, what each set says under which name."""
    catalogs, orgs = (old.snapshot.catalog, new.snapshot.catalog), (old.resources.orgs, new.resources.orgs)
    return {
        CATALOG: {
            "tools": (_by_name(catalogs[0].tools), _by_name(catalogs[1].tools)),
            "prompts": (_by_name(catalogs[0].prompts), _by_name(catalogs[1].prompts)),
            "resources of upstreams": (_by_key(catalogs[0].resources), _by_key(catalogs[1].resources)),
            "upstreams": (catalogs[0].upstreams, catalogs[1].upstreams),
            "named sets": (catalogs[0].servers, catalogs[1].servers),
        },
        roles.FILE: {"roles": (old.roles, new.roles)},
        agents.FILE: {"agents": (old.agents, new.agents)},
        resources.FILE: {
            "orgs": (dict.fromkeys(orgs[0]), dict.fromkeys(orgs[1])),
            "resources": (_entries(old), _entries(new)),
        },
        base_schema.FILE: {
            "types": (old.base.resources, new.base.resources),
            "facts of the session": (old.base.session.fields, new.base.session.fields),
        },
    }


def _changes(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for word, names in (
        ("added", [name for name in new if name not in old]),
        ("removed", [name for name in old if name not in new]),
        ("changed", [name for name in new if name in old and new[name] != old[name]]),
    ):
        if names:
            yield f"{kind} {word}: {', '.join(sorted(names))}"


def _by_name(entries: Iterable[Tool | Prompt]) -> dict[str, str]:
    return {entry.name: _json(entry.model_dump(mode="json")) for entry in entries}


def _by_key(entries: Iterable[Resource]) -> dict[str, str]:
    return {entry.key: _json(entry.model_dump(mode="json")) for entry in entries}


def _entries(parts: Parts) -> dict[str, str]:
    found = parts.resources
    return {
        **{f"{kind}::{key}": _json(value) for kind, entries in found.exact.items() for key, value in entries.items()},
        **{
            f"{kind}::{key}*": _json(value) for kind, entries in found.beneath.items() for key, value in entries.items()
        },
        **{f"{kind} (default)": _json(value) for kind, value in found.defaults.items()},
    }


def _value(parts: Parts, file: str) -> Any:
    return parts.documents[file].value


def _json(value: Any) -> str:
    """Compared as it is written: in Python, true equals 1."""
    return json.dumps(value, sort_keys=True)


def _policies(parts: Parts) -> dict[str, Any]:
    """By what they mean: another line break is no change."""
    return {policy.id: _meaning(policy) for policy in parts.snapshot.policies}


def _meaning(policy: Policy) -> Any:
    return replace(policy.node, id="")

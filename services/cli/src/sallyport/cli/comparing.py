"""What differs between two policy sets, and which recorded or written questions they answer otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sallyport.cli.recorded import Given, Recorded, rebuild
from sallyport.pdp.decider import decide
from sallyport.pdp.findings.parts import Parts
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
    """In short: names of what was added, removed and changed, kind by kind."""
    yield from _changes("tools", _by_name(old.snapshot.catalog.tools), _by_name(new.snapshot.catalog.tools))
    yield from _changes("roles", old.roles, new.roles)
    yield from _changes("agents", old.agents, new.agents)
    yield from _changes("orgs", dict.fromkeys(old.resources.orgs), dict.fromkeys(new.resources.orgs))
    yield from _changes("resources", _entries(old), _entries(new))
    yield from _changes("policies", _policies(old), _policies(new))
    if old.base.text != new.base.text:
        yield "base.cedarschema: changed"


def _changes(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for word, names in (
        ("added", [name for name in new if name not in old]),
        ("removed", [name for name in old if name not in new]),
        ("changed", [name for name in new if name in old and new[name] != old[name]]),
    ):
        if names:
            yield f"{kind} {word}: {', '.join(sorted(names))}"


def _by_name(tools: Iterable[Any]) -> dict[str, Any]:
    return {tool.name: tool for tool in tools}


def _entries(parts: Parts) -> dict[str, Any]:
    found = parts.resources
    return {
        **{f"{kind}::{key}": value for kind, entries in found.exact.items() for key, value in entries.items()},
        **{f"{kind}::{key}*": value for kind, entries in found.beneath.items() for key, value in entries.items()},
        **{f"{kind} (default)": value for kind, value in found.defaults.items()},
    }


def _policies(parts: Parts) -> dict[str, Any]:
    """By what they mean: another line break is no change."""
    return {policy.id: _meaning(policy) for policy in parts.snapshot.policies}


def _meaning(policy: Policy) -> Any:
    return replace(policy.node, id="")

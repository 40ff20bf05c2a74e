"""Who may call a tool: every role, agent and org of the set put to `decide`, and equal answers told once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from cedarpy import pst

from sallyport.cli.complaint import Complaint
from sallyport.contract.catalog import Tool
from sallyport.pdp.decider import decide
from sallyport.pdp.explain.arguments import fill
from sallyport.pdp.explain.explanation import Explanation, explain
from sallyport.pdp.explain.trace import Outcome
from sallyport.pdp.findings.parts import Parts
from sallyport.pdp.model import Denied, Effect, Principal, Purpose, Query, Session
from sallyport.pdp.policy import Policy, nodes

MOST: Final = 4000  # combinations
_ISSUER: Final = "laptop"
_OTHER: Final = "somebody"  # who owns nothing
_ORDER: Final = ("permit", "conditional, now permit", "conditional, now deny", "never")
_WIDTH: Final = max(map(len, _ORDER))
_LISTED: Final = {"yes": "", "no": "; the tool isn't listed for them", "": ""}
_BENEATH: Final = "*"  # stands for the ids beneath a prefix


@dataclass(frozen=True, slots=True)
class Asked:
    tool: Tool
    at: datetime
    input: Mapping[str, Any]
    session: Session
    resource: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class Answer:
    """One row; several orgs, agents or roles that are answered alike stand in one cell."""

    org: str
    user: str
    agent: str
    role: str
    resource: str
    listed: str
    answer: str
    why: str

    @property
    def order(self) -> tuple[str, int, str, str]:
        """Permits first."""
        return self.resource, _ORDER.index(self.answer), self.org, self.user


def lines(found: Sequence[Answer]) -> Iterator[str]:
    """Each row on two lines, beneath its resource: roles and policies have long names."""
    for resource, rows in groupby(found, key=lambda one: one.resource):
        yield resource
        for row in rows:
            yield f"  {row.answer:<{_WIDTH}}  {row.org}: {row.user} via {row.agent}; {row.role}"
            yield f"  {'':<{_WIDTH}}  {row.why}{_LISTED[row.listed]}"


def answers(parts: Parts, asked: Asked) -> list[Answer]:
    """Permits first."""
    combinations = list(_combinations(parts, asked))
    if len(combinations) > MOST:
        raise Complaint(
            f"{len(combinations)} combinations of roles, agents, orgs and resources; at most {MOST} are asked",
            "name one resource: TYPE::ID",
        )
    found = [_answer(parts, asked, principal, uid) for principal, uid in combinations]
    for name, every, whole in (
        ("role", parts.roles, "any role"),
        ("agent", parts.agents, "any agent"),
        ("org", (), ""),
        ("user", (), ""),
        ("resource", (), ""),
    ):
        found = _merged(found, name, frozenset(every), whole)
    return sorted(found, key=lambda one: one.order)


def assumptions(asked: Asked) -> Iterator[str]:
    """What the answers hold for."""
    yield f"asked at {asked.at:%Y-%m-%dT%H:%M:%SZ}; each role alone (the roles of one user add up); no OAuth scopes"
    facts = {name: getattr(asked.session, name) for name in ("ip", "risk", "mfa_age", "call_count")}
    yield "of the session: " + ", ".join(f"{name} {'unknown' if it is None else it}" for name, it in facts.items())
    given = ", ".join(asked.input) or "none"
    yield f"arguments given: {given}; what else a call needs is stood in for, so rules about arguments may answer otherwise"
    if asked.resource is None and asked.tool.resources:
        yield f"resources are those that resources.yaml names; `{_BENEATH}` stands for any id beneath a prefix"


def _combinations(parts: Parts, asked: Asked) -> Iterator[tuple[Principal, tuple[str, str]]]:
    for uid in [asked.resource] if asked.resource is not None else list(_resources(parts, asked.tool)):
        owner = _owner(parts, uid)
        for org in sorted(parts.resources.orgs):
            for user in dict.fromkeys((owner, _OTHER) if owner else (_OTHER,)):
                for agent in parts.agents:
                    for role in parts.roles:
                        yield Principal(_ISSUER, user, agent, org, (role,)), uid


def _resources(parts: Parts, tool: Tool) -> Iterator[tuple[str, str]]:
    if not tool.resources:
        yield "Tool", tool.name
    for kind in tool.resource_types if tool.resources else ():
        yield from ((kind, identity) for identity in parts.resources.exact.get(kind, {}))
        yield from ((kind, prefix + _BENEATH) for prefix in parts.resources.beneath.get(kind, {}))
        if kind in parts.resources.defaults:
            yield kind, _BENEATH


def _owner(parts: Parts, uid: tuple[str, str]) -> str:
    try:
        owner = parts.resources.attributes(*uid, {})[0].get("owner")
    except (Denied, KeyError):  # nobody knows it: every answer will say so
        return ""
    return owner if isinstance(owner, str) else ""


def _answer(parts: Parts, asked: Asked, principal: Principal, uid: tuple[str, str]) -> Answer:
    snapshot = parts.snapshot
    arguments = fill(snapshot.rules[asked.tool.name].action, asked.input, uid).input
    query = Query(asked.tool.name, *uid, input=arguments, session=asked.session)
    digest = snapshot.catalog_digest
    explained = explain(snapshot, principal, query, asked.at)
    answer, why = _judged(explained)
    resource = f"{uid[0]}::{uid[1]}"
    if explained.refused:  # whoever it is, and whatever is listed for them
        agent, role = principal.agent_id, principal.roles[0]
        return Answer(principal.org, "anybody", agent, role, resource, "", answer, why)
    seen = decide(snapshot, principal, [query], Purpose.VISIBILITY, catalog_digest=digest, now=asked.at)[0]
    listed = "no" if seen.effect is Effect.DENY else "yes"
    return Answer(
        principal.org, principal.user_id, principal.agent_id, principal.roles[0], resource, listed, answer, why
    )


def _judged(explained: Explanation) -> tuple[str, str]:
    """Whether session or arguments could make another answer, and by which policies."""
    verdict = explained.verdict
    if explained.refused:
        return "never", ", ".join(code.name for code in verdict.errors)
    matched = [one.policy for one in explained.traces if one.outcome is Outcome.MATCHED]
    open_ = [one.policy for one in explained.traces if one.outcome is not Outcome.SCOPE and _reads_context(one.policy)]
    if verdict.effect is Effect.PERMIT:
        fixed = [policy for policy in matched if not _reads_context(policy)]
        doubts = [policy for policy in open_ if not (policy.permits and fixed)]
        names = [policy.id for policy in matched if policy.permits]
        return ("conditional, now permit", _ids(doubts)) if doubts else ("permit", ", ".join(names))
    walls = [policy for policy in matched if not policy.permits and not _reads_context(policy)]
    if walls:
        return "never", _ids(walls)
    may_permit = [policy for policy in (*matched, *open_) if policy.permits]
    if not may_permit:
        return "never", "no permit matches"
    return "conditional, now deny", _ids([policy for policy in open_ if not policy.permits] or may_permit)


def _reads_context(policy: Policy) -> bool:
    return pst.Var("context") in nodes(policy.node.clauses)


def _ids(policies: Sequence[Policy]) -> str:
    return ", ".join(dict.fromkeys(policy.id for policy in policies))


def _merged(found: Sequence[Answer], name: str, every: frozenset[str], whole: str) -> list[Answer]:
    """Rows that differ in this one cell alone made one."""

    groups: dict[Answer, list[str]] = {}
    for one in found:
        groups.setdefault(replace(one, **{name: ""}), []).append(getattr(one, name))
    merged = []
    for rest, names in groups.items():
        told = dict.fromkeys(names)
        said = whole if len(told) > 1 and told.keys() >= every and every else ", ".join(told)
        merged.append(replace(rest, **{name: said}))
    return merged

"""Who may call a tool, or use a method: every kind of caller that the set tells apart put to `decide`, and equal answers told once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any, Final, TypeAlias

from cedarpy import pst

from sallyport.cli import subjects
from sallyport.cli.complaint import Complaint
from sallyport.contract.catalog import Hosted, Resource, Tool
from sallyport.pdp.decider import decide
from sallyport.pdp.explain.arguments import fill
from sallyport.pdp.explain.explanation import Explanation, about, explain
from sallyport.pdp.explain.trace import Outcome
from sallyport.pdp.findings.parts import Parts
from sallyport.pdp.findings.reach import kinds
from sallyport.pdp.model import Denied, Effect, ErrorCode, Principal, Purpose, Query, Session, Verdict
from sallyport.pdp.policy import Policy, nodes
from sallyport.pdp.schema import SERVER_ID, Action

MOST: Final = 4000  # questions
_ISSUER: Final = "any issuer"
_OTHER: Final = "somebody"  # whom nothing names
_NEVER: Final = "never"
_ORDER: Final = ("permit", "conditional, now permit", "conditional, now deny", _NEVER)
_WIDTH: Final = max(map(len, _ORDER))
_HIDDEN: Final = "; the tool isn't listed for them"
_BENEATH: Final = "*"  # stands for the ids beneath a prefix
# Refusals that neither the session nor the arguments of another call could undo.
_FINAL: Final = frozenset({ErrorCode.ORG_ISOLATION, ErrorCode.UNKNOWN_ORG, ErrorCode.UNKNOWN_RESOURCE})
_ANY_ROLE: Final = "any role"
_NONE: Final = "no permit matches"
_Uid: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Asked:
    action: Action
    at: datetime
    input: Mapping[str, Any]
    session: Session
    resource: _Uid | None


@dataclass(frozen=True, slots=True)
class Answer:
    """One row; several orgs, agents or roles that are answered alike stand in one cell."""

    org: str
    user: str
    agent: str
    role: str
    scopes: str  # empty: with whatever scopes
    resource: str
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
            scopes = f"; scopes: {row.scopes}" if row.scopes else ""
            yield f"  {row.answer:<{_WIDTH}}  {row.org}: {row.user} via {row.agent}; {row.role}{scopes}"
            yield f"  {'':<{_WIDTH}}  {row.why}"


def answers(parts: Parts, asked: Asked) -> list[Answer]:
    """Permits first."""
    asker = _Asker(parts, asked)
    questions = list(asker.questions())
    if len(questions) > MOST:
        raise Complaint(
            f"{len(questions)} combinations of users, roles, scopes, agents, orgs and resources; at most {MOST} are asked",
            "name one resource: TYPE::ID",
        )
    found = [answer for question in questions for answer in asker.answers(question)]
    for name, every, whole in (
        ("role", asker.every_role, _ANY_ROLE),
        ("scopes", asker.every_scope, ""),
        ("agent", frozenset(parts.agents), "any agent"),
        ("org", frozenset[str](), ""),
        ("user", frozenset[str](), ""),
        ("resource", frozenset[str](), ""),
    ):
        found = _merged(found, name, every, whole)
    return sorted(found, key=lambda one: one.order)


def assumptions(asked: Asked) -> Iterator[str]:
    """What the answers hold for."""
    yield f"asked at {asked.at:%Y-%m-%dT%H:%M:%SZ}; each role alone, and roles together where a policy asks for several (a + b)"
    yield "users, OAuth scopes and ids that policies name are asked about, too; `somebody` is named nowhere"
    facts = {name: getattr(asked.session, name) for name in ("ip", "risk", "mfa_age", "call_count")}
    yield "of the session: " + ", ".join(f"{name} {'unknown' if it is None else it}" for name, it in facts.items())
    given = ", ".join(asked.input) or "none"
    yield f"arguments given: {given}; what else a call needs is stood in for, so rules about arguments may answer otherwise"
    if asked.resource is None and asked.action.tool is not None and asked.action.tool.resources:
        yield (
            "resources are those that resources.yaml names, and policies; "
            f"`{_BENEATH}` stands for any id beneath a prefix that has no row of its own"
        )


@dataclass(frozen=True, slots=True)
class _Question:
    principal: Principal
    uid: _Uid
    user: str  # as it is told
    alike: tuple[str, ...]  # roles that are answered as the principal's
    refused: tuple[str, str] | None  # answer and why, where no policy is looked at, whoever it is


class _Asker:
    """What all questions about one tool share."""

    def __init__(self, parts: Parts, asked: Asked) -> None:
        self._parts = parts
        self._asked = asked
        name = asked.action.name
        policies = [policy for policy in about(parts.snapshot, name) if _touches(policy, name, parts)]
        self._named = subjects.named(policies)
        self._roles, complete = subjects.role_kinds(self._named.roles, parts.roles)
        self._by_role = frozenset(policy.id for policy in policies if not complete and "Role" in _types(policy))
        self._issuer = subjects.stranger(_ISSUER, (issuer for issuer, _ in self._named.identities))
        self.every_role = frozenset(_together(names) for kind in self._roles for names in kind)
        self.every_scope = frozenset(map(_scoped, self._named.scopes)) if len(self._named.scopes) > 1 else frozenset()

    def questions(self) -> Iterator[_Question]:
        for uid in [self._asked.resource] if self._asked.resource is not None else list(self._resources()):
            users = list(self._users(uid))
            for org in sorted(self._parts.resources.orgs):
                for agent in self._parts.agents:
                    yield from self._of(uid, org, agent, users)

    def answers(self, question: _Question) -> Iterator[Answer]:
        """One for each role that is answered alike."""
        principal, uid = question.principal, question.uid
        cells = principal.org, question.user, principal.agent_id
        resource = f"{uid[0]}::{uid[1]}"
        if question.refused is not None and question.refused[0] == _NEVER:
            yield Answer(*cells, _ANY_ROLE, "", resource, *question.refused)
            return
        explained = explain(self._parts.snapshot, principal, self._query(uid), self._asked.at)
        answer, why = question.refused or _judged(explained, self._named.unlisted, self._by_role)
        if hidden := self._hidden(question, explained):  # what isn't listed can't be called, whatever the session says
            answer, why = _NEVER, (why if answer == _NEVER else hidden) + _HIDDEN
        scopes = _scoped(principal.scopes) if self.every_scope else ""
        for role in question.alike:
            yield Answer(*cells, role, scopes, resource, answer, why)

    def _of(self, uid: _Uid, org: str, agent: str, users: Sequence[tuple[str, str]]) -> Iterator[_Question]:
        anybody = Principal(*users[-1], agent, org, self._roles[0][0])
        verdict = self._decide(anybody, self._query(uid), Purpose.CALL)
        refused = self._refusal(verdict)
        if refused is not None and refused[0] == _NEVER:  # neither user nor role has a part in it
            yield _Question(anybody, uid, "anybody", (), refused)
            return
        for issuer, user in users:
            told = user if issuer == self._issuer else f"{user} of {issuer}"
            for kind in self._roles:
                for scopes in self._named.scopes:
                    principal = Principal(issuer, user, agent, org, kind[0], scopes)
                    yield _Question(principal, uid, told, tuple(map(_together, kind)), refused)

    def _resources(self) -> Iterator[_Uid]:
        action, known, listed = self._asked.action, self._parts.resources, _listed(self._parts)
        for kind in sorted(action.resource_types):
            if kind in listed:
                yield from ((kind, one) for one in dict.fromkeys(action.alone.get(kind, one) for one in listed[kind]))
                continue
            stated = known.exact.get(kind, {})
            yield from ((kind, identity) for identity in stated)
            yield from (uid for uid in self._named.resources if uid[0] == kind and uid[1] not in stated)
            yield from ((kind, prefix + _BENEATH) for prefix in known.beneath.get(kind, {}))
            if kind in known.defaults:
                yield kind, _BENEATH

    def _users(self, uid: _Uid) -> Iterator[tuple[str, str]]:
        """Issuer and subject; last, somebody whom neither a policy nor the resource names."""
        named = self._named
        try:
            attributes = self._parts.resources.attributes(*uid, {})[0]
        except (Denied, KeyError):  # nobody knows it: every answer will say so
            attributes = {}
        about_it = dict.fromkeys((*subjects.users_of(attributes, (("owner",), *named.paths)), *named.users))
        yield from ((self._issuer, user) for user in about_it)
        yield from named.identities
        yield self._issuer, subjects.stranger(_OTHER, about_it)

    def _query(self, uid: _Uid) -> Query:
        asked = self._asked
        arguments = fill(asked.action, asked.input, uid).input
        return Query(asked.action.name, *uid, input=arguments, session=asked.session)

    def _decide(self, principal: Principal, query: Query, purpose: Purpose) -> Verdict:
        snapshot = self._parts.snapshot
        digest = snapshot.catalog_digest
        return decide(snapshot, principal, [query], purpose, catalog_digest=digest, now=self._asked.at)[0]

    def _hidden(self, question: _Question, explained: Explanation) -> str:
        """Why nobody whom the row stands for is shown the tool; empty where somebody is, or may be, or it is no tool."""
        if self._asked.action.tool is None:
            return ""
        verdict = self._decide(question.principal, self._query(question.uid), Purpose.VISIBILITY)
        if verdict.effect is not Effect.DENY:
            return ""
        unsure = self._named.unlisted | self._by_role  # others of the row may be answered otherwise by these
        if told := (*(code.name for code in verdict.errors), *verdict.reasons):
            return "" if unsure.intersection(verdict.reasons) else ", ".join(told)
        others = (one for one in explained.traces if one.policy.permits and one.policy.id in unsure)
        open_ = any(one.policy.id in self._by_role or one.outcome is not Outcome.SCOPE for one in others)
        return "" if open_ else _NONE

    def _refusal(self, verdict: Verdict) -> tuple[str, str] | None:
        """A fact that the session lacks, or a stand-in for an argument, may be all that is wrong."""
        if not set(verdict.errors) - {ErrorCode.POLICY_ERROR}:
            return None
        codes = ", ".join(code.name for code in verdict.errors)
        if ErrorCode.UNKNOWN_RESOURCE in verdict.errors and _looks_up(self._asked.action.tool):
            return "conditional, now deny", f"{codes}, unless the tool itself looks it up"
        return (_NEVER if _FINAL & set(verdict.errors) else "conditional, now deny"), codes


def _listed(parts: Parts) -> Mapping[str, Sequence[str]]:
    """What stands in the catalog itself, by type; of URIs beneath a prefix one stands for all."""
    catalog = parts.snapshot.catalog
    return {
        "Tool": [tool.name for tool in catalog.tools],
        "Server": [SERVER_ID, *catalog.servers],
        "Prompt": [prompt.name for prompt in catalog.prompts],
        "McpResource": [_uri(entry) for entry in catalog.resources],
    }


def _uri(entry: Resource) -> str:
    return entry.key + _BENEATH if entry.prefix is not None else entry.key


def _looks_up(tool: Tool | None) -> bool:
    """The tools that come along open what they touch, but say nothing of it that resources.yaml doesn't."""
    from sallyport.pep.tools import NAMES  # noqa: PLC0415 — the PEP's parts are needed here alone

    return tool is not None and isinstance(tool.provider, Hosted) and tool.provider.hosted not in NAMES


def _judged(explained: Explanation, unlisted: frozenset[str], by_role: frozenset[str]) -> tuple[str, str]:
    """Whether session, arguments or what no list holds could make another answer, and by which policies."""
    verdict = explained.verdict
    doubtful = {one.policy.id for one in explained.traces if _reads_context(one.policy)} | unlisted | by_role
    matched = [one.policy for one in explained.traces if one.outcome is Outcome.MATCHED]
    open_ = [
        one.policy
        for one in explained.traces
        if one.policy.id in by_role or (one.policy.id in doubtful and one.outcome is not Outcome.SCOPE)
    ]
    if verdict.effect is Effect.PERMIT:
        fixed = [policy for policy in matched if policy.id not in doubtful]
        doubts = [policy for policy in open_ if not (policy.permits and fixed)]
        names = [policy.id for policy in matched if policy.permits]
        return ("conditional, now permit", _ids(doubts)) if doubts else ("permit", ", ".join(names))
    walls = [policy for policy in matched if not policy.permits and policy.id not in doubtful]
    if walls:
        return _NEVER, _ids(walls)
    may_permit = [policy for policy in (*matched, *open_) if policy.permits]
    if not may_permit:
        return _NEVER, _NONE
    against = [policy for policy in matched if not policy.permits]
    missing = () if any(policy.permits for policy in matched) else may_permit
    return "conditional, now deny", _ids((*missing, *against) or open_)


def _reads_context(policy: Policy) -> bool:
    return pst.Var("context") in nodes(policy.node.clauses)


def _touches(policy: Policy, action: str, parts: Parts) -> bool:
    """One for another type of resource tells nobody apart here."""
    return any(kind.action.name == action for kind in kinds(policy, parts))


def _types(policy: Policy) -> frozenset[str]:
    return frozenset(str(uid.type) for uid in pst.entity_uids((policy.node.principal, *policy.node.clauses)))


def _together(roles: subjects.Roles) -> str:
    return " + ".join(roles)


def _scoped(scopes: Sequence[str]) -> str:
    return " + ".join(scopes) or "none"


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

"""Why a question was denied before any policy was looked at, in plain words, with what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sallyport.pdp import listed
from sallyport.pdp.cedar_text import entity
from sallyport.pdp.model import ErrorCode, Principal, Query
from sallyport.pdp.snapshot import Snapshot

_WORDS: Final[Mapping[ErrorCode, str]] = {
    ErrorCode.NO_POLICIES: "no policy set is in force; see the PDP's log for what is wrong with the one it was given",
    ErrorCode.CATALOG_MISMATCH: "PEP and PDP hold different catalogs; give both the same policy directory",
    ErrorCode.INVALID_QUESTION: "the question has no form that Cedar takes; look at the session's facts (address, "
    "risk, MFA age, call count) and at the ids",
    ErrorCode.UNKNOWN_ACTION: "catalog.yaml has no tool {action!r}, and no method that is judged has that name; add the "
    "tool, or correct the name",
    ErrorCode.UNKNOWN_AGENT: "agents.yaml has no agent {agent!r}; add it, or correct the name",
    ErrorCode.UNKNOWN_ROLE: "roles.yaml doesn't have all of these roles: {roles}; add what is missing, or correct the "
    "issuer's role map",
    ErrorCode.UNKNOWN_RESOURCE: "resources.yaml says nothing, or not enough, about {resource}, or {action} doesn't "
    "apply to its type; add an entry that gives every required attribute",
    ErrorCode.UNKNOWN_ORG: "resources.yaml has no org {org!r}, or the resource names one that isn't there; add it under "
    "`orgs`",
    ErrorCode.RESOURCE_CONFLICT: "a resolver says something else about {resource} than resources.yaml; let only one of "
    "them state an attribute",
    ErrorCode.ORG_ISOLATION: "tenants never meet: {org!r} is not the org of {resource}, or the agent {agent!r} or the "
    "tool {action!r} isn't for {org!r}",
    ErrorCode.VALUE_NOT_CARRIED: "an argument has a value that Cedar can't hold (too large, too long, or of another "
    "type than the tool's input schema says)",
    ErrorCode.CONTEXT_MISSING: "catalog.yaml's `required_context` of {action!r} asks for a fact that this session "
    "doesn't have",
    ErrorCode.POLICY_ERROR: "a policy couldn't be evaluated, so the whole request is denied; guard what it reads with "
    "`has`",
    ErrorCode.INTERNAL: "something in the PDP broke; its log says what",
}


def why(code: ErrorCode, snapshot: Snapshot, principal: Principal, query: Query) -> str:
    """One sentence, and what to do."""
    words = _WORDS[code].format(
        action=query.action,
        agent=principal.agent_id,
        org=principal.org,
        roles=", ".join(principal.roles) or "none",
        resource=entity(query.resource_type or "?", query.resource_id),
    )
    if code is ErrorCode.UNKNOWN_RESOURCE and query.action in snapshot.rules:
        types = snapshot.rules[query.action].action.resource_types
        if query.resource_type in types & listed.TYPES:
            return f"catalog.yaml lists no {entity(query.resource_type, query.resource_id)} for {query.action}; add it"
        return f"{words} ({query.action} applies to: {', '.join(sorted(types))})"
    return words

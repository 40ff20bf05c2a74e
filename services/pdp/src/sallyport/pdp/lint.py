"""Names in policies that nothing else knows: a literal that can never match makes a forbid that never forbids."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from cedarpy import pst

from sallyport.contract.catalog import Catalog
from sallyport.pdp.agents import Agent
from sallyport.pdp.identity import is_identity
from sallyport.pdp.listed import Listed
from sallyport.pdp.policy import Policy
from sallyport.pdp.roles import Role
from sallyport.pdp.schema import SERVER_ID, Action
from sallyport.runtime.problems import Problem

_LISTED: Final = {
    "Tool": "add the tool to catalog.yaml",
    "Server": f"all that is served is Server::{SERVER_ID!r}; add a named set to `servers` in catalog.yaml",
    "Prompt": "add the prompt to catalog.yaml",
    "McpResource": "add its uri, a template or a prefix to `resources` in catalog.yaml",
}


@dataclass(frozen=True, slots=True)
class Known:
    """What the directory's other files name."""

    roles: Mapping[str, Role]
    agents: Mapping[str, Agent]
    orgs: frozenset[str]
    catalog: Catalog
    actions: Mapping[str, Action]


def check(policies: Iterable[Policy], known: Known) -> Iterator[Problem]:
    """Every entity literal that no other file of the directory knows."""
    checks = _checks(known)
    for policy in policies:
        parts = (policy.node.principal, policy.node.action, policy.node.resource, *policy.node.clauses)
        for uid in sorted(pst.entity_uids(parts), key=str):
            name = str(uid.type)
            is_known, hint = checks.get(name, (None, ""))
            if is_known is not None and not is_known(uid.id):
                place = policy.statement.find_entity(name, uid.id)
                yield policy.problem(place, f"nobody knows {name}::{uid.id!r}; {_near(uid.id, name, known)}{hint}")


def _near(written: str, kind: str, known: Known) -> str:
    names = {"Role": known.roles, "Agent": known.agents, "Org": known.orgs, "Action": known.actions}.get(kind, ())
    near = difflib.get_close_matches(written[:128], list(names), n=1)
    return f"did you mean {near[0]!r}? Else " if near else ""


def _checks(known: Known) -> Mapping[str, tuple[Callable[[str], bool], str]]:
    groups = {group for agent in known.agents.values() for group in agent.groups}
    listed = Listed(known.catalog, known.orgs)
    return {
        "Role": (known.roles.__contains__, "add the role to roles.yaml, or correct the name"),
        "Agent": (known.agents.__contains__, "add the agent to agents.yaml, or correct the name"),
        "AgentGroup": (groups.__contains__, "name the group at an agent in agents.yaml, or correct it"),
        "Org": (known.orgs.__contains__, "add the org to resources.yaml, or correct the name"),
        **{kind: (partial(_lists, listed, kind), f"{hint}, or correct the name") for kind, hint in _LISTED.items()},
        "Action": (known.actions.__contains__, "add the tool to catalog.yaml, or drop the policy"),
        "User": (lambda name: is_identity(name, 2), 'a user is written as ["issuer","sub"], without blanks'),
        "Compound": (lambda name: is_identity(name, 3), 'write ["issuer","sub","agent"], without blanks'),
    }


def _lists(listed: Listed, kind: str, name: str) -> bool:
    return listed.find(kind, name) is not None

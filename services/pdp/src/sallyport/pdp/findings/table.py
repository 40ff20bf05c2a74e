"""All rules, one a row: `policy check` and `docs/policy-commands.md` name them as they are named here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from sallyport.pdp.findings import conditions, files, scopes
from sallyport.pdp.findings.finding import Finding
from sallyport.pdp.findings.parts import Parts

RULES: Final[Mapping[str, Callable[[Parts], Iterator[Finding]]]] = {
    "never-applies": conditions.never_applies,
    "asks-nothing": conditions.always_so,
    "disarmed": conditions.disarmed,
    "open-scope": scopes.open_scope,
    "same-text": scopes.same_text,
    "overridden": scopes.overridden,
    "unbounded": scopes.unbounded,
    "unknown-resource": files.unknown_resources,
    "uncallable": files.uncallable,
    "unreadable": files.unreadable,
    "idle-role": files.idle_roles,
    "idle-permission": files.idle_permissions,
    "idle-entry": files.idle_entries,
    "deserted-org": files.deserted_orgs,
}


def findings(parts: Parts) -> tuple[Finding, ...]:
    """Everything that any rule finds, by place."""
    found = [finding for rule in RULES.values() for finding in rule(parts)]
    return tuple(sorted(found, key=lambda one: (one.file, one.line, one.column, one.rule)))

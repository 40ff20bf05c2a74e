"""Obligations of a policy set that this gate couldn't fulfil: the PDP takes any, the PEP refuses what it doesn't know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sallyport.pdp.findings.finding import Finding, about
from sallyport.pdp.findings.parts import Parts
from sallyport.pdp.policy import Policy
from sallyport.pep.release import grammar

RULE: Final = "unknown-obligation"
_FORMS: Final = (
    f"{', '.join(f'{family}:...' for family in grammar.FAMILIES)}; masks are {', '.join(sorted(grammar.MASKS))}"
)


def findings(parts: Parts) -> Iterator[Finding]:
    for policy in parts.snapshot.policies:
        obligation = policy.obligation
        if obligation is not None and not grammar.parse(obligation):
            yield _unknown(policy, obligation)


def _unknown(policy: Policy, obligation: str) -> Finding:
    message = f"the gate doesn't know the obligation {obligation!a}, and refuses every call that this permits"
    place = policy.statement.find("@", "obligation")
    return about(policy, RULE, place, message, f"write it as docs/obligations.md does: {_FORMS}")

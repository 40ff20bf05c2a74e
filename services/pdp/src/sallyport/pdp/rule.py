"""A policy as the engine room holds it: its text, its scope and what its annotations promise; no tree, no tokens."""

from __future__ import annotations

from dataclasses import dataclass

from cedarpy import pst

from sallyport.pdp.policy import Policy


@dataclass(frozen=True, slots=True)
class Rule:
    """10,000 of these must fit beside everything else, so only what a request needs is kept of a policy."""

    id: str
    text: str
    permits: bool
    principal: pst.PrincipalOrResourceConstraint
    action: pst.ActionConstraint
    resource: pst.PrincipalOrResourceConstraint
    conjuncts: tuple[int | None, ...] = ()  # its condition in order: the number of a condition on the principal alone
    obligation: str | None = None
    advice: str | None = None
    oauth_scopes: tuple[str, ...] = ()

    @classmethod
    def of(cls, policy: Policy, conjuncts: tuple[int | None, ...] = ()) -> Rule:
        node = policy.node
        return cls(
            id=policy.id,
            text=policy.statement.text,
            permits=policy.permits,
            principal=node.principal,
            action=node.action,
            resource=node.resource,
            conjuncts=conjuncts,
            obligation=policy.obligation,
            advice=policy.advice,
            oauth_scopes=policy.oauth_scopes,
        )

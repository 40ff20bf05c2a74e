"""What a test may name: the actions and policies of the set, and how many policies an action looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache

from sallyport.pdp.context_paths import may_match
from sallyport.pdp.policy import Policy
from sallyport.pdp.schema import Action
from sallyport.pdp.snapshot import Snapshot


class Names:
    """Of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self.slice = lru_cache(maxsize=None)(self._slice)

    @cached_property
    def actions(self) -> Mapping[str, Action]:
        """Every action that a request may name."""
        return {name: rules.action for name, rules in self._snapshot.rules.items()}

    @cached_property
    def policies(self) -> frozenset[str]:
        return frozenset(policy.id for policy in self._snapshot.policies)

    def looks(self, action: str) -> int:
        return len(self.slice(action)) if action in self.actions else 1

    def _slice(self, action: str) -> Sequence[Policy]:
        """The policies whose scope takes the action in; no other can match, or fail."""
        found = self.actions[action]
        return [policy for policy in self._snapshot.policies if may_match(policy.node.action, found)]

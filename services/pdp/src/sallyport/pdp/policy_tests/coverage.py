"""How often each policy decided a case: one that never did could say anything, and no test would notice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from sallyport.pdp import gates
from sallyport.pdp.policy import Policy
from sallyport.pdp.policy_tests.model import Actual


@dataclass(frozen=True, slots=True)
class Covered:
    id: str
    effect: str  # permit or forbid
    file: str
    line: int
    cases: int  # that it decided


class Coverage:
    """Of the policies in .cedar files; what is compiled from the roles is apart."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        self._policies = [policy for policy in policies if policy.statement.file != gates.FILE]
        self._decided: Counter[str] = Counter()

    def count(self, actual: Actual) -> None:
        """A policy that failed decided nothing, nor does any where an entity is absent."""
        if not actual.errors and not actual.absent and not actual.broken:
            self._decided.update(set(actual.reasons))

    @property
    def policies(self) -> tuple[Covered, ...]:
        return tuple(
            Covered(
                policy.id,
                policy.node.effect,
                policy.statement.file,
                policy.statement.start[0],
                self._decided[policy.id],
            )
            for policy in self._policies
        )

    @property
    def never(self) -> tuple[Covered, ...]:
        return tuple(covered for covered in self.policies if not covered.cases)

    @property
    def percent(self) -> float:
        """Rounded by nobody: 99.9 is less than 100."""
        return 100.0 * (len(self._policies) - len(self.never)) / len(self._policies) if self._policies else 0.0

"""One thing that an operator should look at before the set serves: it loads, but may not say what was meant."""

from __future__ import annotations

from dataclasses import dataclass

from sallyport.pdp.policy import Policy


@dataclass(frozen=True, slots=True)
class Finding:
    rule: str
    file: str
    line: int
    column: int
    subject: str  # a policy's id, or the name of a tool, a role, …
    message: str
    mend: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


def about(policy: Policy, rule: str, place: tuple[int, int], message: str, mend: str) -> Finding:
    return Finding(rule, policy.statement.file, *place, policy.id, f"policy {policy.id}: {message}", mend)

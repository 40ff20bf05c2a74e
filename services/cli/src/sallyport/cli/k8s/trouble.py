"""What a cluster refuses, as the operator reads it: which right is missing, and what to do."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sallyport.cli.complaint import Complaint, Exit

_RULES = "docs/k8s-commands.md lists the rules of every command"


@dataclass(frozen=True, slots=True)
class Right:
    """What one request needs of RBAC."""

    verbs: tuple[str, ...]
    resource: str
    namespace: str
    group: str = ""

    def __str__(self) -> str:
        return f"{' and '.join(self.verbs)} {self.resource} in namespace {self.namespace}"

    @property
    def rule(self) -> str:
        """As it stands in a Role."""
        fields = {"apiGroups": [self.group], "resources": [self.resource], "verbs": list(self.verbs)}
        return "{" + ", ".join(f"{name}: {json.dumps(value)}" for name, value in fields.items()) + "}"


class Forbidden(Complaint):
    """The cluster knows who asks, and says no."""

    def __init__(self, right: Right) -> None:
        self.right = right
        wrong = f"the cluster doesn't let you {right}"
        next_step = f"have this rule added to your Role in {right.namespace}: {right.rule}; {_RULES}"
        super().__init__(wrong, next_step, Exit.REFUSED)


class Missing(Complaint):
    """What was asked for isn't there."""


class UnderWay(Complaint):
    """Pods of two versions of the release."""


class Changed(Complaint):
    """Somebody else wrote it since we read it."""


class Unreachable(Complaint):
    """No answer from the API server, or from a pod through it."""

    def __init__(self, wrong: str, next_step: str) -> None:
        super().__init__(wrong, next_step, Exit.UNAVAILABLE)

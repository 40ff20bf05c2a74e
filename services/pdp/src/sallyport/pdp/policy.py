"""A policy as the engine room knows it: its text and place, its parts, and what its annotations promise."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import cedarpy
from cedarpy import pst

from sallyport.pdp.cedar_text import Statement, blamed, statements
from sallyport.pdp.nesting import too_deep
from sallyport.runtime.problems import Problem

MAX_TOKENS = 8192  # of one policy: a list of 60,000 names held up every question for half a second
# An annotation with a typo would be silently without effect: `@obligations("mask")` masks nothing.
ANNOTATIONS = ("id", "advice", "obligation", "scope", "doc")
_SCOPES = re.compile(r"[!#-\[\]-~]{1,128}( [!#-\[\]-~]{1,128})*")  # RFC 6749 §3.3


@dataclass(frozen=True, slots=True)
class Policy:
    id: str
    statement: Statement
    node: pst.Template

    @property
    def permits(self) -> bool:
        return self.node.effect == "permit"

    @property
    def obligation(self) -> str | None:
        return self.node.annotations.get("obligation")

    @property
    def advice(self) -> str | None:
        return self.node.annotations.get("advice")

    @property
    def oauth_scopes(self) -> tuple[str, ...]:
        """With these OAuth scopes the policy wouldn't deny."""
        return tuple(self.node.annotations.get("scope", "").split())

    def problem(self, place: tuple[int, int], message: str) -> Problem:
        return Problem(self.statement.file, *place, f"policy {self.id}: {message}", self.id)


def parse(text: str, file: str, problems: list[Problem]) -> Iterator[Policy]:
    """Every policy of one file, in its order; what is wrong with any of them is added to `problems`."""
    for statement in statements(text, file):
        policy = _parse_one(statement, problems)
        if policy is not None:
            yield policy


def twins(policies: Iterable[Policy]) -> Iterator[Problem]:
    """Two policies with one id couldn't be told apart in an audit record."""
    seen: dict[str, Policy] = {}
    for policy in policies:
        first = seen.setdefault(policy.id, policy)
        if first is not policy:
            line = first.statement.tokens[0].line
            place = policy.statement.find("id")
            yield policy.problem(place, f"this id is taken by {first.statement.file}:{line}; choose another")


def nodes(root: object) -> Iterator[Any]:
    """Every node of a policy's tree; iterative, so that depth costs no stack."""
    stack: list[object] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, tuple):
            stack.extend(node)
        elif isinstance(node, dict):
            stack.extend(node.values())
        elif is_dataclass(node) and not isinstance(node, type):
            yield node
            stack.extend(getattr(node, part.name) for part in fields(node))


def _parse_one(statement: Statement, problems: list[Problem]) -> Policy | None:
    deep = too_deep(statement.tokens)
    if deep is not None:
        message = "nests too deep, or chains too many operators; split it into several policies"
        problems.append(Problem(statement.file, deep.line, deep.column, message))
        return None
    if len(statement.tokens) > MAX_TOKENS:
        message = (
            f"is too long: {len(statement.tokens)} words and signs, at most {MAX_TOKENS}; split it, "
            "or keep a long list elsewhere: in resources.yaml as attributes, in agents.yaml as groups, in roles.yaml"
        )
        problems.append(Problem(statement.file, *statement.start, message))
        return None
    try:
        tree = cedarpy.policies_to_pst(statement.text)
    except ValueError as error:
        place = blamed(str(error), statement.tokens)
        problems.append(Problem(statement.file, *place, f"not a Cedar policy: {error}"))
        return None
    if tree.templates or tree.template_links or len(tree.static_policies) != 1:
        message = "a template permits nothing until it is linked, which isn't supported; write the policy out"
        problems.append(Problem(statement.file, *statement.start, message))
        return None
    node = next(iter(tree.static_policies.values()))
    # Without an id it is refused, but what else is wrong with it is told all the same.
    policy = Policy(node.annotations.get("id", "") or f"without an id, line {statement.start[0]}", statement, node)
    problems.extend(_annotation_problems(policy))
    return policy


def _annotation_problems(policy: Policy) -> Iterator[Problem]:
    annotations = policy.node.annotations
    if not annotations.get("id") or not policy.id.isprintable():
        message = 'needs a printable id: write @id("file.what_it_says") above it'
        yield Problem(policy.statement.file, *policy.statement.start, f"policy {message}", policy.id)
    for name, value in annotations.items():
        place = policy.statement.find("@", name)
        if name not in ANNOTATIONS:
            near = difflib.get_close_matches(name, ANNOTATIONS, n=1)
            hint = (
                f"did you mean @{near[0]}?" if near else f"there are: {', '.join('@' + known for known in ANNOTATIONS)}"
            )
            yield policy.problem(place, f"no annotation @{name}; {hint}")
        elif not value:
            yield policy.problem(place, f"@{name} needs a text")
    if "obligation" in annotations and not policy.permits:
        yield policy.problem(policy.statement.find("@", "obligation"), "only a permit can carry an obligation")
    if "scope" in annotations:
        place = policy.statement.find("@", "scope")
        if policy.permits:
            yield policy.problem(place, "only a forbid can carry a scope: it names what a caller lacks")
        elif not _SCOPES.fullmatch(annotations["scope"]):
            yield policy.problem(place, "@scope names OAuth scopes, separated by one blank each (RFC 6749 §3.3)")

"""All policies together: read, validated against the schema, and refused with every problem at once."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import cedarpy

from sallyport.pdp import attributes, context_paths, gates, lint
from sallyport.pdp.base_schema import BaseSchema
from sallyport.pdp.policy import Policy, parse, twins
from sallyport.runtime.problems import Problem

MAX_TOKENS = 1_000_000  # of a whole set: some 25,000 policies
_INDEX = re.compile(r"policy(\d+)")
_NONE_APPLIES = "unable to find an applicable action"
_FOR_ACTION = " for Action::"
_LITERAL = re.compile(r"([A-Za-z_][A-Za-z0-9_:]*)::\"(.*?)\"")


def read(files: Mapping[str, bytes], problems: list[Problem]) -> Iterator[Policy]:
    """The policies of every .cedar file, in the order of their names; one at a time, for their trees are large."""
    taken = 0
    for name in sorted(files):
        try:
            text = files[name].decode("utf-8")
        except UnicodeDecodeError as error:
            problems.append(Problem(name, 0, 0, f"not UTF-8 at byte {error.start}; save the file as UTF-8"))
            continue
        before, found = len(problems), 0
        for policy in parse(text, name, problems):
            found += 1
            taken += len(policy.statement.tokens)
            if taken > MAX_TOKENS:
                message = f"the policies up to here have over {MAX_TOKENS:,} words and signs; a set may have so many"
                problems.append(policy.problem(policy.statement.start, message))
                return
            if policy.id.startswith(gates.PREFIX):
                message = f"ids that start with {gates.PREFIX!r} are for compiled roles"
                problems.append(policy.problem(policy.statement.start, message))
            yield policy
        if not found and len(problems) == before:
            problems.append(Problem(name, 0, 0, "holds no policy; a file cut short would look like this: remove it"))


def check(policies: Sequence[Policy], known: lint.Known, base: BaseSchema, schema: cedarpy.Schema) -> list[Problem]:
    """Ids, names, context paths, attributes and types."""
    problems = [*twins(policies), *lint.check(policies, known)]
    told = {(found.subject, found.line, found.column) for found in problems}
    problems += [found for found in context_problems(policies, known, base) if _place_of(found) not in told]
    told |= {_place_of(found) for found in problems}
    named = {found.subject for found in problems}
    for found in type_problems(policies, schema):
        # An action that nobody knows has been told of: that none applies says nothing new.
        if _place_of(found) not in told and not (_NONE_APPLIES in found.message and found.subject in named):
            problems.append(found)
    return problems


def context_problems(policies: Sequence[Policy], known: lint.Known, base: BaseSchema) -> Iterator[Problem]:
    for policy in policies:
        yield from context_paths.check(policy, known.actions)
        yield from attributes.check(policy, known.actions, base.resources)


def _place_of(problem: Problem) -> tuple[str, int, int]:
    """One slip may be found by several checks: it is told once, by the first, which knows best what to do."""
    return problem.subject, problem.line, problem.column


def text_of(policies: Iterable[Policy]) -> str:
    return "\n".join(policy.statement.text for policy in policies)


def type_problems(policies: Sequence[Policy], schema: cedarpy.Schema) -> Iterator[Problem]:
    """What Cedar's validator says, each thing once, however many actions it holds for."""
    result = cedarpy.validate_policies(text_of(policies), schema, release_gil=True)
    found: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for error in result.errors:
        match = _INDEX.fullmatch(error.policy_id)
        message = error.error.removeprefix(f"for policy `{error.policy_id}`, ")
        said, _, action = message.partition(_FOR_ACTION)
        found[int(match[1]) if match else 0][said].append(action)
    for number in sorted(found):
        for said, actions in found[number].items():
            yield policies[number].problem(_place(policies[number], said), said + _for(list(dict.fromkeys(actions))))
    if not result.validation_passed and not found:
        yield Problem("", 0, 0, "Cedar refuses the policies without saying why")


def _for(actions: Sequence[str]) -> str:
    if len(actions) == 1:
        return f"{_FOR_ACTION}{actions[0]}" if actions[0] else ""
    return f" for {len(actions)} actions"


def _place(policy: Policy, message: str) -> tuple[int, int]:
    """The validator names what it dislikes but not where; the first such token is shown."""
    literal = _LITERAL.search(message)
    if literal:
        return policy.statement.find_entity(literal[1], literal[2])
    quoted = message.split("`")[1::2][:1]
    return policy.statement.find(quoted[0].split(".")[-1]) if quoted else policy.statement.start

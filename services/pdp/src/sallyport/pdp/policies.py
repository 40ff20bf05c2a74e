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

_INDEX = re.compile(r"policy(\d+)")
_LITERAL = re.compile(r"([A-Za-z_][A-Za-z0-9_:]*)::\"(.*?)\"")


def read(files: Mapping[str, bytes], problems: list[Problem]) -> Iterator[Policy]:
    """The policies of every .cedar file, in the order of their names; one at a time, for their trees are large."""
    for name in sorted(files):
        try:
            text = files[name].decode("utf-8")
        except UnicodeDecodeError as error:
            problems.append(Problem(name, 0, 0, f"not UTF-8 at byte {error.start}; save the file as UTF-8"))
            continue
        before, found = len(problems), 0
        for policy in parse(text, name, problems):
            found += 1
            if policy.id.startswith(gates.PREFIX):
                message = f"ids that start with {gates.PREFIX!r} are for compiled roles"
                problems.append(policy.problem(policy.statement.start, message))
            yield policy
        if not found and len(problems) == before:
            problems.append(Problem(name, 0, 0, "holds no policy; a file cut short would look like this: remove it"))


def check(policies: Sequence[Policy], known: lint.Known, base: BaseSchema, schema: cedarpy.Schema) -> list[Problem]:
    """Ids, names, context paths, attributes and types."""
    problems = [*twins(policies), *lint.check(policies, known)]
    told = {problem.subject for problem in problems}
    problems += [found for policy in policies for found in context_paths.check(policy, known.actions)]
    problems += [found for policy in policies for found in attributes.check(policy, known.actions, base.resources)]
    problems += [found for found in _type_problems(policies, schema) if found.subject not in told]
    return problems


def text_of(policies: Iterable[Policy]) -> str:
    return "\n".join(policy.statement.text for policy in policies)


def _type_problems(policies: Sequence[Policy], schema: cedarpy.Schema) -> Iterator[Problem]:
    result = cedarpy.validate_policies(text_of(policies), schema, release_gil=True)
    messages: dict[int, list[str]] = defaultdict(list)
    for error in result.errors:
        match = _INDEX.fullmatch(error.policy_id)
        number = int(match[1]) if match else 0
        messages[number].append(error.error.removeprefix(f"for policy `{error.policy_id}`, "))
    for number in sorted(messages):
        for message in dict.fromkeys(messages[number]):
            yield policies[number].problem(_place(policies[number], message), message)
    if not result.validation_passed and not messages:
        yield Problem("", 0, 0, "Cedar refuses the policies without saying why")


def _place(policy: Policy, message: str) -> tuple[int, int]:
    """The validator names what it dislikes but not where; the first such token is shown."""
    literal = _LITERAL.search(message)
    if literal:
        return policy.statement.find_entity(literal[1], literal[2])
    quoted = message.split("`")[1::2][:1]
    return policy.statement.find(quoted[0].split(".")[-1]) if quoted else policy.statement.start

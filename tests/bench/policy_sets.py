"""Policy sets as they grow in practice: most policies are for one user, one resource, or one of both."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from sallyport.pdp.model import Principal, Query, Session
from sallyport.runtime import mounted_dir
from sallyport.runtime.mounted_dir import Contents
from tests.contract.pdp_service.running import POLICIES

_A_FILE: Final = 2000
_READING: Final = ("read_file", "list_files", "database_query", "describe_table")
_OWN: Final = 3  # policies that name alice herself, in any set that is large enough
ALICE: Final = Principal("laptop", "alice", "coding-bot", "acme", ("developer",), ("read",))
QUERY: Final = Query(
    "read_file", "File", "alice/notes.txt", input={"path": "alice/notes.txt"}, session=Session(ip="127.0.0.1", risk=3)
)


def user(number: int) -> Principal:
    """One who has a policy of their own in a set of more than so many."""
    return replace(ALICE, user_id=f"u{number}")


def of_size(count: int) -> Contents:
    """The shipped set, filled up to so many policies."""
    files = dict(mounted_dir.read(POLICIES).files)
    shipped = sum(data.count(b"@id(") for name, data in files.items() if name.endswith(".cedar"))
    return _filled(files, list(_more(max(0, count - shipped))))


def by_role(count: int) -> Contents:
    """The same number, but each for a role and a tool, as a set without names of users grows."""
    files = dict(mounted_dir.read(POLICIES).files)
    pairs = itertools.cycle(itertools.product(("user", "developer", "senior-developer", "admin"), _READING))
    more = [
        f'@id("more.{number}") permit (principal in Role::"{role}", action == Action::"{tool}", resource) '
        f'when {{ resource has owner && resource.owner == "u{number}" && principal.agent_trust_level >= 5 }};'
        for number, (role, tool) in zip(range(count), pairs, strict=False)
    ]
    return _filled(files, more)


def _filled(files: dict[str, bytes], more: list[str]) -> Contents:
    for start in range(0, len(more), _A_FILE):
        files[f"more{start}.cedar"] = "\n".join(more[start : start + _A_FILE]).encode()
    return Contents(files, mounted_dir.revision(files))


def _more(count: int) -> Iterator[str]:
    for number in range(count):
        yield f'@id("more.{number}") {_KINDS[number % len(_KINDS)](number, "alice" if number < _OWN else f"u{number}")}'


def _ones_own(_number: int, name: str) -> str:
    scope = f'principal == Compound::"[\\"laptop\\",\\"{name}\\",\\"coding-bot\\"]", action == Action::"read_file", resource'
    return f"permit ({scope}) when {{ resource.owner == principal.user_id && principal.agent_trust_level >= 5 }};"


def _one_for_one(number: int, name: str) -> str:
    actions = 'action in [Action::"read_file", Action::"write_file"]'
    scope = f'principal in User::"[\\"laptop\\",\\"{name}\\"]", {actions}, resource == File::"alice/f{number}.txt"'
    return f"permit ({scope}) when {{ context.session has risk && context.session.risk < 50 }};"


def _closed(number: int, _name: str) -> str:
    scope = f'principal, action in Action::"group:read_only", resource == File::"bob/f{number}.txt"'
    return f'forbid ({scope}) unless {{ principal in Role::"admin" }};'


def _open_to_a_role(number: int, _name: str) -> str:
    return (
        f'permit (principal in Role::"developer", action == Action::"describe_table", resource == Table::"t{number}");'
    )


_KINDS: Final = (_ones_own, _one_for_one, _closed, _open_to_a_role)

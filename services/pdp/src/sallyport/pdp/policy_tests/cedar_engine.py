"""Questions in Cedar's words, put to Cedar with the set's policies and schema and the test's own entities.

The PDP's rule holds here too: a policy that fails denies, and so does an entity that isn't there. The one exception is
a test that expects so many errors: then Cedar's own decision counts, as it does for the Cedar CLI.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from json import JSONEncoder
from typing import Any, Final

import cedarpy

from sallyport.pdp import base_schema
from sallyport.pdp.cedar_text import entity as written
from sallyport.pdp.policy_tests import cedar_json
from sallyport.pdp.policy_tests.limits import plain
from sallyport.pdp.policy_tests.model import Actual, CedarQuestion, Uid
from sallyport.pdp.policy_tests.names import Names
from sallyport.pdp.snapshot import Snapshot

_ENCODER: Final = JSONEncoder(allow_nan=False)
_SOME: Final = 8  # absent entities that are named; one is enough to deny


@dataclass(frozen=True, slots=True)
class _World:
    """Entities as one test gives them."""

    handle: cedarpy.Entities
    present: frozenset[Uid]
    dangling: tuple[Uid, ...]  # referred to by one of them, and not there


class CedarEngine:
    """For one snapshot; policies and files of entities are parsed once."""

    def __init__(self, snapshot: Snapshot, names: Names, files: Mapping[str, bytes]) -> None:
        self._snapshot = snapshot
        self._names = names
        self._files = files
        touched = {kind for action in names.actions.values() for kind in action.resource_types}
        self._types = frozenset(base_schema.MODEL) | touched
        self._compiled = lru_cache(maxsize=None)(self._compile)
        self._from_file = lru_cache(maxsize=None)(self._read)

    def judge(self, question: CedarQuestion, num_errors: int) -> Actual:
        """Never raises but what ends the process: a request that Cedar won't take is no answer at all."""
        try:
            return self._judge(question, num_errors)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 — a panic in Rust isn't even an Exception
            return Actual(permit=False, broken=plain(f"can't be judged: {error}"))

    def _judge(self, question: CedarQuestion, num_errors: int) -> Actual:
        said = question.entities
        world = self._from_file(said) if isinstance(said, str) else self._world(list(said))
        if isinstance(world, str):
            return Actual(permit=False, broken=plain(f"can't be judged: {world}"))
        request = {
            "principal": _named(question.principal),
            "action": _named(("Action", question.action)),
            "resource": _named(question.resource),
            "context": dict(question.context),
        }
        result = cedarpy.is_authorized(request, self._compiled(question.action), world.handle, self._snapshot.schema)
        failed = tuple(result.diagnostics.errors)
        if result.decision is cedarpy.Decision.NoDecision:
            return Actual(permit=False, broken=plain(f"Cedar takes no such request: {'; '.join(failed)}"))
        absent = [uid for uid in (question.principal, question.resource) if uid not in world.present]
        absent += [uid for uid in _marked(question.context) if uid not in world.present]
        absent += world.dangling
        policies = self._names.slice(question.action)
        reasons = [policies[index] for index in sorted(map(_index, result.diagnostics.reasons))]
        allowed = result.decision is cedarpy.Decision.Allow
        permit = allowed and not absent and len(failed) in {0, num_errors}
        return Actual(
            permit,
            () if allowed and not permit else tuple(policy.id for policy in reasons),
            tuple(map(plain, failed)),
            absent=tuple(plain(written(*uid)) for uid in dict.fromkeys(absent)),
        )

    def _compile(self, action: str) -> cedarpy.PolicySet:
        policies = self._names.slice(action)
        text = "\n".join(policy.statement.text for policy in policies)
        compiled = cedarpy.PolicySet.from_str(text, release_gil=True)
        if len(compiled) != len(policies):
            raise ValueError("Cedar counts other policies than were read")  # never happens: each was parsed alone
        return compiled

    def _read(self, name: str) -> _World | str:
        """Or what is wrong with the file: kept as well, so that no number of cases has it read again."""
        try:
            value = cedar_json.parse(self._files[name])
            return self._world(value) if isinstance(value, list) else f"{name} holds no array of entities"
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return f"{name}: {error}"

    def _world(self, items: list[Any]) -> _World:
        handle = cedarpy.Entities.from_json_str(_ENCODER.encode(items), self._snapshot.schema)
        present = frozenset(_uid(item["uid"]) for item in items)
        referred = dict.fromkeys(
            uid
            for item in items
            for uid in (*map(_uid, item.get("parents", ())), *self._references(item.get("attrs", {})))
            if uid not in present and uid[0] != "Action"
        )
        return _World(handle, present, tuple(referred)[:_SOME])

    def _references(self, value: Any) -> Iterator[Uid]:
        """Under a schema an attribute may refer without the escape, as plain {type, id}."""
        yield from _marked(value)
        for found in _objects(value):
            if found.keys() == {"type", "id"} and found["type"] in self._types and isinstance(found["id"], str):
                yield found["type"], found["id"]


def _index(engine_id: str) -> int:
    """Cedar's own ids are `policyN`, N being the policy's place."""
    return int(engine_id.removeprefix("policy"))


def _marked(value: Any) -> Iterator[Uid]:
    for found in _objects(value):
        if isinstance(found.get("__entity"), dict):
            yield _uid(found)


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object within, without recursion."""
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, dict):
            yield item
            rest.extend(item.values())
        elif isinstance(item, list):
            rest.extend(item)


def _uid(value: Any) -> Uid:
    inner = value.get("__entity", value)
    return str(inner["type"]), str(inner["id"])


def _named(uid: Uid) -> dict[str, str]:
    return {"type": uid[0], "id": uid[1]}

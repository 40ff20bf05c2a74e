"""`python -m sallyport.pdp.corpus FILE…`: Cedar's own tests through the engine room.

Takes files of the form that cedar-integration-tests uses (a JSON object with policies, entities, schema, shouldValidate
and requests), folders of them, and .tar.gz archives. Decision, reasons, errors and validation must be Cedar's, but for
what the room refuses besides: any evaluation error is a denial, and so is an entity that is referred to and isn't
there. Exit code: 0 all equal, 1 some differ, 2 some can't be read (the rest is tried).
"""

from __future__ import annotations

import argparse
import json
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Final

import cedarpy
from cedarpy import pst

from sallyport.pdp import world
from sallyport.pdp.cedar_text import statements
from sallyport.pdp.room import Judgement, Room
from sallyport.pdp.rule import Rule
from sallyport.pdp.slices import ANY, Key, Keys
from sallyport.pdp.world import Uid, World

_ARCHIVES: Final = (".tar.gz", ".tgz")
_ENTITIES: Final = ".entities.json"
_SHOWN: Final = 50  # differences that are printed
_TEXTS: Final = ("policies", "schema", "entities")
Read = Callable[[str], bytes | None]


@dataclass(frozen=True, slots=True)
class Case:
    """One file of tests, with everything that it names."""

    name: str
    test: Mapping[str, Any]
    policies: str
    schema: str
    entities: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What isn't a test that can be tried."""

    why: str


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sallyport.pdp.corpus", description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE", help="a test, a folder, or a .tar.gz of them")
    counts: Counter[str] = Counter()
    differences: list[str] = []
    for path in parser.parse_args(argv).paths:
        differences += _differences(path, counts)
    for difference in differences[:_SHOWN]:
        print(difference)  # noqa: T201 — a command's output
    print(summary(counts))  # noqa: T201 — same
    if counts["unreadable"]:
        return 2
    return 1 if differences or not counts["requests"] else 0


def _differences(path: Path, counts: Counter[str]) -> Iterator[str]:
    """What can't be read is said, and the rest is tried all the same."""
    found = cases(path)
    while True:
        try:
            case = next(found, None)
            if case is None:
                return
            if isinstance(case, Case):
                yield from check(case, counts)
            else:
                _complain(case.why, counts)
        except (OSError, ValueError, tarfile.TarError) as error:
            _complain(str(error), counts)


def _complain(why: str, counts: Counter[str]) -> None:
    counts["unreadable"] += 1
    print(f"can't be read: {why}", file=sys.stderr)  # noqa: T201 — a command's output


def summary(counts: Mapping[str, int]) -> str:
    unreadable = f"{counts['unreadable']} can't be read; " if counts["unreadable"] else ""
    return (
        f"{unreadable}{counts['files']} files, {counts['requests']} requests: {counts['different']} differ from Cedar; "
        f"denied by our own rules where Cedar allows: {counts['error']} for an evaluation error, "
        f"{counts['absent']} for an absent entity"
    )


def cases(path: Path) -> Iterator[Case | Unreadable]:
    """Every test in a file, a folder with its archives, or an archive. Raises OSError and TarError at its end alone."""
    if path.is_dir():
        for found in sorted(place for place in path.rglob("*") if place.is_file()):
            if found.name.endswith(_ARCHIVES):
                yield from _archived(found)
            elif _is_test(found.name, found.read_bytes()):
                yield _case(found.name, found.read_bytes(), _beside(found))
    elif path.name.endswith(_ARCHIVES):
        yield from _archived(path)
    elif not path.name.endswith(_ENTITIES):  # named by a pattern such as *.json: they lie beside every test
        yield _case(path.name, path.read_bytes(), _beside(path))


def check(case: Case, counts: Counter[str]) -> Iterator[str]:
    """What differs from what the file expects, one line each."""
    counts["files"] += 1
    try:
        schema = cedarpy.Schema.from_str(case.schema)
        rules = read_rules(case.policies)
        handle = cedarpy.Entities.from_json_str(case.entities, schema)
    except ValueError as error:
        raise ValueError(f"{case.name}: {error}") from None
    validates = cedarpy.validate_policies(case.policies, schema).validation_passed
    if validates != case.test["shouldValidate"]:
        counts["different"] += 1
        yield f"{case.name}: validation gives {validates}, expected {case.test['shouldValidate']}"
    rooms = {checked: Room(rules, schema if checked else None) for checked in (True, False)}
    # Cedar's own rendering spells every reference out.
    stated = _json(str(handle))
    for request in case.test["requests"]:
        counts["requests"] += 1
        room = rooms[request.get("validateRequest", True)]
        judged = _judge(room, request, handle, stated)
        difference = _difference(request, judged, counts)
        if difference:
            counts["different"] += 1
            yield f"{case.name}: {request.get('description', '')}: {difference}"


def read_rules(policies: str) -> list[Rule]:
    """The policies of one text under the engine's own ids."""
    found = _json(cedarpy.policies_to_json_str(policies))
    if found["templates"] or found["templateLinks"]:
        raise ValueError("templates aren't supported")
    effects = {name: policy["effect"] for name, policy in found["staticPolicies"].items()}
    texts = [statement.text for statement in statements(policies, "")]
    if len(texts) != len(effects):
        raise ValueError("Cedar counts other policies than were read")
    scopes = _scopes(policies)
    return [
        Rule(name, text, effects[name] == "permit", *scopes.get(name, (pst.ScopeAny(),) * 3))
        for name, text in ((f"policy{number}", text) for number, text in enumerate(texts))
    ]


def _scopes(policies: str) -> dict[str, tuple[Any, Any, Any]]:
    """By policy; empty for a text that Cedar reads but can't take apart, a call with too many arguments: not sliced."""
    try:
        tree = cedarpy.policies_to_pst(policies)
    except ValueError:
        return {}
    return {name: (node.principal, node.action, node.resource) for name, node in tree.static_policies.items()}


def _judge(
    room: Room, request: Mapping[str, Any], handle: cedarpy.Entities, stated: Sequence[Mapping[str, Any]]
) -> Judgement:
    asked = {
        part: {name: request[part][name] for name in ("type", "id")} for part in ("principal", "action", "resource")
    }
    uids = {part: (uid["type"], uid["id"]) for part, uid in asked.items()}
    context = request.get("context", {})
    roots = [uids["principal"], uids["resource"], *world.references(context)]
    seen = World(handle, gaps=bool(world.missing(roots, stated)))
    parents = {world.uid_of(entity): frozenset(world.parents(entity)) for entity in stated}
    keys = Keys(
        principal=(ANY, (uids["principal"][0], None), *_above(uids["principal"], parents)),
        own_principal=(uids["principal"],),
        action=(ANY, uids["action"], *_above(uids["action"], parents)),
        resource=(ANY, (uids["resource"][0], None), *_above(uids["resource"], parents)),
        own_resource=(uids["resource"],),
    )
    return room.judge({**asked, "context": context}, keys, seen)


def _difference(request: Mapping[str, Any], judged: Judgement, counts: Counter[str]) -> str:
    """Empty if all is Cedar's, but for our two rules."""
    if judged.invalid:
        return "the request doesn't fit the schema"
    expected = request["decision"] == "allow"
    failed = {rule.id for rule in judged.failed}
    reasons = {rule.id for rule in judged.reasons}
    if failed != set(request["errors"]):
        return f"errors {sorted(failed)}, expected {sorted(request['errors'])}"
    if reasons != set(request["reason"]):
        return f"reasons {sorted(reasons)}, expected {sorted(request['reason'])}"
    ours = expected and not failed and not judged.absent
    if expected and not ours:
        counts["error" if failed else "absent"] += 1
    return "" if judged.allowed == ours else f"allowed is {judged.allowed}, expected {ours}"


def _above(uid: Uid, parents: Mapping[Uid, frozenset[Uid]]) -> tuple[Key, ...]:
    found: set[Uid] = set()
    waiting = [uid]
    while waiting:
        for parent in parents.get(waiting.pop(), ()):
            if parent not in found:
                found.add(parent)
                waiting.append(parent)
    return tuple(sorted(found - {uid}))


def _json(text: str | bytes) -> Any:
    return json.loads(text)  # noqa: TID251 — trusted test data, with integers up to 2^63-1


def _is_test(name: str, data: bytes) -> bool:
    return name.endswith(".json") and b'"requests"' in data and b'"policies"' in data


def _case(name: str, data: bytes, read: Read) -> Case | Unreadable:
    try:
        test = _json(data)
        if problem := _problem(test):
            return Unreadable(f"{name}: not a test of cedar-integration-tests: {problem}")
        texts = {part: read(test[part]) for part in _TEXTS}
        if missing := next((part for part, found in texts.items() if found is None), ""):
            return Unreadable(f"{name}: {missing} {test[missing]!r} is not beside it, nor above")
        return Case(name, test, **{part: found.decode() for part, found in texts.items() if found is not None})
    except (OSError, ValueError) as error:
        return Unreadable(f"{name}: {error}")


def _problem(test: Any) -> str:
    """What is taken for granted afterwards: a word misspelt in an expectation must not pass for `deny`."""
    if not isinstance(test, dict) or not all(isinstance(test.get(part), str) for part in _TEXTS):
        return f"it must name {', '.join(_TEXTS)}"
    if not isinstance(test.get("shouldValidate"), bool):
        return "`shouldValidate` must be true or false"
    requests = test.get("requests")
    if not isinstance(requests, list) or not requests:
        return "no `requests`"
    wrong = (number for number, request in enumerate(requests) if not _is_request(request))
    return next((f"request {number} isn't whole" for number in wrong), "")


def _is_request(request: Any) -> bool:
    return (
        isinstance(request, dict)
        and request.get("decision") in {"allow", "deny"}
        and isinstance(request.get("validateRequest", True), bool)
        and all(_is_uid(request.get(part)) for part in ("principal", "action", "resource"))
        and all(isinstance(request.get(part), list) for part in ("reason", "errors"))
    )


def _is_uid(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(value.get(name), str) for name in ("type", "id"))


def _places(beside: PurePath, named: str) -> Iterator[PurePath]:
    """What a test names is relative to some folder above it, or lies beside it under its last name."""
    yield from (above / named for above in beside.parents)
    yield beside.parent / PurePosixPath(named).name


def _beside(path: Path) -> Read:
    def read(named: str) -> bytes | None:
        return next((Path(place).read_bytes() for place in _places(path, named) if Path(place).is_file()), None)

    return read


def _archived(path: Path) -> Iterator[Case | Unreadable]:
    with tarfile.open(path) as archive:  # read once, in order: to go back in a .gz is to begin again
        files = ((PurePosixPath(member.name), archive.extractfile(member)) for member in archive)
        texts = {name: file.read() for name, file in files if file}
    for name, data in sorted(texts.items()):
        if _is_test(name.name, data):
            yield _case(name.name, data, _within(texts, name))


def _within(texts: Mapping[PurePosixPath, bytes], name: PurePosixPath) -> Read:
    def read(named: str) -> bytes | None:
        places = (PurePosixPath(place) for place in _places(name, named))
        return next((texts[place] for place in places if place in texts), None)

    return read


if __name__ == "__main__":
    sys.exit(main())

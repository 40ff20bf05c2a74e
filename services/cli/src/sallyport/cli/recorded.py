"""A decision out of the audit record, asked again: what the record holds, and what has to be given or assumed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sallyport.audit import show
from sallyport.audit.errors import RecordRefused
from sallyport.audit.record import Record, decode
from sallyport.pdp.decider import decide
from sallyport.pdp.explain.arguments import fill, reads
from sallyport.pdp.explain.explanation import about
from sallyport.pdp.findings.parts import Parts
from sallyport.pdp.model import Effect, Principal, Purpose, Query, Session, Verdict
from sallyport.pdp.snapshot import Snapshot
from sallyport.runtime.problems import ConfigError, Problem

_KINDS: Final = frozenset({"intent", "refusal", "decision"})  # the PEP's two, and the PDP's
_FACTS: Final = ("risk", "mfa_age", "call_count")  # of the session, which the PDP's record alone holds


@dataclass(frozen=True, slots=True)
class Given:
    """What the operator adds to a record."""

    roles: tuple[str, ...] | None = None  # None: not said
    scopes: tuple[str, ...] = ()
    resource: tuple[str, str] | None = None  # where the record names none
    input: Mapping[str, Any] = field(default_factory=dict)
    session: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One recorded call that the PDP decided."""

    decision_id: str
    at: datetime
    principal: Principal  # its roles and scopes as the PDP recorded them, if it did
    action: str
    resources: tuple[tuple[str, str], ...]  # type, id; none where it was refused before they were known
    client: str
    permitted: bool
    reasons: tuple[str, ...]
    errors: tuple[str, ...]
    revision: str
    witnessed: bool = False  # the PDP's own record is there: roles, scopes and session are what the policies saw
    session: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """Questions like the recorded one, and what in them isn't from the record."""

    principal: Principal
    queries: tuple[Query, ...]
    at: datetime
    notes: tuple[str, ...]
    faithful: bool  # the set that they were rebuilt under decides as recorded


def read(directory: Path, decision_id: str = "") -> Iterator[Recorded]:
    """Every recorded call; what both services recorded is told once, by the PEP, whose record names more."""
    yield from _calls(show.records(directory, show.Filter(decision=decision_id, kinds=_KINDS)))


def read_file(file: Path) -> Iterator[Recorded]:
    """The same, of lines as `audit show --format json` prints them. Raises ConfigError."""
    found: list[Record] = []
    for number, line in enumerate(file.read_bytes().splitlines(), start=1):
        try:
            record = decode(line)
        except RecordRefused as refused:
            problem = Problem(str(file), number, 1, f"is no audit record: {refused}; write the file with audit show")
            raise ConfigError([problem]) from None
        found += [record] if record["kind"] in _KINDS else []
    yield from _calls(found)


def _calls(records: Iterable[Record]) -> Iterator[Recorded]:
    told: set[str] = set()
    held = sorted(records, key=lambda one: (one["kind"] == "decision", one["time"]))
    # The PDP answers a question of visibility before the call's: the last one saw most.
    witnesses = {one.get("decision_id"): one for one in held if one["kind"] == "decision" and "roles" in one}
    for record in held:
        found = _call(record)
        if found is not None and found.decision_id not in told:
            told.add(found.decision_id)
            yield _witnessed(found, witnesses.get(found.decision_id))


def _witnessed(found: Recorded, witness: Record | None) -> Recorded:
    """With what the PDP's own record says of the caller and the session."""
    if witness is None:
        return found
    roles, scopes = (tuple(map(str, _list(witness.get(name)))) for name in ("roles", "scopes"))
    return replace(
        found,
        principal=replace(found.principal, roles=roles, scopes=scopes),
        witnessed=True,
        session=_session(witness.get("session")),
    )


def _session(value: Any) -> dict[str, Any]:
    """A record may be anybody's: only facts of the right kind are taken."""
    facts = value if isinstance(value, dict) else {}
    found: dict[str, Any] = {name: facts[name] for name in _FACTS if type(facts.get(name)) is int}
    return found | ({"ip": facts["ip"]} if isinstance(facts.get("ip"), str) else {})


def _call(record: Record) -> Recorded | None:
    """None for what isn't a call that the PDP decided: a listing, or a refusal without a decision."""
    actions = _list(record.get("actions"))
    action = str(record.get("tool") or (actions[0] if len(actions) == 1 else ""))
    if not all((action, record.get("revision"), record.get("user"), record.get("decision_id"))):
        return None
    if record.get("purpose") == "visibility":
        return None
    named = (str(resource).partition("::") for resource in _list(record.get("resources")))
    issuer, user, agent, org = (str(record.get(name, "")) for name in ("issuer", "user", "agent", "org"))
    return Recorded(
        decision_id=str(record["decision_id"]),
        at=datetime.fromisoformat(record["time"]),
        principal=Principal(issuer, user, agent, org),
        action=action,
        resources=tuple((kind, identity) for kind, _, identity in named),
        client=str(record.get("client", "")),
        permitted=record.get("effect") == "permit",
        reasons=tuple(map(str, _list(record.get("reasons")))),
        errors=tuple(str(code).removeprefix("ERROR_CODE_") for code in _list(record.get("errors"))),
        revision=str(record["revision"]),
    )


def rebuild(record: Recorded, given: Given, parts: Parts) -> Rebuilt:
    """Where no roles are recorded or given, the fewest are taken under which this set decides as recorded."""
    queries, notes = _queries(record, given, parts.snapshot)
    if given.roles is not None or record.witnessed:
        principal = _with(record.principal, record.principal.roles if given.roles is None else given.roles, given)
        faithful = _likeness(record, _ask(parts.snapshot, principal, queries, record.at)) > 0
        return Rebuilt(principal, queries, record.at, notes, faithful)
    principals = [_with(record.principal, roles, given) for roles in _candidates(parts)]
    alike = [_likeness(record, _ask(parts.snapshot, one, queries, record.at)) for one in principals]
    if max(alike) > 0:
        principal = principals[alike.index(max(alike))]
        named = ", ".join(principal.roles) or "no role"
        taken = f"roles aren't recorded: taken is {named}, which gives the recorded decision"
        return Rebuilt(principal, queries, record.at, (taken, *notes), faithful=True)
    missing = "roles aren't recorded, and no single role gives the recorded decision under this set: say --role"
    return Rebuilt(_with(record.principal, (), given), queries, record.at, (missing, *notes), faithful=False)


def _candidates(parts: Parts) -> Iterator[tuple[str, ...]]:
    """Each role alone, those that hold least first; no role at all last, for such callers are rare."""
    for name in sorted(parts.roles, key=lambda role: (len(parts.roles[role].permissions), role)):
        yield (name,)
    yield ()


def _with(principal: Principal, roles: tuple[str, ...], given: Given) -> Principal:
    return replace(principal, roles=roles, scopes=given.scopes or principal.scopes)


def _ask(snapshot: Snapshot, principal: Principal, queries: Sequence[Query], at: datetime) -> tuple[Verdict, ...]:
    digest = snapshot.catalog_digest
    return decide(snapshot, principal, queries, Purpose.CALL, catalog_digest=digest, now=at)


def _likeness(record: Recorded, verdicts: Sequence[Verdict]) -> int:
    """2: decided as recorded. 1: by more policies, for of a tool that isn't listed only one is recorded. 0: otherwise.

    A call is permitted only if each of its resources is.
    """
    permitted = bool(verdicts) and all(verdict.effect is Effect.PERMIT for verdict in verdicts)
    deciding = [one for one in verdicts if permitted or one.effect is not Effect.PERMIT]
    reasons = {reason for verdict in deciding for reason in verdict.reasons}
    errors = {code.name for verdict in deciding for code in verdict.errors}
    if permitted is not record.permitted or errors != set(record.errors) or bool(record.reasons) is not bool(reasons):
        return 0
    recorded = set(record.reasons)
    return 2 if recorded == reasons else int(recorded <= reasons)


def _queries(record: Recorded, given: Given, snapshot: Snapshot) -> tuple[tuple[Query, ...], tuple[str, ...]]:
    session = Session(**{"ip": record.client or None, **record.session, **given.session})
    rules = snapshot.rules.get(record.action)
    resources = record.resources or ((given.resource,) if given.resource else ())
    queries, stand_ins = [], list[str]()
    for kind, identity in resources:
        arguments: Mapping[str, Any] = given.input
        if rules is not None:
            filled = fill(rules.action, given.input, (kind, identity))
            arguments, stand_ins = filled.input, list(filled.stand_ins)
        queries.append(Query(record.action, kind, identity, input=arguments, session=session))
    return tuple(queries), tuple(_notes(record, given, snapshot, stand_ins))


def _notes(record: Recorded, given: Given, snapshot: Snapshot, stand_ins: Sequence[str]) -> Iterator[str]:
    policies = about(snapshot, record.action)
    if unknown := sorted(reads(policies, "input") & set(stand_ins)):
        names = ", ".join(unknown)
        yield f"arguments are recorded as hashes: {names} are stood in for; say --input {unknown[0]}=VALUE"
    elif unread := sorted(set(stand_ins)):
        yield f"arguments are recorded as hashes; no policy about {record.action} reads {', '.join(unread)}"
    facts = reads(policies, "session")
    if absent := [name for name in _FACTS if name in facts and name not in given.session and not record.witnessed]:
        yield f"the session's {', '.join(absent)} aren't recorded, and are taken as unknown"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []

"""Both sides' streams as the PEP and the PDP write them, and an opponent who holds the signing key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from sallyport.audit import record
from sallyport.audit.ledger import Clock
from sallyport.audit.record import FIRST, SIGNED
from sallyport.audit.signer import Signer
from sallyport.audit.writer import Writer
from tests.unit.audit.made import Home, kill, records, segment

REVISION = "c" * 64
WHO = {"issuer": "laptop", "user": "alice", "agent": "coding-bot", "org": "acme", "compound_id": "alice via coding-bot"}
KEY = "k" * 8  # the masking key's name, before each digest
FILE = "File::alice/notes.txt"
START = 1_800_000_000.0  # where hand-made time begins, in seconds since the epoch
Lines = list[dict[str, Any]]


class Place(Protocol):
    """Where streams are, and the key that signed them."""

    audit: Path
    signer: Signer


class Time:
    """A wall clock that stands still until told."""

    def __init__(self) -> None:
        self.now = START
        self._mono = count(1)

    @property
    def clock(self) -> Clock:
        return Clock(wall=lambda: int(self.now * 1e9), mono=lambda: next(self._mono) * 1000)


@dataclass
class Pair:
    """One writer a side, and the records that belong together. Each method writes one decision; gives its id."""

    pep: Writer
    pdp: Writer
    numbers: Iterator[int]

    def in_force(self, revision: str = REVISION) -> None:
        fields = {"serves": True, "revision": revision, "in_force": revision, "trigger": "start"}
        self.pdp.append("policy", fields).result(10)

    def permitted(self) -> str:
        one = self.new()
        self.visible(one)
        self.decided(one, effect="permit", reasons=["owner"])
        self.intent(one)
        return one

    def denied(self) -> str:
        one = self.new()
        self.visible(one)
        self.decided(one, effect="deny", reasons=["prod"], errors=["ERROR_CODE_CONTEXT_MISSING"])
        self.refused(one, "denied", reasons=["prod"], errors=["ERROR_CODE_CONTEXT_MISSING"], revision=REVISION)
        return one

    def hidden(self) -> str:
        one = self.new()
        self.visible(one, shown=0, hidden=1, reasons=["gate"])
        self.refused(one, "unknown_tool", reasons=["gate"], revision=REVISION)
        return one

    def unfit(self) -> str:
        one = self.new()
        self.visible(one)
        self.refused(one, "invalid_arguments")
        return one

    def demanded(self) -> str:
        one = self.new()
        self.visible(one)
        self.decided(one, effect="permit", obligations=["mask:email"])
        self.refused(one, "unknown_obligation", revision=REVISION)
        return one

    def unresolved(self) -> str:
        one = self.new()
        self.visible(one)
        self.decided(one, effect="permit", reasons=["owner"])
        self.refused(one, "denied", detail="unresolved: no such file", revision=REVISION)
        return one

    def listed(self) -> str:
        one = self.new()
        about = {"actions": ["tools/list"], "resources": ["Server::sallyport"], "request_hmac": f"{KEY}:0"}
        self.decided(one, effect="permit", reasons=["listing"], **about)
        self.visible(one, shown=3, hidden=2, actions=[])
        fields = {**WHO, "decision_id": one, "method": "tools/list", "effect": "permit", "revision": REVISION}
        self.pep.append("intent", {**fields, "reasons": ["listing"], "errors": []}).result(10)
        self.pep.append("outcome", {"decision_id": one, "outcome": "done", "detail": "3 tools shown"}).result(10)
        return one

    def asked_twice(self) -> str:
        """The PDP held another catalog, and the PEP turned to that."""
        one = self.new()
        self.visible(one, shown=0, hidden=1, errors=["ERROR_CODE_CATALOG_MISMATCH"])
        self.visible(one)
        self.decided(one, effect="permit", reasons=["owner"])
        self.intent(one)
        return one

    def never_asked(self) -> str:
        one = self.new()
        self.refused(one, "malformed")
        return one

    def no_decision(self) -> str:
        one = self.new()
        self.visible(one)
        self.refused(one, "no_decision")
        return one

    def all(self) -> list[str]:
        kinds: tuple[Callable[[], str], ...] = (
            *(self.permitted, self.denied, self.hidden, self.unfit, self.demanded, self.unresolved, self.listed),
            *(self.asked_twice, self.never_asked, self.no_decision, self.permitted),
        )
        return [kind() for kind in kinds]

    def new(self) -> str:
        return f"{next(self.numbers):032x}"

    def visible(self, one: str, shown: int = 1, hidden: int = 0, **changes: Any) -> None:
        said = {"purpose": "visibility", "shown": shown, "hidden": hidden, "actions": ["read_file"], "reasons": []}
        self._decision(one, said | changes)

    def decided(self, one: str, **changes: Any) -> None:
        said = {
            "purpose": "call",
            "actions": ["read_file"],
            "resources": [FILE],
            "reasons": [],
            "request_hmac": f"{KEY}:{one}",
        }
        self._decision(one, said | changes)

    def intent(self, one: str, *, outcome: bool = True, **changes: Any) -> None:
        said = {"method": "tools/call", "tool": "read_file", "resources": [FILE], "effect": "permit"}
        said |= {"reasons": ["owner"], "errors": [], "revision": REVISION, "request_hmac": f"{KEY}:{one}"}
        self.pep.append("intent", {**WHO, "decision_id": one, **said, **changes}).result(10)
        if outcome:
            self.pep.append("outcome", {"decision_id": one, "outcome": "done"}).result(10)

    def refused(self, one: str, reason: str, **changes: Any) -> None:
        said = {"method": "tools/call", "tool": "read_file", "effect": "deny", "detail": "", "revision": ""}
        fields = {**WHO, "decision_id": one, "reason": reason, "reasons": [], "errors": [], **said, **changes}
        self.pep.append("refusal", fields).result(10)

    def _decision(self, one: str, said: dict[str, Any]) -> None:
        envelope = {"decision_id": one, "source": "grpc", "revision": REVISION, "errors": []}
        self.pdp.append("decision", {**WHO, **envelope, **said}).result(10)


@contextmanager
def witnessed(home: Home, *, killed: Sequence[str] = (), **options: Any) -> Iterator[Pair]:
    """Two streams; those of `killed` end as SIGKILL would end them."""
    with ExitStack() as ends:
        made: dict[str, Writer] = {}
        for service in ("pep", "pdp"):
            writer = made[service] = home.open(service, **options)
            ends.callback(kill if service in killed else Writer.close, writer)
        pair = Pair(made["pep"], made["pdp"], count(1))
        pair.in_force()
        yield pair


def stream(home: Place, service: str) -> Path:
    """The newest one of a service."""
    return max(home.audit.glob(f"{service}-*"))


def lines(home: Place, service: str) -> Lines:
    return records(stream(home, service))


def rewrite(home: Place, service: str, wanted: Lines, signer: Signer | None = None) -> None:
    """Put these records in the stream's place, numbered, chained and signed anew: the verifier finds nothing."""
    head, out = FIRST, []
    for number, one in enumerate(wanted):
        fields = {name: value for name, value in one.items() if name not in {"sig", "key_id"}}
        fields |= {"seq": number, "prev": head}
        line = (signer or home.signer).sign(fields) if fields["kind"] in SIGNED else record.encode(fields)
        head = record.digest(line)
        out.append(line + b"\n")
    segment(stream(home, service)).write_bytes(b"".join(out))

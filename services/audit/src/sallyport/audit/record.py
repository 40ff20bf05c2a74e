"""One record, one line: the canonical form, the kinds, and the rules that a line must fulfil by itself.

Canonical: UTF-8, keys sorted by code point, no spaces, only strings, integers within ±(2^53-1), booleans, arrays and
objects. Every character that some reader takes for a line break or that moves a cursor is escaped, lower-case `\\uxxxx`.
There is one spelling of each record, so a line that says the same in other bytes is a forgery.
"""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, NoReturn

from sallyport.audit.errors import RecordRefused

KINDS: Final = frozenset(
    {"open", "intent", "outcome", "refusal", "decision", "policy", "summary", "gap", "checkpoint", "close"},
)
SIGNED: Final = frozenset({"open", "checkpoint", "close"})
OUTCOMES: Final = frozenset({"done", "failed", "withheld", "cancelled", "unknown"})
RESERVED: Final = frozenset({"stream", "seq", "prev", "time", "mono", "kind", "key_id", "sig"})
FIRST: Final = "0" * 64  # prev of a stream's first record
MAX_LINE: Final = 1 << 20  # bytes without the newline; the verifier reads no further
MAX_FIELDS: Final = MAX_LINE // 2  # bytes of the fields the writer takes
MAX_DEPTH: Final = 16
MAX_INTEGER: Final = (1 << 53) - 1  # RFC 7493 §2.2

# DEL, C1 with U+0085, line separators, zero-width and bidirectional controls: JSON itself leaves them raw.
_UNSEEN: Final = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_HEX: Final = re.compile(r"[0-9a-f]+")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_DIGEST, _SIGNATURE, _KEY_ID = 64, 128, 16  # hex digits
_HERE: Final = secrets.token_hex(16)  # stands where the chain's values go; unguessable, so no field can hold it

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Draft:
    """A record but for its place in the chain: its text before the values of `prev` and `seq`, between and after."""

    kind: str
    decision_id: str  # of an intent, or of an outcome that answers an intent of its own stream; else ""
    label: str  # under which it is counted if it is lost
    before: str
    between: str
    after: str

    @property
    def size(self) -> int:
        """In characters, roughly: the chain's values come on top."""
        return len(self.before) + len(self.between) + len(self.after)

    def line(self, seq: int, prev: str) -> bytes:
        """The canonical line without its newline."""
        return f'{self.before}"{prev}"{self.between}{seq}{self.after}'.encode()


def draft(kind: str, fields: Mapping[str, Any], stream: str, wall_ns: int, mono_ns: int) -> Draft:
    """Check and serialise at once, so that what a caller changes later isn't recorded; RecordRefused says why not."""
    if kind not in KINDS or kind in SIGNED:
        raise RecordRefused(f"{kind[:32]!r} is no kind that a caller may write")
    plain = _plain(fields, 0)
    if not RESERVED.isdisjoint(plain):
        raise RecordRefused(f"reserved names: {', '.join(sorted(RESERVED & plain.keys()))}")
    if problem := _rules(kind, plain):
        raise RecordRefused(problem)
    plain.update(kind=kind, mono=mono_ns, stream=stream, time=timestamp(wall_ns), prev=_HERE, seq=_HERE)
    text = _text(plain)
    if len(_utf8(text)) > MAX_FIELDS:  # in bytes, as the verifier counts: it calls an overlong line tampered
        raise RecordRefused("the record is too long: shorten or mask its fields")
    before, between, after = text.split(f'"{_HERE}"', 2)
    followed = kind == "intent" or (kind == "outcome" and "of" not in plain)
    return Draft(
        kind,
        plain["decision_id"] if followed else "",
        f"refusal:{plain['reason']}" if kind == "refusal" else kind,
        before,
        between,
        after,
    )


def encode(record: Mapping[str, Any]) -> bytes:
    """The canonical form of any allowed object; RecordRefused if it has none."""
    return _utf8(_text(_plain(record, 0)))


def decode(line: bytes) -> Record:
    """Read one line as hostile input. RecordRefused unless it is canonical and fulfils the rules of its kind."""
    if len(line) > MAX_LINE:
        raise RecordRefused("the line is too long")
    try:
        record = json.loads(line.decode(), parse_float=_refuse, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise RecordRefused("not JSON of the canonical form") from None
    if type(record) is not dict or encode(record) != line:
        raise RecordRefused("not in the canonical form")
    if problem := _envelope(record) or _rules(record["kind"], record):
        raise RecordRefused(problem)
    return record


def digest(line: bytes) -> str:
    """What the next record's `prev` holds: SHA-256, hex, of the line without its newline."""
    return sha256(line).hexdigest()


def timestamp(wall_ns: int) -> str:
    """RFC 3339, UTC, microseconds."""
    seconds, rest = divmod(wall_ns, 1_000_000_000)
    return f"{_second(seconds)}.{rest // 1000:06d}Z"


def clean(value: str, limit: int = 256) -> str:
    """A stranger's text made recordable: cut to `limit` characters, lone surrogates replaced."""
    return value[:limit].encode("utf-8", "replace").decode()


def escape(text: str) -> str:
    """Escape what JSON leaves raw but a terminal or a line reader would act on."""
    return _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


@lru_cache(maxsize=4)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _text(value: Record) -> str:
    text = _encoder(value)
    return text if text.isascii() and "\x7f" not in text else escape(text)


_encoder: Final = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise RecordRefused("a lone surrogate: clean the text first") from None


def _plain(value: Any, depth: int) -> Any:
    """A copy in plain types, which nobody else can change any more."""
    if isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        if -MAX_INTEGER <= value <= MAX_INTEGER:
            return value
        raise RecordRefused("an integer beyond 2^53-1: write it as a string")
    if depth >= MAX_DEPTH:
        raise RecordRefused("nested too deep")
    if isinstance(value, (dict, Mapping)):
        return {_key(key): item if type(item) is str else _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [item if type(item) is str else _plain(item, depth + 1) for item in value]
    raise RecordRefused(f"{type(value).__name__} has no canonical form: leave the field out, or write it as a string")


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    raise RecordRefused("a key that is no string")


def _envelope(record: Record) -> str:
    """What every record must have."""
    if type(record.get("stream")) is not str or not _one_of(record.get("kind"), KINDS):
        return "no stream, or a kind that isn't known"
    for name in ("seq", "mono"):
        if type(record.get(name)) is not int or record[name] < 0:
            return f"{name} is no natural number"
    if not _hex(record.get("prev"), _DIGEST):
        return "prev is no digest"
    if type(record.get("time")) is not str or not _TIME.fullmatch(record["time"]):
        return "time is no RFC 3339 UTC time with microseconds"
    signed = _hex(record.get("sig"), _SIGNATURE) and _hex(record.get("key_id"), _KEY_ID)
    if record["kind"] in SIGNED and not signed:
        return "not signed"
    return "signed, but of a kind that isn't" if record["kind"] not in SIGNED and "sig" in record else ""


def _rules(kind: str, record: Mapping[str, Any]) -> str:
    """What a kind must have; all else is the caller's."""
    if kind in {"intent", "outcome", "decision"} and not _filled(record.get("decision_id")):
        return f"{kind} without a decision_id"
    if kind == "outcome" and (not _one_of(record.get("outcome"), OUTCOMES) or not _points(record.get("of"))):
        return "outcome is none of " + ", ".join(sorted(OUTCOMES)) + ", or `of` names no record"
    if kind == "decision" and not _filled(record.get("source")):
        return "decision without a source"
    if kind == "refusal" and not _filled(record.get("reason")):
        return "refusal without a reason"
    if kind == "gap" and not isinstance(record.get("lost"), Mapping):
        return "gap without counts"
    return ""


def _points(of: Any) -> bool:
    """`of` may be absent; if there, it names one record of another stream."""
    return of is None or (
        isinstance(of, Mapping) and of.keys() == {"stream", "seq"} and _filled(of["stream"]) and type(of["seq"]) is int
    )


def _filled(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _hex(value: Any, digits: int) -> bool:
    return type(value) is str and len(value) == digits and _HEX.fullmatch(value) is not None


def _refuse(_: str) -> NoReturn:
    raise ValueError("no number of ours")


def _one_of(value: Any, known: frozenset[str]) -> bool:
    """A list or an object can't be looked up in a set: on an opponent's line that is no reason to break."""
    return type(value) is str and value in known

"""Requests that parsers may read differently: lists of JSON texts as arguments, and what else is known to divide them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from tests.support.attacks.documents import documents
from tests.support.messages import META

TOOL: Final = "anything"
_META: Final = json.dumps(META).encode()
VALUES: Final = (
    *(b"1.0", b"-0", b"-0.0", b"0.1", b"1e2", b"1E+2", b"100e-2", b"5e-324", b"2.2250738585072014e-308", b"1e21"),
    *(b"9007199254740991", b"-9007199254740991", b"1.7976931348623157e308", b"4.35", b"0.30000000000000004"),
    *(b"9007199254740993", b"1e400", b"123456789012345678901234567890", b"NaN", b"-Infinity", b"0x10", b"01"),
    *(rb'"\u0000"', rb'"\u2028\u2029"', rb'"\ud83d\ude00"', rb'"\ud800"', rb'"\u007f\/\b\f"', rb'"<&>"', b'"\xc2\x85"'),
    '{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\U0001f600":5,"\x80":6,"\u00f6":7}'.replace("\r", "\\r").encode(),
    *(b'{"__proto__":{"a":1}}', b'{"constructor":1,"toString":2}', b'{"":1}', b'{"a":1,"a":2}', rb'{"a":1,"\u0061":2}'),
    *(b'{"A":1,"a":2}', '{"\u017f":1,"s":2,"\u212a":3,"k":4}'.encode(), '{"\u00e9":1,"e\u0301":2}'.encode()),
    *(b'{"2":1,"10":2,"1":3}', b'{"name":"other","method":"ping","params":{}}', b"[[[[[[[]]]]]]]"),
)
# Keys of the protocol as a folding parser would find them: LATIN SMALL LETTER LONG S, KELVIN SIGN, other case, escapes.
FOLDED: Final = (
    *(b'"Name":"other"', b'"NAME":"other"', '"argument\u017f":{"value":1}'.encode(), b'"Arguments":{"value":1}'),
    *(b'"name":"other"', rb'"\u006eame":"other"', rb'"argument\u017f":{"value":1}', b'"arguments":{"value":1}'),
)
FOLDED_OUTSIDE: Final = (
    *(b'"Method":"ping"', b'"METHOD":"ping"', b'"Params":{"name":"other"}', '"param\u017f":{"name":"other"}'.encode()),
    *(b'"method":"ping"', rb'"m\u0065thod":"ping"', b'"params":{"name":"other"}', rb'"param\u017f":{"name":"other"}'),
)


def request(arguments: bytes, *, more: bytes = b"", outside: bytes = b"") -> bytes:
    """tools/call with these bytes as its arguments; `more` stands in params, `outside` beside them."""
    inner = b'"name":"%s","arguments":%s,"_meta":%s%s' % (TOOL.encode(), arguments, _META, more and b"," + more)
    return b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{%s}%s}' % (inner, outside and b"," + outside)


def divisive(source: str) -> Iterator[bytes]:
    """Each document as one argument, and as all of them."""
    listed = [*documents("n", source).values(), *documents("y", source).values()]
    for document in (*listed, *VALUES):
        yield request(b'{"value":%s}' % document)
        yield request(document)


def folded() -> Iterator[bytes]:
    for extra in FOLDED:
        yield request(b"{}", more=extra)
    for extra in FOLDED_OUTSIDE:
        yield request(b"{}", outside=extra)

"""JSON texts that a parser must take ("y") or refuse ("n"): our own by class, and the public ones where they are.

A key that is there twice is right by RFC 8259 and wrong by RFC 7493: those texts have `duplicated` in their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Literal

from tests.support.attacks.lists import DOCUMENTS

Kind = Literal["y", "n"]
# One between two blanks.
_NUMBERS: Final = (
    "0 -0 -1 7 123 10 0.0 -0.0 0.5 1.50 3.14159 -2.25 1e0 1e2 1E2 1e+2 1E+2 1e-2 1E-2 0e1 0e+1 0E0 -1e-1 12.5e3 1.5E+1 "
    "0.1 4.35 1e15 5e-324 2.2250738585072014e-308 0.30000000000000004 9007199254740991 -9007199254740991 1e-400 -1e-999"
)
_NO_NUMBERS: Final = (
    "01 -01 00 -00 012 -012.3 1. -1. .5 -.5 . - + +1 ++1 --1 -+1 1+ 1- 1e 1E 1e+ 1e- 1.e1 .e1 e1 E 1.2.3 1e2e3 1e1.5 0e "
    "0x1 0X1F -0x1 0b1 0o7 1_000 1,000.5.1 1f 1L 1n 1d 0.1a 1a 1e1a NaN nan -NaN Infinity -Infinity +Infinity inf -inf "
    "1/2 (1) 1% $1 #1 \uff11 \u0661 1e\u0665 1\u2060 \u22121 1\x00 \u00bd \u2167"
)
_STRINGS: Final = (
    *(r'""', '"a"', '" "', r'"\""', r'"\\"', r'"\/"', '"/"', r'"\b\f\n\r\t"', r'"\u0000"', r'"\u001f"', r'"\u0022"', r'"\u005C"'),
    *(r'"\u00e9"', r'"\u00E9"', '"\u00e9"', r'"\u20ac"', '"\u20ac"', r'"\ud83d\ude00"', r'"\uD83D\uDE00"', '"\U0001f600"', '"\x7f"', '"\x80"'),
    *('"\u2028\u2029"', r'"\u2028"', '"\ufeff"', r'"\ufeff"', '"\ufdd0"', '"\U0010ffff"', r'"\udbff\udfff"', r'"\\u0041"', r'"\\\""', '"\u0300"'),
    *('"null"', '"//"', '"/* */"', "\"'\"", '"<script>"', '"[{"', '"\u202e"', '"' + "long " * 99 + '"', r'"a\u0000b"', '"\u212a\u017f"'),
)  # fmt: skip
_NO_STRINGS: Final = (
    *('"', '"a', 'a"', "a", "'a'", "`a`", '"a"b"', '"a" "b"', '"a"b', '"\\', '"\\"', '"\\a"', '"\\x41"', '"\\u"', '"\\u1"', '"\\u12"', '"\\u123"'),
    *('"\\u 123"', '"\\u123g"', '"\\U00000041"', '"\\u{41}"', '"\\u+123"', '"\\0"', '"\\1"', "\"\\'\"", '"\\v"', '"\\e"', '"\\ "', '"\\\n"', '"\\N"', '"\\B"'),
    *('"a\nb"', '"a\tb"', '"a\rb"', '"\x00"', '"\x1f"', '"\x08"', "\u201ca\u201d", '"""a"""', 'r"a"', 'b"a"', '"a" + "b"', '"a"\x00', '\\"a"', '\\u0022a"'),
)  # fmt: skip
_BODIES: Final = (
    *("[]", "[ ]", "{}", "{ }", "[[]]", "[{}]", "{}\n", " [] ", "\t[]\r\n", "null", "true", "false", "1", '"a"', "[null,true,false]", "[1 , 2]"),
    *('{"a":1}', '{ "a" : 1 }', '{"":0}', '{"a":{"a":{"a":1}}}', '{"a":[],"b":{}}', '{"A":1,"a":2}', '{"\\u0000":1}', '{"a b":1}', '{"1":1,"0":0}'),
    *('{"a":null}', '{"\\n":1}', '{"__proto__":1}', '{"toString":[]}', '{"e\u0301":1,"\u00e9":2}', "[[[[[[[[1]]]]]]]]", '[1,"1",[1],{"1":1}]', '{"a":1,\n"b":2}'),
)  # fmt: skip
_DUPLICATED: Final = (
    '{"a":1,"a":1}',
    '{"a":1,"a":2}',
    '{"a":1,"\\u0061":2}',
    '[{"a":{"b":1,"c":2,"b":3}}]',
    '{"":1,"":2}',
)
_NO_BODIES: Final = (
    *("", " ", "\n", "\x00", "[", "]", "{", "}", "[[", "[]]", "{}}", "[}", "{]", "[1", "[1,", '["a', '["a"', '{"a', '{"a"', '{"a":', '{"a":1', '{"a":1,'),
    *("[,]", "[1,]", "[,1]", "[1,,2]", "[1 2]", "[- 1]", "[1 .5]", "[1e 5]", "[1\u2028]", "[\x0c1]", "[1;2]", "[1:2]", "[1,2,]", "[...]", "[1,\x0b2]", "[1,\u00a02]", "[1]]", "[1]x", "[1] [2]", "[1],", "[-]", "[\x00]"),
    *("{,}", '{"a":1,}', '{,"a":1}', '{"a" 1}', '{"a",1}', '{"a"=1}', '{"a"=>1}', '{"a"::1}', '{"a":}', "{:1}", '{"a"}', "{a:1}", "{'a':1}", "{1:1}", "{null:1}"),
    *('{"a":1;"b":2}', '{"a":1 "b":2}', '{"a":1,,"b":2}', "{[]:1}", '{"a":1}{}', '{"a":1}x', '{"a":1}/', "{} {}", "{}[]", '{"a":1}\x00', '{"a":"b":1}', "{{}}"),
    *("nul", "nulll", "NULL", "None", "True", "FALSE", "tru", "fals", "undefined", "nil", "yes", "[nul]", "[tru,1]", "[truefalse]", "[True]", "[undefined]"),
    *("// a\n{}", "{} // a", "/* a */{}", '{"a":/*b*/1}', "# a\n[]", "[1] # a", "<a/>", "a: 1", "- 1", "a=1", "{% %}", "\u2060[]", "\ufeff{}", "()", "[(1)]", "&[]", "*a", "@"),
)  # fmt: skip
_BYTES: Final = (
    *(b'"\xff"', b'"\xfe\xff"', b'"\x80"', b'"\xc0\x80"', b'"\xc0\xaf"', b'"\xe0\x80\xaf"', b'"\xf0\x80\x80\xaf"', b'"\xed\xa0\x80"', b'"\xed\xbf\xbf"'),
    *(b'"\xf4\x90\x80\x80"', b'"\xf8\x88\x80\x80\x80"', b'"\xc3"', b'"\xe2\x82"', b'"\xf0\x9f\x98"', b"\xff[]", b"[\xe9]", b'{"\xe9":1}', b"\xef\xbb\xbf[]"),
    *("[1]".encode("utf-16"), "[1]".encode("utf-16-le"), "[1]".encode("utf-32-be"), b"\xef\xbb[]", b"[1]\xff", b"[1e1\xe5]", b"\xe2\x80\xa8[]"),
)  # fmt: skip
_DEEP: Final = (b"[" * 5000, b'{"a":' * 5000, b"[" * 999 + b"]" * 998, b'[{"":' * 2000)


def documents(kind: Kind, source: str) -> Mapping[str, bytes]:
    """By name."""
    if source == "public":
        return {path.name: path.read_bytes() for path in sorted(DOCUMENTS.glob(f"{kind}_*.json"))}
    return OWN[kind]


def _right() -> Iterator[tuple[str, bytes]]:
    yield from _named("number", [f"[{one}]" for one in _NUMBERS.split()])
    yield from _named("string", [f"[{one}]" for one in _STRINGS])
    yield from _named("body", _BODIES)
    yield from _named("duplicated", _DUPLICATED)


def _wrong() -> Iterator[tuple[str, bytes]]:
    yield from _named("number", [f"[{one}]" for one in _NO_NUMBERS.split()])
    yield from _named("string", [f"[{one}]" for one in _NO_STRINGS])
    yield from _named("body", _NO_BODIES)
    yield from _named("bytes", _BYTES)
    yield from _named("deep", _DEEP)


def _named(kind: str, texts: Sequence[str | bytes]) -> Iterator[tuple[str, bytes]]:
    for number, text in enumerate(texts):
        yield f"{kind}_{number}", text if isinstance(text, bytes) else text.encode()


OWN: Final[Mapping[Kind, Mapping[str, bytes]]] = MappingProxyType({"y": dict(_right()), "n": dict(_wrong())})

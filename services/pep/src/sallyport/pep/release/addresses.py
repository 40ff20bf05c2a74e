"""Addresses: of mail, and of hosts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from heapq import merge
from typing import Final

from sallyport.pep.release.pattern import Pattern, finds, run_start
from sallyport.pep.release.together import Found

_OCTET: Final = 255
_LONGEST_IP6: Final = 45
_MOST_COLONS: Final = 8
_GROUPS: Final = 8  # of an IPv6 address; two colons side by side stand for one at least, an IPv4 address for two
_GROUP: Final = "[0-9A-Fa-f]{1,4}"
_OF_FOUR: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_LAST: Final = rf"(?:{_OF_FOUR}(?:\.{_OF_FOUR}){{3}}|{_GROUP})"
# RFC 4291 §2.2 with a digit in it, but for how many groups stand beside "::"; `ipaddress` takes ten times as long to say the same.
_SIX: Final = re.compile(
    r"(?=[A-Fa-f:]*+[0-9])"  # bad::cafe is sooner two words
    rf"(?:(?:{_GROUP}(?::{_GROUP})*+)?(?P<gap>::)(?:(?:{_GROUP}:)*+{_LAST})?|(?:{_GROUP}:)++{_LAST})"
)
_ESCAPED: Final = r"(?i:#0{0,8}64;|#x0{0,8}40;|commat;)"  # an @ in HTML, behind its &
_SIGN: Final = rf"(?:[@\uff20\ufe6b]|%40|&{_ESCAPED})"
# RFC 5322 §3.2.3, but for / and ?, which URLs are full of
_ATEXT: Final = rf"(?:[\w.!#$'*+=^`{{|}}~\-]++|%(?!40)|&(?!{_ESCAPED}))"
_AT: Final = ("@", "\uff20", "\ufe6b", "%40", "&")
_AT_QUOTED: Final = re.compile(rf"\"{_SIGN}(?=[\w\[\-])")
_NO_ATEXT: Final = re.compile(r"[^\w.!#$&'*+=^`{|}~%\-]")
_LONGEST_QUOTE: Final = 65
# A valid one has two colons side by side, or six of them; `std::map` and 12:34:56 aren't worth a try.
_COLONS: Final = re.compile(r":(?=:[0-9A-Fa-f]{0,4}(?!\w)|(?:[0-9A-Fa-f]{1,4}:){5})")
_LABELS: Final = re.compile(r"[\w:.]++")
_NO_LABEL: Final = re.compile(r"[^\w:.]")
_DOT: Final = re.compile(r"\.(?<=\d\.)(?=\d{1,3}\.\d)")


def _email(match: re.Match[str]) -> Found | None:
    last = match["domain"].rpartition(".")[2] if match["domain"] else "literal"
    return None if last.isdecimal() else match.span()  # react@18.2.0 is a version


def _ip(match: re.Match[str]) -> Found | None:
    if match["four"]:
        return match.span() if all(int(part) <= _OCTET for part in match["four"].split(".")) else None
    start, end = match.span()
    end -= len(match[0]) - len(match[0].rstrip(".:")) if not match[0].endswith("::") else 0
    starts = [start, *(place + 1 for place in range(max(start, end - _LONGEST_IP6), end) if match.string[place] == ":")]
    for place in starts[-_MOST_COLONS - 1 :]:  # `peer:2001:db8::1` has a label in front
        if end - place <= _LONGEST_IP6 and _is_six(match.string[place:end]):
            return place, end
    return None


def _is_six(text: str) -> bool:
    told = _SIX.fullmatch(text)
    if told is None:
        return False
    beside = sum(map(bool, text.split(":"))) + ("." in text)
    return beside < _GROUPS if told["gap"] else beside == _GROUPS


def _emails(text: str) -> Iterator[int]:
    return merge(_locals(text), _quoted(text))


def _locals(text: str) -> Iterator[int]:
    """Where the run in front of each sign begins, once for all the %40 within it."""
    low = 0
    for place in finds((text, _AT)):
        start = run_start(_NO_ATEXT, text, low, place)
        if start is not None:  # in front of an & or a % it may be that very place
            yield start
        low = place


def _quoted(text: str) -> Iterator[int]:
    for sign in _AT_QUOTED.finditer(text):
        start = text.rfind('"', max(sign.start() - _LONGEST_QUOTE - 1, 0), sign.start())
        if start >= 0:
            yield start


def _ips(text: str) -> Iterator[int]:
    return merge(_fours(text), _sixes(text))


def _fours(text: str) -> Iterator[int]:
    """Before the first dot of four numbers stand up to three digits."""
    for dot in _DOT.finditer(text):
        before = text[max(dot.start() - 3, 0) : dot.start()]
        yield dot.start() - next((count for count in (3, 2) if before[-count:].isdecimal() and len(before) >= count), 1)


def _sixes(text: str) -> Iterator[int]:
    """Where each run of labels and colons begins that may hold an address."""
    low = 0
    for colons in _COLONS.finditer(text):
        run = _LABELS.match(text, colons.start()) if colons.start() >= low else None
        if run:
            yield run_start(_NO_LABEL, text, low, colons.start()) or 0
            low = run.end()


EMAIL: Final = Pattern(
    re.compile(
        rf"(?:(?<![\w.!#$&'*+=^`{{|}}~%\-]){_ATEXT}++|\"[^\"\s@][^\"\n@]{{0,64}}\")"
        rf"{_SIGN}(?:(?P<domain>[\w-]++(?:\.[\w-]++)*+)|\[[0-9A-Fa-f.:]{{2,64}}+\])"
    ),
    "masked@masked.invalid",  # still an address to whatever checks the format, and nobody's (RFC 2606 §2)
    _email,
    _emails,
)
IP: Final = Pattern(
    re.compile(r"(?<![\d.])(?P<four>\d{1,3}(?:\.\d{1,3}){3})(?!\.?\d)|(?<![\w:.])(?=[\w.]{0,64}:)[\w:.]++"),
    "[masked ip]",
    _ip,
    _ips,
)

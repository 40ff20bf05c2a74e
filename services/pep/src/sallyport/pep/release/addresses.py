"""Addresses: of mail, and of hosts."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final

from sallyport.pep.release.pattern import Found, Pattern

_OCTET: Final = 255
_LONGEST_IP6: Final = 45
_ATEXT: Final = r"(?:[\w.!#$&'*+=^`{|}~\-]++|%(?!40))"  # RFC 5322 §3.2.3, but for / and ?, which URLs are full of


def _email(match: re.Match[str]) -> Found | None:
    last = match["domain"].rpartition(".")[2] if match["domain"] else "literal"
    return None if last.isdecimal() else match.span()  # react@18.2.0 is a version


def _ip(match: re.Match[str]) -> Found | None:
    if match["four"]:
        return match.span() if all(int(part) <= _OCTET for part in match["four"].split(".")) else None
    start, end = match.span()
    end -= len(match[0]) - len(match[0].rstrip(".:")) if not match[0].endswith("::") else 0
    starts = [start, *(place + 1 for place in range(max(start, end - _LONGEST_IP6), end) if match.string[place] == ":")]
    for place in starts:  # `peer:2001:db8::1` has a label in front
        text = match.string[place:end]
        if len(text) <= _LONGEST_IP6 and text.count(":") > 1 and any(c.isdecimal() for c in text) and _is_ip(text):
            return place, end
    return None


def _is_ip(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


EMAIL: Final = Pattern(
    re.compile(
        rf"(?:(?<![\w.!#$&'*+=^`{{|}}~%\-]){_ATEXT}++|\"[^\"\s@][^\"\n@]{{0,64}}\")"
        r"(?:[@\uff20\ufe6b]|%40|&#64;)(?:(?P<domain>[\w-]++(?:\.[\w-]++)*+)|\[[0-9A-Fa-f.:]{2,64}+\])"
    ),
    "masked@masked.invalid",  # still an address to whatever checks the format, and nobody's (RFC 2606 §2)
    _email,
)
IP: Final = Pattern(
    re.compile(r"(?<![\d.])(?P<four>\d{1,3}(?:\.\d{1,3}){3})(?!\.?\d)|(?<![\w:.])(?=[\w.]{0,64}:)[\w:.]++"),
    "[masked ip]",
    _ip,
)

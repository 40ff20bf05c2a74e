"""What every proof of identity is read with: one reason to refuse, strict base64url, names that mean one thing."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import unicodedata
from typing import Final

MAX_NAME: Final = 256  # characters; the contract's limit is in bytes, checked too
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*")
# Control, format, surrogate, private, unassigned, line and paragraph separator: what a reader can't see or tell apart.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Letters and marks that show nothing (Unicode: Default_Ignorable_Code_Point) though their category is a visible one.
_BLANK: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


class Rejected(Exception):
    """Evidence that isn't believed. The text is for the record: it never holds any of the evidence (N7)."""


def base64url(text: str) -> bytes:
    """RFC 7515 §2: no padding, and only the canonical spelling, so one value has one text."""
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise Rejected("not base64url")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise Rejected("not base64url") from None
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != text:
        raise Rejected("base64url with stray bits")
    return data


def name(value: object, what: str) -> str:
    """A name of somebody or something: compared exactly, never folded or trimmed, so what can't be seen is refused."""
    if (
        not isinstance(value, str)
        or not value
        or len(value) > MAX_NAME
        or len(value.encode(errors="replace")) > MAX_NAME
    ):
        raise Rejected(f"{what} is not a string of 1 to {MAX_NAME} bytes")
    unseen = _BLANK.search(value) or any(unicodedata.category(character) in _UNSEEN for character in value)
    if value != value.strip() or unseen:
        raise Rejected(f"{what} holds control or invisible characters, or space at an end")
    return value


def address(text: str) -> str | None:
    """A textual IP address in its one spelling, IPv4-mapped as IPv4, without a zone; None if it is none."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address):
        return str(found.ipv4_mapped or ipaddress.IPv6Address(int(found)))
    return str(found)

"""Ids of users and compound identities: JSON arrays, never joined text, so that two issuers' alices are two people."""

from __future__ import annotations

import json

from sallyport.pdp.model import Principal
from sallyport.runtime import strict_json


def user(principal: Principal) -> str:
    return encode(principal.issuer, principal.user_id)


def compound(principal: Principal) -> str:
    return encode(principal.issuer, principal.user_id, principal.agent_id)


def encode(*parts: str) -> str:
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":"))


def is_identity(text: str, parts: int) -> bool:
    """Is this what `encode` makes of so many strings?"""
    try:
        value = strict_json.parse(text.encode())
    except ValueError:
        return False
    return (
        isinstance(value, list)
        and len(value) == parts
        and all(isinstance(part, str) for part in value)
        and encode(*(str(part) for part in value)) == text
    )

"""Who may ask: a program that knows the token. No browser, whatever it was told about our name (DNS rebinding)."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final

from aiohttp import web

PATH: Final = "/mcp"


class Refused(Exception):
    """Answered with this status, and the request isn't looked at further."""

    def __init__(self, status: int, text: str, **headers: str) -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, text, headers


@dataclass(frozen=True, slots=True)
class Door:
    port: int
    secret: bytes

    def admit(self, request: web.BaseRequest) -> None:
        """Raises Refused."""
        names = {f"{host}:{self.port}" for host in ("127.0.0.1", "localhost", "[::1]")}
        if one(request, "Host").lower() not in names:
            raise Refused(403, "this is known by its loopback address only")
        if "Origin" in request.headers:
            raise Refused(403, "no web page may ask here")
        given = one(request, "Authorization").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self.secret):
            raise Refused(401, "the token is missing or wrong", **{"WWW-Authenticate": "Bearer"})
        if request.raw_path != PATH:
            raise Refused(404, "no such path")


def one(request: web.BaseRequest, name: str) -> str:
    """A header's value, or "". Raises Refused where it is repeated."""
    values = request.headers.getall(name, [])
    if len(values) > 1:
        raise Refused(400, f"{name} is repeated")
    return values[0] if values else ""

"""A tool call on the wire, to one address of the gate, as an orchestrator makes it or as one that must not be heard."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plan import MCP, plan

_VERSION = "2026-07-28"
_META = {
    "io.modelcontextprotocol/protocolVersion": _VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "helm test", "version": "1"},
}
_TIMEOUT = 10.0
_DENIED, _UNAVAILABLE = -32010, -32603
_SERVER_ERROR = 500
IDENTITY, TOKEN = Path("/identity"), Path("/token")
Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Said:
    status: int
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        try:
            parsed = json.loads(self.body)  # noqa: TID251 — only the standard library is here
        except ValueError:
            return {}
        return parsed if isinstance(parsed, dict) else {}

    @property
    def permitted(self) -> bool:
        result = self.document.get("result")
        return isinstance(result, dict) and result.get("isError") is not True and "error" not in self.document

    @property
    def denied(self) -> bool:
        return self._code == _DENIED

    @property
    def undecided(self) -> bool:
        return self._code == _UNAVAILABLE or self.status >= _SERVER_ERROR

    @property
    def _code(self) -> object:
        error = self.document.get("error")
        return error.get("code") if isinstance(error, dict) else None

    def __str__(self) -> str:
        return f"HTTP {self.status} {self.body[:300].decode(errors='replace')}".strip()


def trust(*, identified: bool = True) -> ssl.SSLContext:
    """With the orchestrator's certificate, or with none."""
    context = ssl.create_default_context(cafile=IDENTITY / "ca.crt")
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if identified:
        context.load_cert_chain(IDENTITY / "tls.crt", IDENTITY / "tls.key")
    return context


def credentials() -> dict[str, str]:
    """From the Secret's key `token`, or from `headers` (Name: value, one a line) where identity is forwarded."""
    if (TOKEN / "token").exists():
        return {"Authorization": f"Bearer {(TOKEN / 'token').read_text(encoding='ascii').strip()}"}
    lines = (TOKEN / "headers").read_text(encoding="ascii").splitlines()
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines if line.strip())}


def post(address: str, context: ssl.SSLContext, headers: Headers, call: Mapping[str, Any]) -> Said:
    """One call. Raises OSError, or http.client.HTTPException where the answer is none."""
    body, sent = _request(headers, call)
    connection = http.client.HTTPSConnection(plan["serverName"], MCP)
    connection.sock = _connect(address, context)
    try:
        connection.request("POST", "/mcp", body, dict(sent))
        answer = connection.getresponse()
        return Said(answer.status, answer.read())
    finally:
        connection.close()


def bytes_said(address: str, context: ssl.SSLContext, headers: Headers, call: Mapping[str, Any]) -> bytes:
    """What comes back to the same call up to the connection's end: in TLS 1.3 the refusal follows the handshake."""
    body, sent = _request(headers, call)
    head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": plan["serverName"], **sent}.items())
    said = b""
    try:
        with _connect(address, context) as sock:
            sock.sendall(f"POST /mcp HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            while some := sock.recv(4096):
                said += some
    except OSError:
        return said  # an alert, a reset, or silence: what counts is what was said before
    return said


def _connect(address: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    plain = socket.create_connection((address, MCP), _TIMEOUT)
    try:
        return context.wrap_socket(plain, server_hostname=plan["serverName"])
    except BaseException:
        plain.close()
        raise


def _request(headers: Headers, call: Mapping[str, Any]) -> tuple[bytes, Headers]:
    params = {"_meta": _META, "name": call["tool"], "arguments": call["arguments"]}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    said = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": _VERSION,
        "Mcp-Method": "tools/call",
        "Mcp-Name": call["tool"],
    }
    return body, {**said, **headers}

"""Why an upstream can't be listed, as an operator reads it: what is wrong there, and what to do next."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sallyport.cli.complaint import Complaint, Exit
from sallyport.cli.plain import cut, plain
from sallyport.contract.surfaces import Upstream
from sallyport.pep.upstream.listing import MAX_BYTES, MAX_ITEMS, MAX_PAGE, TIMEOUT

_MCP: Final = (
    "see that an MCP server over streamable HTTP is what listens there, and that the URL names its path (often /mcp)"
)
_SERVER: Final = "look into that server's log; pull again when it is mended"
_CREDENTIAL: Final = re.compile(r"\bHTTP (40[13])\b")


@dataclass(frozen=True, slots=True)
class Case:
    said: str  # what the gate's own leg says, as an expression
    wrong: str
    next_step: str


def _cases() -> tuple[Case, ...]:
    return (
        Case(
            r"Errno 111\b|Connect call failed",
            "nothing listens there, the connection was refused",
            "start it, or correct its URL",
        ),
        Case(
            r"Errno (?:101|113)\b",
            "there is no way to its host from here",
            "see that its host is up, and that this machine's network leads there",
        ),
        Case(
            r"ClientConnectorDNSError|has no address",
            "its host's name leads to no address",
            "correct the host in its URL, or what resolves names on this machine",
        ),
        Case(
            r"certificate has expired",
            "its certificate has expired",
            "have its certificate renewed",
        ),
        Case(
            r"certificate is not yet valid",
            "its certificate isn't valid yet",
            "see that the clocks of both machines are right",
        ),
        Case(
            r"(?:[Mm]ismatch|not valid for)",
            "its certificate is for another name than the URL has",
            "write the name that is in its certificate into the URL, or have it certified for this one",
        ),
        Case(
            r"CERTIFICATE_VERIFY_FAILED",
            "its certificate isn't one of a CA that is believed here",
            "put its CA's certificate (PEM) into {folder}/ca.crt, once you know that it is the right one",
        ),
        Case(
            r"CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE|BAD_CERTIFICATE|UNKNOWN_CA",
            "it refused the TLS handshake; it may want a certificate of the client",
            "if so, put tls.crt and tls.key into {folder}, and say `client_certificate: true` of {name} in catalog.yaml",
        ),
        Case(
            r"\bSSL\b|ClientConnectorSSLError",
            "what listens there doesn't speak TLS as it is wanted",
            "see that the port is the one for https; http:// is for a server on this machine alone",
        ),
        Case(
            r"\bHTTP (3\d\d)\b",
            "it redirects (HTTP {1}), and the gate follows no redirect",
            "find out where it leads, and write that URL, if it is the right one",
        ),
        Case(
            r"\bHTTP (404|405)\b",
            "there is no MCP at this path (HTTP {1})",
            "correct the path in its URL; often it is /mcp",
        ),
        Case(r"\bHTTP (429)\b", "it has had too many requests (HTTP {1})", "wait a while, and pull again"),
        Case(r"\bHTTP (5\d\d)\b", "its server fails (HTTP {1})", _SERVER),
        Case(r"\bHTTP (\d\d\d)\b", "its server refuses the request (HTTP {1})", _MCP),
        Case(
            r"neither JSON nor a stream|malformed at character [01]\b",
            "it answers with something else than MCP, such as a web page",
            _MCP,
        ),
        Case(
            r"isn't JSON as we take it: (.+)",
            "its answer isn't JSON that all readers agree on: {1}",
            "have the server corrected: whole JSON in UTF-8, with no key twice in it (RFC 7493)",
        ),
        Case(
            r"(not one JSON-RPC message|an answer to another request|an answer with both or neither.*|a result .*"
            r"|no answer in place of one|an error without code or message)",
            "its answer isn't JSON-RPC as MCP has it: {1}",
            _MCP,
        ),
        Case(
            r"no revision that we do|error -32022|it doesn't speak (\S+);",
            "it speaks no revision of MCP that the gate does (2026-07-28, or 2025-11-25 and those before it)",
            "have the server updated; where catalog.yaml gives {name} an `era`, correct that or leave it out",
        ),
        Case(
            r"refuses the handshake with error (-?\d+)",
            "it refuses MCP's handshake with the error {1}",
            _SERVER,
        ),
        Case(
            r"refuses notifications/initialized|session id is none",
            "it doesn't keep to MCP's handshake",
            _SERVER,
        ),
        Case(
            r"in time|TimeoutError",
            f"it didn't answer in time; at most {TIMEOUT:g} seconds are waited",
            "see whether it hangs, and whether something on the way drops what is sent; then pull again",
        ),
        Case(
            r"over its cap|of over \d+ (bytes|brackets)|ha(s|ve) more than|more around an answer",
            f"it sends more than is taken: {MAX_ITEMS} entries of a kind, {MAX_PAGE >> 20} MiB a page, {MAX_BYTES >> 20} MiB in all",
            "have it list less, such as by several upstreams with a part each; see that its list comes to an end",
        ),
        Case(
            r"content coding",
            "it compresses its answers, though that wasn't asked for",
            "have it, or the proxy before it, send them plain",
        ),
        Case(
            r"stream ended without an answer|ServerDisconnectedError|ClientOSError|ClientPayloadError|ConnectionResetError"
            r"|IncompleteRead",
            "it hung up before its answer was there",
            "look into that server's log; where it speaks TLS, the URL begins with https://",
        ),
        Case(r"ClientResponseError|HttpProcessingError|BadStatusLine", "what listens there speaks no HTTP", _MCP),
        Case(r"(\S+ was answered with the error -?\d+)", "{1}", _SERVER),
        Case(
            r"(\S+ (?:was answered without|gives) .+)",
            "{1}",
            "have the server corrected; MCP has another form for this",
        ),
        Case(
            r"(\S+ resolves to \S+, which .+)",
            "{1}",
            "if that address is right, list the upstream's host and port with its networks under egress in pep.yaml",
        ),
        Case(
            r"has no file `credential`.*write (\S+)'s value",
            "catalog.yaml says that it is shown a credential, and there is none",
            "write the value of the header {1} into {folder}/credential, readable by you alone (chmod 600)",
        ),
        Case(
            r"is no header for a credential",
            "the header that catalog.yaml names for its credential is one that the gate sends itself",
            "write the header that the server wants, such as `credential: authorization`",
        ),
        Case(r"^(\S.*(?:/credential|/ca\.crt|/tls\.\w+).*)$", "{1}", "correct that file, and pull again"),
    )


CASES: Final = _cases()


def complaint(name: str, upstream: Upstream, said: str, files: Path | None) -> Complaint:
    """`said` are the words of the gate's leg; none of them is the upstream's."""
    folder = f"{files / name}" if files is not None else f"FOLDER/{name}"
    wrong, next_step = _told(name, upstream, said, folder)
    if files is None and folder in next_step:
        next_step += " (FOLDER is what --files names)"
    return Complaint(f"{name} at {plain(upstream.url)} can't be listed: {wrong}", next_step, Exit.UNAVAILABLE)


def _told(name: str, upstream: Upstream, said: str, folder: str) -> tuple[str, str]:
    refused = _CREDENTIAL.search(said)
    if refused is not None:
        return _unauthorized(refused[1], name, upstream, folder)
    for case in CASES:
        if found := re.search(case.said, said):
            named = {"name": name, "folder": folder}
            parts = (_detail(part) for part in ("", *found.groups()))
            return case.wrong.format(*parts, **named), case.next_step.format("", *map(_detail, found.groups()), **named)
    return _detail(said), _MCP


def _detail(text: str | None) -> str:
    return cut(plain(text or ""), 500)


def _unauthorized(status: str, name: str, upstream: Upstream, folder: str) -> tuple[str, str]:
    if upstream.credential is not None:
        header = plain(upstream.credential)
        return (
            f"it doesn't accept the credential (HTTP {status})",
            f"correct the value of {header} in {folder}/credential: the whole header's, such as `Bearer ...`",
        )
    return (
        f"it wants a credential (HTTP {status})",
        (
            f"write {name} under `upstreams` in catalog.yaml with its url and `credential: authorization` (the header's "
            f"name), and the header's value into {folder}/credential (chmod 600); then pull {name}"
        ),
    )

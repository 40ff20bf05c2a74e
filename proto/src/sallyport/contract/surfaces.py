"""What an upstream offers besides tools, the upstreams themselves, and the named sets in which clients see it all."""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property
from typing import Annotated, Final, Literal
from urllib.parse import unquote_to_bytes, urlsplit

from pydantic import AfterValidator, Field, model_validator

from sallyport.contract.parts import Description, Limits, Name, Orgs, Part, Sha256, Title, UpstreamCallLimits

MAX_URI: Final = 2048
_SEPARATOR: Final = re.compile(r"[/?#]")
_LOOPBACK: Final = frozenset({"127.0.0.1", "[::1]", "localhost"})
_HEADER: Final = re.compile(r"[a-z0-9-]{1,64}")
_VARIABLE: Final = re.compile(r"\{[A-Za-z0-9_]{1,64}\}")
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]*")  # RFC 3986 §3; no blank, no control, no raw Unicode
_HEAD: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?://(?P<authority>[^/?#]*))?")
_END: Final = re.compile(r"[?#]")
_SEGMENT: Final = re.compile(r"[/?#:]")
_PARTING: Final = "/\\?#:;%@."
# Encoded: a control character, # % / ? \, or nothing that two hexadecimal digits say.
_AMBIGUOUS: Final = re.compile(r"%(?:[01]|2[35fF]|3[fF]|5[cC]|7[fF]|(?![0-9a-fA-F]{2}))")


def _upstream_url(url: str) -> str:
    parts = urlsplit(url)
    local = parts.scheme == "http" and parts.netloc.rpartition(":")[0] in _LOOPBACK
    if not local and parts.scheme != "https":
        raise ValueError("is not https; plain http is for loopback only, with its port: http://127.0.0.1:3000/mcp")
    if not re.fullmatch(r"https?://[^\s/?#@]+(/[^\s?#]*)?", url):
        raise ValueError("must have a host, and neither user, query nor fragment")
    return url


def _header_name(name: str) -> str:
    if not _HEADER.fullmatch(name):
        raise ValueError("is no header's name as it is written here: in lower case, such as `authorization`")
    return name


Url = Annotated[str, Field(max_length=MAX_URI), AfterValidator(_upstream_url)]


Capability = Literal["elicitation", "sampling", "roots", "tasks"]


class UpstreamLimits(Part):
    """What one upstream may hold of this gate: a slow one takes no other's place."""

    connect_ms: int = Field(default=2000, ge=1, le=30_000)
    idle_ms: int = Field(default=30_000, ge=1, le=300_000)  # between two pieces of an answer
    connections: int = Field(default=64, ge=1, le=16_384)
    queue: int = Field(default=128, ge=0, le=16_384)  # calls that may wait for a connection; more are refused at once
    sessions: int = Field(default=256, ge=1, le=65_536)  # of a legacy upstream that keeps state
    session_idle_seconds: int = Field(default=300, ge=1, le=86_400)


class Upstream(Part):
    """An MCP server behind the gate. Its secrets are files, by its name: see `upstreams` in pep.yaml."""

    url: Url
    era: Literal["auto", "2026-07-28", "2025-11-25"] = "auto"
    credential: Annotated[str, AfterValidator(_header_name)] | None = None  # the header that its file's value is for
    client_certificate: bool = False
    assertion: bool = False  # tell it, signed, for whom the gate calls
    audience: Annotated[str, Field(min_length=1, max_length=MAX_URI)] | None = (
        None  # of the assertion; its url if absent
    )
    capabilities: tuple[Capability, ...] = ("elicitation", "sampling", "roots", "tasks")  # what it may ask of clients
    limits: UpstreamLimits = UpstreamLimits()


class PromptArgument(Part):
    name: Name
    title: Title = ""
    description: Description = ""
    required: bool = False


class Prompt(Part):
    """One reviewed prompt of an upstream."""

    name: Name
    title: Title = ""
    description: Description = ""
    upstream: Name
    prompt: Annotated[str, Field(min_length=1, max_length=128)] | None = None  # its name there, where it is another
    arguments: tuple[PromptArgument, ...] = Field(default=(), max_length=64)
    orgs: Orgs = "all"
    limits: UpstreamCallLimits = Field(default=Limits(), validate_default=True)
    pin: Sha256 | None = None

    @property
    def there(self) -> str:
        return self.prompt or self.name


class Resource(Part):
    """What may be read of an upstream: one URI, a template (RFC 6570, level 1), or all beneath a prefix."""

    uri: Annotated[str, Field(max_length=MAX_URI)] | None = None
    template: Annotated[str, Field(max_length=MAX_URI)] | None = None
    prefix: Annotated[str, Field(max_length=MAX_URI)] | None = None
    upstream: Name
    orgs: Orgs = "all"
    limits: UpstreamCallLimits = Field(default=Limits(), validate_default=True)

    @property
    def key(self) -> str:
        """By what it is told apart."""
        return self.uri or self.template or self.prefix or ""

    @model_validator(mode="after")
    def _check(self) -> Resource:
        given = [text for text in (self.uri, self.template, self.prefix) if text is not None]
        if len(given) != 1:
            raise ValueError("give exactly one of `uri`, `template` and `prefix`")
        plain = _VARIABLE.sub("x", given[0]) if self.template else given[0]
        if not _URI.fullmatch(plain) or "{" in plain or "}" in plain:
            raise ValueError("is no absolute URI in ASCII; a template's variables are written {name}")
        if self.prefix is not None and not self.prefix.endswith(("/", ":")):
            raise ValueError("a prefix ends with / or : — what begins with the same letters may be something else")
        return self

    def matches(self, uri: str) -> bool:
        """Whether a URI that somebody names is this one; of a template or prefix only where it is `canonical`."""
        return uri == self.uri if self.uri is not None else canonical(uri) and self.covers(uri)

    def covers(self, uri: str) -> bool:
        """Whether a canonical URI falls under the template or prefix."""
        if _users(uri) != _users(self.key):  # https://host:{port}/ isn't for https://host:x@elsewhere/
            return False
        if self.prefix is not None:
            return uri.startswith(self.prefix) and uri != self.prefix
        return _fits(self._literals, uri)

    @cached_property
    def _literals(self) -> list[str]:
        """What stands around the variables."""
        return _VARIABLE.split(self.template or "")


def _fits(literals: list[str], uri: str) -> bool:
    """Each variable between them is one or more characters but / ? #. In one pass: templates come from upstreams.

    The earliest place for each literal is good enough: what it leaves to the next variable is of the same kind.
    """
    first, *rest = literals
    at = len(first)
    if not uri.startswith(first) or not rest:
        return uri == first
    for literal in rest[:-1]:
        found = uri.find(literal, at + 1)
        if found < 0 or _SEPARATOR.search(uri, at, found):
            return False
        at = found + len(literal)
    end = len(uri) - len(rest[-1])
    return end > at and uri.endswith(rest[-1]) and not _SEPARATOR.search(uri, at, end)


def canonical(uri: str) -> bool:
    """Whether a URI means the same to every reader, however often it decodes it and whatever it strips.

    No dot segment, nothing encoded that would part it elsewhere or end it, nothing hidden, and no segment without a name.
    """
    if len(uri) > MAX_URI or not _URI.fullmatch(uri) or "\\" in uri or _AMBIGUOUS.search(uri):
        return False
    try:
        plain = unquote_to_bytes(uri).decode()
    except UnicodeDecodeError:  # overlong, or another charset: readers make different things of it
        return False
    meant = unicodedata.normalize("NFKC", plain)  # as some make ASCII of it: U+FF0E is a dot then, U+FF0F a slash
    if not (plain.isprintable() and meant.isprintable()) or any(meant.count(c) != plain.count(c) for c in _PARTING):
        return False
    path = _END.split(meant[len(_HEAD.match(meant)[0]) :], maxsplit=1)[0]  # type: ignore[index]  # every URI has one
    if "//" in path or "/;" in path:
        return False
    return not any(_is_dots(segment) for segment in _SEGMENT.split(meant))


def _is_dots(segment: str) -> bool:
    """`..` itself, with parameters that Java's servers cut off, or with blanks and dots that Windows does."""
    name = segment.partition(";")[0]
    return "." in name and not name.replace(".", "").strip()


def _users(uri: str) -> int:
    """How often its authority has the sign behind which the host stands."""
    found = _HEAD.match(uri)
    authority = (found["authority"] or "") if found else ""
    return authority.count("@") + authority.count("%40")


class Server(Part):
    """A named set: what a client sees at /mcp/NAME, and nothing else."""

    tools: tuple[Name, ...] = Field(default=(), max_length=1000)
    prompts: tuple[Name, ...] = Field(default=(), max_length=1000)
    resources: tuple[str, ...] = Field(default=(), max_length=1000)  # as they stand under `resources`

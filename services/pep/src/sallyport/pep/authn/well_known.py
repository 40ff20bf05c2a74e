"""What a client without a token is told: where to get one (RFC 9728, RFC 6750 §3)."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from sallyport.pep.model import Json
from sallyport.pep.settings import PepSettings

_WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"


def path(resource: str) -> str:
    """Where the metadata of a resource lies: the well-known part goes before the resource's path (RFC 9728 §3.1)."""
    return f"{_WELL_KNOWN}{urlsplit(resource).path.rstrip('/')}"


def url(resource: str) -> str:
    parts = urlsplit(resource)
    return f"{parts.scheme}://{parts.netloc}{path(resource)}"


def challenge(resource: str, *, error: str = "") -> str:
    """The WWW-Authenticate value; an error only where a token was presented (RFC 6750 §3.1)."""
    value = f'Bearer resource_metadata="{url(resource)}"'
    return f'{value}, error="{error}"' if error else value


def step_up(resource: str, scope: str) -> str:
    """The same for a token whose scope isn't enough; `scope` is scope tokens with single spaces between."""
    return f'Bearer error="insufficient_scope", scope="{scope}", resource_metadata="{url(resource)}"'


def resource(settings: PepSettings, server: str) -> str:
    """Who we are, at /mcp or at /mcp/SERVER."""
    return f"{settings.resource}/{server}" if server else settings.resource


def metadata(settings: PepSettings, server: str = "") -> dict[str, Json]:
    """RFC 9728 §2; public, so it holds nothing that an issuer's own metadata doesn't."""
    return {
        "resource": resource(settings, server),
        "authorization_servers": [issuer.issuer for issuer in settings.issuers],
        "bearer_methods_supported": ["header"],
        "resource_name": "Sallyport",
    }

"""Whether a running PEP is ready, and if not, why; asked on the management port."""

from __future__ import annotations

import http.client
import ssl
import time
from typing import Final, TypeGuard
from urllib.parse import urlsplit

from sallyport.runtime import strict_json

_PATIENCE_SECONDS: Final = 2.0  # a PEP that just began to listen may still wait for the PDP's first answer
_UPSTREAM_SECONDS: Final = 12.0  # and a little more than it gives its upstreams to answer for the first time
_POLL_SECONDS: Final = 0.05
_MAX_BODY: Final = 65_536


def reasons(management_url: str, ca_file: str) -> tuple[str, ...]:
    """Empty when ready; otherwise why not, after a little patience."""
    began = time.monotonic()
    while (found := _ask(management_url, ca_file)) and time.monotonic() - began < _patience(found):
        time.sleep(_POLL_SECONDS)
    return found


def _patience(found: tuple[str, ...]) -> float:
    return _UPSTREAM_SECONDS if all(each.startswith("upstreams: ") for each in found) else _PATIENCE_SECONDS


def _ask(management_url: str, ca_file: str) -> tuple[str, ...]:
    # http.client and not urllib: a proxy named in the environment must not stand between.
    url = urlsplit(management_url)
    connection = (
        http.client.HTTPSConnection(url.netloc, timeout=2, context=ssl.create_default_context(cafile=ca_file))
        if url.scheme == "https"
        else http.client.HTTPConnection(url.netloc, timeout=2)
    )
    try:
        connection.request("GET", "/ready")
        response = connection.getresponse()
        body = response.read(_MAX_BODY)
    except (OSError, http.client.HTTPException) as error:
        return (f"{management_url}/ready doesn't answer ({error})",)
    finally:
        connection.close()
    return () if response.status == http.client.OK else _explain(response.status, body)


def _explain(status: int, body: bytes) -> tuple[str, ...]:
    try:
        document = strict_json.parse(body)
    except strict_json.JsonRefused:
        document = None
    match document:
        case list() if listed := [f"{entry['name']}: {entry['detail']}" for entry in document if _is_reason(entry)]:
            return tuple(listed)
        case _:
            return (f"readiness answered {status}: {body[:200].decode('utf-8', 'replace')}",)


def _is_reason(entry: object) -> TypeGuard[dict[str, object]]:
    return isinstance(entry, dict) and {"name", "detail"} <= entry.keys() and entry.get("ok") is not True

"""The routes of the MCP listener: /mcp, what is published, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.convertors import StringConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from sallyport.pep.model import Json, Peer, Request
from sallyport.pep.pipeline import Pipeline
from sallyport.pep.refusal import Reason
from sallyport.pep.transport import Endpoint

# The only routes that answer without authentication; a test walks the app and knows no other (N3).
WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
JWKS: Final = "/.well-known/jwks.json"
PUBLIC_ROUTES: Final = frozenset({WELL_KNOWN, f"{WELL_KNOWN}/mcp", f"{WELL_KNOWN}/mcp/{{server:set}}", JWKS})
MCP: Final = "/mcp"
MCP_SET: Final = "/mcp/{server:set}"
_HTTP_REASONS: Final = {404: Reason.NOT_FOUND, 405: Reason.METHOD_NOT_ALLOWED}


class _SetName(StringConvertor):
    """As the catalog has them: no slash, no dot, one spelling."""

    regex = "[a-z0-9][a-z0-9-]{0,62}"


register_url_convertor("set", _SetName())


def create_app(
    pipeline: Pipeline, metadata: Callable[[str], dict[str, Json]], jwks: dict[str, Json], *, body_bytes: int
) -> FastAPI:
    """The MCP listener's app. No generated documentation: every route is in PUBLIC_ROUTES or is /mcp."""
    app = FastAPI(title="Sallyport", openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    endpoint = Endpoint(pipeline.handle, pipeline.turn_away, body_bytes=body_bytes)
    app.router.routes += [Route(MCP, endpoint=endpoint), Route(MCP_SET, endpoint=endpoint)]

    async def resource_metadata(request: HttpRequest) -> JSONResponse:
        """RFC 9728. Of any name that a set could have: which there are is nobody's business without a token."""
        server = str(request.path_params.get("server", ""))
        return JSONResponse(metadata(server), headers={"cache-control": "no-store"})

    async def own_keys() -> JSONResponse:
        """RFC 7517: by which an upstream checks whose word our assertion is. Public keys, and nothing else."""
        return JSONResponse(jwks, headers={"cache-control": "max-age=300"})

    async def turned_away(request: HttpRequest, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        reason = _HTTP_REASONS.get(status, Reason.NOT_FOUND)
        answer = await pipeline.turn_away(reason, "no such route or method", _bare(request))
        allowed = (error.headers or {}) if isinstance(error, HTTPException) else {}
        return Response(answer.body, answer.status, {"content-type": "application/json", **allowed})

    for path in sorted(PUBLIC_ROUTES):
        app.add_api_route(path, own_keys if path == JWKS else resource_metadata, methods=["GET"])
    for status in _HTTP_REASONS:
        app.add_exception_handler(status, turned_away)
    return app


def _bare(request: HttpRequest) -> Request:
    return Request(Peer(request.client.host if request.client else ""), request.method, (), b"")

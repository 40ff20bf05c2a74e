"""Every route that there is, from the app object itself; what isn't published asks for a token."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi import FastAPI
from starlette.routing import Route

from sallyport.pep import management, routes
from sallyport.pep.telemetry import Metrics
from sallyport.pep.upstream.assertion import published
from tests.support.gate import Gate, gate

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
MANAGEMENT = {"/live", "/ready", "/metrics"}


@pytest.fixture(scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gate]:
    async with gate(tmp_path_factory.mktemp("routes") / "laptop") as made:
        yield made


@pytest.fixture
def app(opened: Gate) -> FastAPI:
    metadata = opened.rooms.authenticators.metadata
    return routes.create_app(opened.pipeline, metadata, published(None), body_bytes=1024)


def client(app: FastAPI) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=app, client=("127.0.0.1", 1))
    return httpx2.AsyncClient(transport=transport, base_url="https://gate.test")


def test_n3_the_app_has_no_route_but_the_published_ones_and_mcp(app: FastAPI) -> None:
    assert all(isinstance(route, Route) for route in app.routes), "a mount or a websocket hides routes"
    assert {route.path for route in app.routes if isinstance(route, Route)} == {
        routes.MCP,
        routes.MCP_SET,
        *routes.PUBLIC_ROUTES,
    }


def test_n3_the_management_app_has_its_three_routes() -> None:
    found = management.build(dict, dict, Metrics("test")).routes
    assert {route.path for route in found if isinstance(route, Route)} == MANAGEMENT


@pytest.mark.parametrize("method", METHODS)
async def test_n3_no_spelling_of_mcp_answers_without_a_token(method: str, app: FastAPI) -> None:
    spellings: tuple[str, ...] = (
        "/mcp",
        "/mcp/",
        "/MCP",
        "//mcp",
        "/mcp/.",
        "/%6dcp",
        "/mcp?token=x",
        "/mcp/x",
        "/./mcp",
    )
    spellings += ("/mcp/x/", "/mcp/X", "/mcp//x", "/mcp/x/y", "/mcp/x%2fy", "/mcp/..", "/mcp/" + "x" * 64)
    async with client(app) as http:
        for path in spellings:
            answer = await http.request(method, path)
            assert answer.status_code in {401, 404, 405}, (method, path)
            assert not answer.is_redirect


async def test_published_routes_answer_and_take_get_alone(app: FastAPI) -> None:
    async with client(app) as http:
        for path in (route.replace("{server:set}", "crm") for route in routes.PUBLIC_ROUTES):
            shown = (await http.get(path)).json()
            assert shown["keys"] == [] if path == routes.JWKS else shown["resource"].startswith("https://")
            assert (await http.post(path)).status_code == 405
            assert (await http.get(f"{path}/")).status_code == 404


async def test_get_and_delete_of_mcp_are_405(app: FastAPI) -> None:
    async with client(app) as http:
        for method, path in itertools.product(("GET", "DELETE"), ("/mcp", "/mcp/files")):
            answer = await http.request(method, path)
            assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_what_is_no_name_of_a_set_is_no_route(app: FastAPI) -> None:
    async with client(app) as http:
        for name in ("X", "-x", "x_y", "x.y", "x" * 64, "x/y", "x/"):
            assert (await http.post(f"/mcp/{name}")).status_code == 404, name

"""Each client lists, calls, understands a denial, and goes on in the same session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.clients.clients import Ask, Drive, Gate, inspector, node, python
from tests.support import guarded, laptop
from tests.support.everything_server import serving
from tests.support.laptop import Up

CLIENTS: Final[dict[str, Drive]] = {
    "mcp 2 by itself": python("mcp2", "auto"),
    "mcp 2 legacy": python("mcp2", "legacy"),
    "mcp 1": python("mcp1"),
    "fastmcp": python("fastmcp"),
    "langchain": python("langchain"),
    "openai-agents": python("openai_agents"),
    "pydantic-ai": python("pydantic_ai"),
    "TypeScript 2 by itself": node("ts_client", "legacy"),
    "TypeScript 2 choosing": node("ts_client", "auto"),
    "TypeScript 1": node("ts_sdk1"),
    "Inspector legacy": inspector("legacy"),
    "Inspector modern": inspector("modern"),
}
ERAS: Final = {
    "mcp 2 by itself": "2026-07-28",
    "mcp 2 legacy": "2025-11-25",
    "mcp 1": "2025-11-25",
    "TypeScript 2 by itself": "2025-11-25",
    "TypeScript 2 choosing": "2026-07-28",
    "TypeScript 1": "2025-11-25",
}
HOSTED: Final[tuple[Ask, ...]] = (
    ("list_files", {"path": "alice"}),
    ("read_file", {"path": "bob/notes.txt"}),
    ("read_file", {"path": "alice/notes.txt"}),
)
BEHIND: Final[tuple[Ask, ...]] = (
    ("test_simple_text", {}),
    ("test_x_mcp_header", {"region": "south"}),
    ("test_x_mcp_header", {"region": "north"}),
)


@pytest.fixture(scope="session")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A gate with a server behind it."""
    directory = tmp_path_factory.mktemp("behind") / "laptop"
    with serving() as url:
        laptop.patient(guarded.make(directory, url))
        with laptop.up(directory, "--no-restart") as running:
            running.ready()
            yield running


def _gate(running: Up, token: str) -> Gate:
    return Gate(running.endpoint.mcp_url, running.endpoint.ca_file, token)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_uses_hosted_tools_and_goes_on_after_a_denial(client: str, sallyport: Up, tmp_path: Path) -> None:
    seen = CLIENTS[client](_gate(sallyport, laptop.token(sallyport.directory)), HOSTED, tmp_path)
    assert {"list_files", "read_file"} <= set(seen.tools)
    listed, denied, read = seen.answers
    assert "notes.txt" in str(listed)
    assert "denied by policy" in denied["error"]
    assert denied.get("code", -32010) == -32010
    assert read == (sallyport.directory / "files/alice/notes.txt").read_text()
    assert seen.era == ERAS.get(client, "")


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_uses_a_guarded_server_and_goes_on_after_a_denial(client: str, behind: Up, tmp_path: Path) -> None:
    token = laptop.token(behind.directory, guarded.USER, org="acme", roles=(guarded.role(),))
    seen = CLIENTS[client](_gate(behind, token), BEHIND, tmp_path)
    assert "test_simple_text" in seen.tools
    said, denied, received = seen.answers
    assert said == "This is a simple text response for testing."
    assert "denied by policy" in denied["error"]
    assert denied.get("code", -32010) == -32010
    assert "north" in received

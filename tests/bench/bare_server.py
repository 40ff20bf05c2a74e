"""The peer: the same tool on the SDK's own server, without TLS, tokens, policies or a record."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from mcp.server.mcpserver import MCPServer


def main() -> None:
    port, root = int(sys.argv[1]), Path(sys.argv[2])
    server = MCPServer("bare", log_level="ERROR")

    @server.tool()
    async def read_file(path: str) -> str:
        return (root / path).read_text()

    app = server.streamable_http_app(json_response=True, stateless_http=True)
    uvicorn.run(app, port=port, loop="uvloop", http="httptools", log_level="error")


if __name__ == "__main__":
    main()

"""An MCP server that speaks stdio, confined, as one that speaks streamable HTTP on loopback. Told in docs/stdio-bridge.md."""

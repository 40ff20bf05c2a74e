"""An MCP server with everything that the conformance suite asks for, in both eras: the upstream that the gate guards.

The names, texts and schemas are the suite's. It has no authentication and listens on loopback alone.
"""

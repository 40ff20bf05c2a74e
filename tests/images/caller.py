"""Runs inside a container, with the standard library alone: a call over TLS, told and answered as JSON."""

from __future__ import annotations

import http.client
import json
import ssl
import sys

given = json.load(sys.stdin)
meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
params = {"name": given["tool"], "arguments": given["arguments"], "_meta": meta}
headers = {
    "authorization": f"Bearer {given['token']}",
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": given["tool"],
}
trusted = ssl.create_default_context(cafile="/gate/pki/ca/ca.crt")
connection = http.client.HTTPSConnection("localhost", 8443, context=trusted, timeout=60)
message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
connection.request("POST", "/mcp", json.dumps(message), headers)
sys.stdout.write(connection.getresponse().read().decode())

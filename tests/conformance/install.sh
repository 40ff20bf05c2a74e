#!/usr/bin/env bash
# Installs the MCP conformance suite and a Node that runs it, once, into $SALLYPORT_TOOLS; prints both paths.
set -euo pipefail
. "$(dirname "$0")/../support/programs.sh"
version=0.2.0-alpha.12
node_program
suite=$(made "conformance-$version" npm_into --ignore-scripts "@modelcontextprotocol/conformance@$version")
echo "$suite/node_modules/@modelcontextprotocol/conformance/dist/index.js"

#!/usr/bin/env bash
# Installs MCP clients, once, each into a folder of its own in $SALLYPORT_TOOLS: install.sh [CLIENT…], or all.
# Prints a line for each: the program that runs its driver, and the folder.
set -euo pipefail
. "$(dirname "$0")/../support/programs.sh"
declare -A python=(
  [mcp1]="mcp==1.30.0"
  [fastmcp]="fastmcp==4.1.2"
  [langchain]="langchain-mcp-adapters==0.3.2 mcp==1.30.0"
  [openai_agents]="openai-agents==0.24.0 mcp==2.3.0"
  [pydantic_ai]="pydantic-ai-slim[mcp]==2.68.0 fastmcp-slim==4.2.0"
)
declare -A node=(
  [ts_client]="@modelcontextprotocol/client@2.4.0"
  [ts_sdk1]="@modelcontextprotocol/sdk@1.32.2"
  [inspector]="@modelcontextprotocol/inspector@2.12.0"
)
[ $# -gt 0 ] || set -- "${!python[@]}" "${!node[@]}"
for client; do
  packages=${python[$client]:-${node[$client]:-}}
  # The folder is named by what is in it: another version is another folder.
  name="client-$client-$(sha256sum <<<"$packages $published" | head -c 12)"
  # shellcheck disable=SC2086 # one word a package
  if [ -n "${python[$client]:-}" ]; then
    folder=$(made "$name" pip_into $packages)
    echo "$folder/bin/python $folder"
  elif [ -n "$packages" ]; then
    program=$(node_program)
    folder=$(made "$name" npm_into --ignore-scripts $packages)
    echo "$program $folder"
  else
    echo "install.sh: $client is none of: ${!python[*]} ${!node[*]}" >&2
    exit 2
  fi
done

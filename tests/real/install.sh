#!/usr/bin/env bash
# Installs real MCP servers, once, each version into a folder of its own in $SALLYPORT_TOOLS: install.sh [SERVER…], or all.
# Prints a line for each: the command that runs it, a word behind a tab each.
set -euo pipefail
. "$(dirname "$0")/../support/programs.sh"
js=2026.8.31 git=2026.10.19 github=1.9.0
says() { local IFS=$'\t'; echo "$*"; }
npm_server() { # name
  local program folder
  program=$(node_program)
  folder=$(made "server-$1-$js" npm_into --ignore-scripts "@modelcontextprotocol/server-$1@$js")
  says "$program" "$folder/node_modules/@modelcontextprotocol/server-$1/dist/index.js"
}
go_into() { # module package version, folder
  # In a module of its own: the module proxy lists the versions of some modules to nobody.
  cd "$4" && GOFLAGS=-mod=mod go mod init tool && go mod edit -require "$1@v$3" &&
    CGO_ENABLED=0 GOFLAGS='-buildvcs=false -trimpath -mod=mod' go build -ldflags='-s -w' -o server "$1/$2"
}
[ $# -gt 0 ] || set -- filesystem everything git github
for server; do
  case $server in
    filesystem | everything) npm_server "$server" ;;
    git) says "$(made "server-git-$git" pip_into "mcp-server-git==$git")/bin/mcp-server-git" ;;
    github) says "$(made "server-github-$github" go_into github.com/github/github-mcp-server cmd/github-mcp-server "$github")/server" ;;
    *) echo "install.sh: $server is none of: filesystem everything git github" >&2 && exit 2 ;;
  esac
done

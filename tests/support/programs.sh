# Sourced: programs of npm and PyPI in folders of $SALLYPORT_TOOLS, each version in its own, made once and whole.
shopt -s inherit_errexit # or what fails within $(…) would count as made
tools=${SALLYPORT_TOOLS:-$HOME/.cache/sallyport-tools}
published=2026-11-21 # what packages want of others is chosen among those that were published by then
node_version=22.23.3 # the conformance suite and the Inspector need 22.19 or newer
support=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

made() { # folder, command…: the command makes the folder it gets as last argument, which counts once it is whole
  local folder=$tools/$1 making
  if [ ! -d "$folder" ]; then
    mkdir -p "$tools"
    making=$(mktemp -d "$tools/.making.XXXXXX")
    "${@:2}" "$making" >&2
    mv -T "$making" "$folder" 2>/dev/null || rm -rf "$making" # another process was faster
  fi
  echo "$folder"
}
npm_into() { # npm's options and package@version…, folder
  echo '{"private": true}' >"${*: -1}/package.json" # or npm would look for one further up
  npm install --prefix "${*: -1}" --no-package-lock --save-exact --before="$published" \
    --no-audit --no-fund --loglevel=error "${@:1:$#-1}"
}
pip_into() { # package==version…, folder
  "$support/../../.venv/bin/uv" venv --quiet --relocatable "${*: -1}"
  "$support/../../.venv/bin/uv" pip install --quiet --python "${*: -1}/bin/python" --exclude-newer "${published}T00:00:00Z" \
    --only-binary :all: "${@:1:$#-1}"
}
# Only Node's own package runs a script: it fetches the binary for this machine.
node_program() { echo "$(made "node-$node_version" npm_into "node@$node_version")/node_modules/node/bin/node"; }

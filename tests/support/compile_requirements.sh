#!/usr/bin/env bash
# Pins every dependency with hashes and without any index's address: one set for the workshop, and one for each image
# that is a subset of it, so that what was tested is what ships.
set -euo pipefail
cd "$(dirname "$0")/../.."
compile() { # SOURCE OUT ARGS...
  local source=$1 out=$2
  shift 2
  echo "pinning $source -> $out"
  .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
    --no-annotate --no-emit-package=sallyport-{contract,runtime,audit,pdp,pep,cli} "$@" --output-file "$out" "$source"
}
compile pyproject.toml requirements.txt --group dev
for service in pdp pep audit cli; do
  compile "services/$service/pyproject.toml" "services/$service/requirements.txt" --constraint requirements.txt
done
compile deploy/images/requirements.in deploy/images/requirements.txt --constraint requirements.txt
compile tests/cluster/client/requirements.in tests/cluster/client/requirements.txt --constraint requirements.txt

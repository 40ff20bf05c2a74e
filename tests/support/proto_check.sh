#!/usr/bin/env bash
# Fails if the committed contract differs from a fresh generation.
set -euo pipefail
cd "$(dirname "$0")/../.."
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
.venv/bin/python -m grpc_tools.protoc -I proto --python_out="$fresh" --grpc_python_out="$fresh" \
  --plugin=protoc-gen-mypy=.venv/bin/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=.venv/bin/protoc-gen-mypy_grpc \
  --mypy_out=quiet:"$fresh" --mypy_grpc_out=quiet:"$fresh" proto/sallyport/authz/v1/authz.proto
diff -r --exclude=__pycache__ "$fresh/sallyport/authz" proto/src/sallyport/authz >&2 ||
  { echo "the committed contract isn't what proto/ generates: run make proto and commit" >&2; exit 1; }

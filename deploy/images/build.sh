#!/usr/bin/env bash
# Builds the images named on the command line, or both, and prints their names as SALLYPORT_PEP_IMAGE=... for a shell.
# Of the environment: DOCKER, IMAGE_PREFIX, IMAGE_TAG, BUILD_BASE, RUN_BASE, VERSION, REVISION, CREATED, SOURCE.
set -euo pipefail
cd "$(dirname "$0")/../.."
docker=${DOCKER:-docker}
prefix=${IMAGE_PREFIX:-sallyport} # the chart's names: sallyport/pep and sallyport/pdp
context=(Dockerfile.pep Dockerfile.pdp .dockerignore LICENSE proto services deploy/images)

"$docker" version >/dev/null || { echo "no container engine answers: start one, or set DOCKER_HOST" >&2; exit 1; }

version=${VERSION:-$(sed -n 's/^version = "\(.*\)"$/\1/p' services/pep/pyproject.toml)}
revision=unknown created=1980-01-01T00:00:00Z tag=$version
if git rev-parse --verify --quiet HEAD >/dev/null; then
  # An image of a changed tree must not pass for the commit's. What git ignores is a change, too, but for what installing
  # and running leave behind, which .dockerignore keeps out.
  changes=$(git status --porcelain --ignored --untracked-files=all -- "${context[@]}")
  changes=$(sed -E '/^!! .*(__pycache__|\.egg-info)\//d' <<<"$changes")
  modified=${changes:+-modified}
  revision=$(git rev-parse HEAD)$modified
  created=$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ)
  tag=$(git rev-parse --short=12 HEAD)$modified
fi
labels=(--build-arg "VERSION=$version" --build-arg "REVISION=${REVISION:-$revision}" --build-arg "CREATED=${CREATED:-$created}")
given=()
for name in BUILD_BASE RUN_BASE SOURCE; do
  if [ -n "${!name:-}" ]; then given+=(--build-arg "$name=${!name}"); fi
done

[ $# -gt 0 ] || set -- pep pdp
for service in "$@"; do
  image=$prefix/$service:${IMAGE_TAG:-$tag}
  DOCKER_BUILDKIT=1 "$docker" build --file "Dockerfile.$service" --tag "$image" "${labels[@]}" "${given[@]}" . >&2
  echo "SALLYPORT_${service^^}_IMAGE=$image"
done

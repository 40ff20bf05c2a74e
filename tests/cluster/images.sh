#!/usr/bin/env bash
# Builds the images that only the tests need, and makes all four known to the cluster's nodes.
# LOAD_IMAGE is the command that does the latter, such as `kind load docker-image`; IMAGE_TAG is `make images`' tag.
set -euo pipefail
cd "$(dirname "$0")/../.."
: "${IMAGE_TAG:?give the tag that make images used}" "${LOAD_IMAGE:?name the command that loads an image, such as: kind load docker-image}"
docker=${DOCKER:-docker}
prefix=${IMAGE_PREFIX:-sallyport}
for name in client postgres; do
  DOCKER_BUILDKIT=1 "$docker" build --quiet --file "tests/cluster/$name/Dockerfile" --tag "$prefix/$name:$IMAGE_TAG" \
    ${BUILD_BASE:+--build-arg "BUILD_BASE=$BUILD_BASE"} ${RUN_BASE:+--build-arg "RUN_BASE=$RUN_BASE"} . >/dev/null
done
for name in pep pdp client postgres; do
  $LOAD_IMAGE "$prefix/$name:$IMAGE_TAG" >/dev/null
  echo "loaded $prefix/$name:$IMAGE_TAG"
done

#!/bin/sh
# In the build stage: install.sh SERVICE puts our own distributions into /app, with the bill of materials beside them.
set -eu
service=$1
# A wheel takes the times of its files: the same source must give the same wheel.
export SOURCE_DATE_EPOCH
own="sallyport-contract sallyport-runtime sallyport-audit sallyport-$service"
python3.13 -m pip --python tools/bin/python3.13 wheel -q --no-index --no-deps --no-build-isolation \
  --wheel-dir wheels ./proto ./services/runtime ./services/audit "./services/$service"
# shellcheck disable=SC2086 # four names, not one
python3.13 -m pip --python /app/bin/python3.13 install -q --no-compile --no-index --no-deps --find-links wheels $own
python3.13 -m pip --python /app/bin/python3.13 check
# Python's packages; Debian's are listed in /var/lib/dpkg/status.d of the base. It has neither a time nor a serial number,
# and is refused here if CycloneDX's own schema doesn't accept it.
mkdir -p /app/share
tools/bin/cyclonedx-py environment --output-reproducible --output-format JSON --spec-version 1.6 --validate \
  --mc-type application --pyproject "services/$service/pyproject.toml" --output-file /app/share/sbom.cdx.json /app
cp LICENSE /app/share/LICENSE

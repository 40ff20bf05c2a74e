# The PEP's image: its own code, its pinned packages, and a Python without a shell. `docker build -f Dockerfile.pep .`
# A release passes both bases by digest, and what the labels say; deploy/images/build.sh does so from the commit.
ARG BUILD_BASE=python:3.13-slim-trixie
ARG RUN_BASE=gcr.io/distroless/python3-debian13:nonroot

FROM ${BUILD_BASE} AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends binutils
COPY deploy/images/requirements.txt tools.txt
RUN python3.13 -m venv --without-pip tools && python3.13 -m venv --without-pip /app \
 && python3.13 -m pip --python tools/bin/python3.13 install -q --no-compile --no-deps --require-hashes --only-binary :all: -r tools.txt
COPY services/pep/requirements.txt requirements.txt
RUN python3.13 -m pip --python /app/bin/python3.13 install -q --no-compile --no-deps --require-hashes --only-binary :all: -r requirements.txt
COPY LICENSE LICENSE
COPY proto proto
COPY services/runtime services/runtime
COPY services/audit services/audit
COPY services/pep services/pep
COPY deploy/images/install.sh deploy/images/prune.sh ./
# 1980 unless told otherwise: with times that never change, packages that didn't change stay the same layer.
ARG SOURCE_DATE_EPOCH=315532800
RUN sh install.sh pep && sh prune.sh

# Only the final Python can compile for itself, and its own library comes without bytecode.
FROM ${RUN_BASE} AS compiled
USER 0:0
COPY --from=build /layers/packages/ /
COPY --from=build /layers/own/ /
COPY deploy/images/precompile.py /precompile.py
ARG SOURCE_DATE_EPOCH=315532800
RUN ["/app/bin/python3.13", "-I", "-B", "/precompile.py", "/compiled", "sallyport.pep", "sqlalchemy.dialects.sqlite.aiosqlite", "sqlalchemy.dialects.postgresql.asyncpg"]

# Each COPY ends at "/", as a folder named for its end would get the time of the build. What is ours changes with each
# commit and the packages don't, so a node that has them pulls little.
FROM ${RUN_BASE}
COPY --from=build /layers/packages/ /
COPY --from=compiled /compiled/packages/ /
COPY --from=build /layers/own/ /
COPY --from=compiled /compiled/own/ /
USER 65532:65532
WORKDIR /
EXPOSE 8443 8444
ENTRYPOINT ["/app/bin/python3.13", "-I", "-m", "sallyport.pep"]
CMD ["--config", "/etc/sallyport/settings/pep.yaml"]
ARG VERSION=unreleased
ARG REVISION=unknown
ARG CREATED=1980-01-01T00:00:00Z
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="sallyport-pep" \
      org.opencontainers.image.description="Sallyport's policy enforcement point: an MCP server that no message gets around." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}"

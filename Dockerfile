# The image of the operator (`hopper operator run`) and of the gateway (`hopper gateway run`).
# BASE_IMAGE needs python3 (3.11 or newer) with its venv module. If the official image cannot be pulled,
# `make kind-image` builds one from Debian packages.
ARG BASE_IMAGE=docker.io/library/python:3.13-slim
# Digest of BASE_IMAGE in the form sha256:…, so that each build uses the same base. Empty: whatever the tag points to.
ARG BASE_DIGEST=

FROM ${BASE_IMAGE}${BASE_DIGEST:+@}${BASE_DIGEST} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY operator/requirements.txt operator/requirements-build.txt operator/
# Only locked dependencies are installed, and build tools stay out of /opt/hopper.
RUN python3 -m venv /build \
    && python3 -m venv --without-pip /opt/hopper \
    && /build/bin/python -m pip install --quiet --require-hashes --requirement operator/requirements-build.txt \
    && /build/bin/python -m pip --python /opt/hopper/bin/python install --quiet --no-compile \
       --require-hashes --only-binary :all: --requirement operator/requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY operator/hopper operator/hopper
RUN /build/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /build/bin/python -m pip --python /opt/hopper/bin/python install --quiet --no-compile --no-deps --no-index /wheels/*.whl \
    # Bytecode makes the start faster. Hopper uses few of the thousand generated classes of the API client, so they are
    # not compiled.
    && /opt/hopper/bin/python -m compileall -q -x 'kubernetes/(aio/)?client/(api|models)/' /opt/hopper/lib

FROM ${BASE_IMAGE}${BASE_DIGEST:+@}${BASE_DIGEST}
COPY --from=build /opt/hopper /opt/hopper
# The image runs as any user id and writes to /tmp only. USER is set because an arbitrary user id has no entry in
# /etc/passwd.
ENV PATH=/opt/hopper/bin:$PATH HOME=/tmp USER=hopper PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /tmp
EXPOSE 8080
ENTRYPOINT ["hopper"]
CMD ["operator", "run"]
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG BASE_IMAGE
ARG BASE_DIGEST
LABEL org.opencontainers.image.title="hopper" \
      org.opencontainers.image.description="Runs hierarchies of long-lived instances on Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}" \
      org.opencontainers.image.base.digest="${BASE_DIGEST}"

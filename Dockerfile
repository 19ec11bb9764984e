# One image for the operator (`hopper operator run`) and the gateway (`hopper gateway run`).
# Where the official Python cannot be pulled, another base with python3 (3.11 or newer) and its venv module will do:
# `hopper local build --provider kind` puts one together from Debian's packages.
ARG BASE_IMAGE=docker.io/library/python:3.13-slim

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY operator/requirements.txt operator/requirements-build.txt operator/
# Nothing is installed that differs from what was locked, and nothing that is needed for building only is kept.
RUN python3 -m venv /build \
    && python3 -m venv --without-pip /opt/hopper \
    && /build/bin/python -m pip install --quiet --require-hashes --requirement operator/requirements-build.txt \
    && /build/bin/python -m pip --python /opt/hopper/bin/python install --quiet --no-compile \
       --require-hashes --only-binary :all: --requirement operator/requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY operator/hopper operator/hopper
RUN /build/bin/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /build/bin/python -m pip --python /opt/hopper/bin/python install --quiet --no-compile --no-deps --no-index /wheels/*.whl \
    # Compiled once, for a quick start; but not the thousand generated classes of the API client, of which few are used.
    && /opt/hopper/bin/python -m compileall -q -x 'kubernetes/(aio/)?client/(api|models)/' /opt/hopper/lib

FROM ${BASE_IMAGE}
COPY --from=build /opt/hopper /opt/hopper
# Any user id will do, and nothing is written outside of /tmp. A name in USER spares a look into /etc/passwd, where an
# arbitrary user is not to be found.
ENV PATH=/opt/hopper/bin:$PATH HOME=/tmp USER=hopper PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /tmp
EXPOSE 8080
ENTRYPOINT ["hopper"]
CMD ["operator", "run"]
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="hopper" \
      org.opencontainers.image.description="Runs hierarchies of long-lived instances on Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

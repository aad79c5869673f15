# syntax=docker/dockerfile:1
# One image for every process of Saring: `saring serve` unless told otherwise, or worker, beat, init ...
#
#   docker build --tag saring:0.1.0 --build-arg VERSION=0.1.0 .
#   docker build --tag saring-gpu:0.1.0 --build-arg VERSION=0.1.0 --build-arg EXTRAS=transformers .

ARG PYTHON=3.11

# Pin the two base images by digest where you build for others: --build-arg does not do it, write
# python:3.11-slim@sha256:... below, with the digest that `docker buildx imagetools inspect python:3.11-slim` shows.
FROM python:${PYTHON}-slim AS builder
# of pyproject.toml, by comma: transformers, hub, s3, umap. Their packages are pinned by constraints.txt, without hashes.
ARG EXTRAS=""
WORKDIR /src
RUN python -m venv /opt/build && python -m venv /opt/saring
COPY requirements.lock requirements-build.lock ./
# first what rarely changes; a file whose hash is not in the lock is refused (`make lock` writes it)
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/build/bin/pip install --disable-pip-version-check --require-hashes --requirement requirements-build.lock \
    && /opt/saring/bin/pip install --disable-pip-version-check --require-hashes --requirement requirements.lock
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY pipeline pipeline
COPY sync sync
COPY ml_backend ml_backend
COPY saring saring
# the tags of git, which say the version elsewhere, are not in the image
ARG VERSION=0.1.0
RUN --mount=type=cache,target=/root/.cache/pip \
    SETUPTOOLS_SCM_PRETEND_VERSION="$VERSION" \
    /opt/build/bin/pip wheel --disable-pip-version-check --no-build-isolation --no-deps --wheel-dir /src/dist . \
    && /opt/saring/bin/pip install --disable-pip-version-check --no-deps --no-index /src/dist/*.whl \
    && if [ -n "$EXTRAS" ]; then wheel=$(echo /src/dist/*.whl) && /opt/saring/bin/pip install \
       --disable-pip-version-check --constraint constraints.txt "saring[$EXTRAS] @ file://$wheel"; fi

FROM python:${PYTHON}-slim AS runtime
# 10001: whatever is mounted at /data must be writable for it
RUN groupadd --gid 10001 saring \
    && useradd --uid 10001 --gid saring --home-dir /data --no-create-home --shell /usr/sbin/nologin saring \
    && install --directory --owner=saring --group=saring --mode=0700 /data
COPY --from=builder /opt/saring /opt/saring
ENV PATH=/opt/saring/bin:$PATH \
    SARING_HOME=/data \
    HF_HOME=/data/huggingface \
    MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONUNBUFFERED=1
# by number, so that Kubernetes can tell that it is not root
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 9090
# of `serve`; whoever runs something else gives another one, or none
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=4 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:9090/health', timeout=4)"]
ENTRYPOINT ["saring"]
CMD ["serve", "--host", "0.0.0.0", "--port", "9090"]

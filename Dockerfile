# Two images: `service` (API, migrations, CLI; no torch, no Ray) and `compute` (dispatcher, Ray nodes).
FROM python:3.11-slim AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 VIRTUAL_ENV=/opt/lrd PATH=/opt/lrd/bin:$PATH
RUN useradd --create-home --uid 10001 lrd && mkdir /var/lrd && chown lrd /var/lrd \
 && python -m venv /opt/lrd && pip install --no-cache-dir uv
WORKDIR /app
COPY pyproject.toml requirements.lock README.md LICENSE ./

FROM base AS service
# Only what the service extra needs, at the versions of the lock.
RUN uv pip install --no-cache --compile-bytecode --constraint requirements.lock \
      -r pyproject.toml --extra service hatchling editables
COPY . .
RUN uv pip install --no-cache --no-deps --no-build-isolation .
# --build-arg LRD_COMMIT=$(git describe --always --dirty --abbrev=40 --exclude='*'): every trial records it.
ARG LRD_COMMIT
ENV LRD_COMMIT=$LRD_COMMIT
USER lrd
EXPOSE 8000
CMD ["lrd", "api"]

FROM base AS compute
# A compiler for the kernels of learning-rate dropout (on a GPU, Triton needs it).
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
RUN uv pip install --no-cache --compile-bytecode --constraint requirements.lock \
      -r pyproject.toml --extra service --extra compute hatchling editables
COPY . .
RUN uv pip install --no-cache --no-deps --no-build-isolation .
# --build-arg LRD_COMMIT=$(git describe --always --dirty --abbrev=40 --exclude='*'): every trial records it.
ARG LRD_COMMIT
ENV LRD_COMMIT=$LRD_COMMIT
USER lrd
CMD ["lrd", "dispatch"]

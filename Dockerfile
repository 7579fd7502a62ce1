# Of every service. The context is the service's own folder; SERVICE is its package.
ARG PYTHON_IMAGE=python:3.11-slim

# What the service needs from others: built again only when its lock changes.
FROM ${PYTHON_IMAGE} AS deps
RUN python -m venv --without-pip /venv
COPY requirements.lock .
RUN --mount=type=cache,target=/root/.cache/pip \
    pip --python /venv/bin/python install --require-hashes -r requirements.lock

# The library, and then what we wrote: a change rebuilds its own layer alone.
FROM ${PYTHON_IMAGE} AS library
COPY --from=celeriac src /app
RUN python -m compileall -q /app

FROM ${PYTHON_IMAGE} AS code
COPY --from=common src /app
COPY src /app
RUN python -m compileall -q /app

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --no-create-home app
COPY --from=deps /venv /venv
COPY --from=library /app /app
COPY --from=code /app /app
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1
USER app
ARG SERVICE
ARG HTTP_PORT
ENV SERVICE=${SERVICE} HTTP_HOST=0.0.0.0 HTTP_PORT=${HTTP_PORT} WORKER_HEALTH_FILE=/tmp/worker-health
HEALTHCHECK --interval=8s --timeout=3s --start-period=30s --start-interval=500ms --retries=2 \
    CMD ["python", "-m", "celeriac.health"]
CMD ["sh", "-c", "exec python -m $SERVICE.main"]

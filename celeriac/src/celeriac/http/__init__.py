"""For HTTP services that publish tasks: `pip install 'celeriac[http]'`. See docs/http-services.md."""

import importlib.util

if missing := [name for name in ("fastapi", "prometheus_client", "uvicorn") if importlib.util.find_spec(name) is None]:
    raise ImportError(f"celeriac.http needs {', '.join(missing)}: pip install 'celeriac[http]'", name=missing[0])

from celeriac.http.api import Api
from celeriac.http.errors import ApiError, ErrorBody
from celeriac.http.idempotency import IdempotencyKeys
from celeriac.http.openapi import CORRELATION_ID, IDEMPOTENCY_KEY, accepted_responses, error_responses
from celeriac.http.progress import Failure, Progress, State, progress_of
from celeriac.http.server import serve

__all__ = [
    "CORRELATION_ID",
    "IDEMPOTENCY_KEY",
    "Api",
    "ApiError",
    "ErrorBody",
    "Failure",
    "IdempotencyKeys",
    "Progress",
    "State",
    "accepted_responses",
    "error_responses",
    "progress_of",
    "serve",
]

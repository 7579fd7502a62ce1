"""For HTTP services that publish tasks: `pip install 'celeriac[http]'`. See docs/http-services.md."""

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

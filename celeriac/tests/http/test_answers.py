"""What an error means in HTTP."""

import pytest
import redis.exceptions
import structlog
from fastapi import HTTPException
from kombu.exceptions import OperationalError

from celeriac.errors import Conflict, NotPublished, OutcomeUnknown, QueueFull, ValidationError
from celeriac.http.errors import ErrorBody
from celeriac.http.faults import BrokerUnavailable
from celeriac.published import Published

ID = "0b9d1c1e-6f0a-4a52-9d53-6c1b7f2c8a11"


@pytest.fixture
def answer_to(api, client):
    def ask(error):
        @api.get("/fails")
        def fails() -> None:
            raise error

        with structlog.testing.capture_logs():
            answer = client.get("/fails")
        assert ErrorBody.model_validate_json(answer.content).correlation_id == answer.headers["x-correlation-id"]
        return answer

    return ask


@pytest.mark.parametrize(
    ("error", "status", "code", "said"),
    [
        (NotPublished("redis://:hunter2@h is away"), 503, "broker_unavailable", "Nothing was accepted"),
        (BrokerUnavailable("does not answer"), 503, "broker_unavailable", "The broker does not answer"),
        (OperationalError("hunter2"), 503, "broker_unavailable", "again later"),
        (redis.exceptions.TimeoutError("hunter2"), 503, "broker_unavailable", "does not answer"),
        (redis.exceptions.ResponseError("OOM hunter2"), 503, "broker_unavailable", "(OOM)"),
        (OutcomeUnknown("hunter2", Published(unknown=(ID,))), 503, "outcome_unknown", ID),
        (OutcomeUnknown("hunter2", Published(unknown=(ID, "2"))), 503, "outcome_unknown", "same Idempotency-Key"),
        (OutcomeUnknown("hunter2"), 503, "outcome_unknown", "same Idempotency-Key"),
        (QueueFull("hunter2", retry_after_seconds=17.2), 503, "queue_full", "18 s"),
        (Conflict("hunter2"), 409, "idempotency_conflict", "new key"),
        (ValidationError("1 field is wrong: pages: Field required"), 422, "invalid_request", "pages"),
        (HTTPException(404, "hunter2"), 404, "not_found", "GET /fails"),
        (RuntimeError("hunter2"), 500, "internal_error", "bug"),
        (OSError("hunter2"), 500, "internal_error", "bug"),
    ],
)
def test_an_error_has_its_answer_which_tells_no_secret(answer_to, error, status, code, said):
    answer = answer_to(error)

    assert (status, code) == (answer.status_code, answer.json()["error"])
    assert said in answer.json()["message"]
    assert "hunter2" not in answer.text
    assert (status == 503) == ("retry-after" in answer.headers)


def test_a_full_queue_says_how_long_to_wait(answer_to):
    assert "18" == answer_to(QueueFull("full", retry_after_seconds=17.2)).headers["retry-after"]


def test_an_unknown_outcome_names_the_work_if_it_is_one(answer_to):
    assert ID == answer_to(OutcomeUnknown("", Published(unknown=(ID,)))).json()["task_id"]

"""How Celery's entries are read."""

import json

import pytest

from celeriac.http.progress import MESSAGES, OTHER, State, failure, read
from celeriac.publish.outgoing import marker

ID = "0b9d1c1e-6f0a-4a52-9d53-6c1b7f2c8a11"


def entry(status, result=None, **more):
    return json.dumps({"status": status, "result": result, "traceback": None, "children": [], "task_id": ID, **more})


def error(contract, kind, *texts, module="celeriac.errors"):
    stored = {"exc_type": kind, "exc_message": list(texts), "exc_module": module}
    return read(contract, entry("FAILURE", stored, traceback="Traceback: /app/secret.py")).failure


@pytest.mark.parametrize(
    ("stored", "state"),
    [
        ("PENDING", State.PENDING),
        ("RECEIVED", State.PENDING),
        ("STARTED", State.STARTED),
        ("RETRY", State.RETRYING),
        ("FAILURE", State.FAILED),
        ("REVOKED", State.FAILED),
    ],
)
def test_celerys_states_are_ours(contract, stored, state):
    assert state == read(contract, entry(stored)).state


def test_what_a_worker_notes_while_it_runs_stays_inside(contract):
    found = read(contract, entry("STARTED", {"pid": 7, "hostname": "worker@inside"}))

    assert (State.STARTED, None, None) == (found.state, found.result, found.failure)


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ({"progress": 0.4, "note": "4 of 10"}, (0.4, "4 of 10")),
        ({"progress": 1, "note": ""}, (1.0, None)),
        ({"progress": 40, "note": 7}, (None, None)),
        ({"done": 4}, (None, None)),  # of a plain task, which means something else by it
        ("half way", (None, None)),
    ],
)
def test_what_the_handler_says_of_its_progress_is_shown(contract, stored, shown):
    found = read(contract, entry("PROGRESS", stored))

    assert (State.STARTED, *shown) == (found.state, found.progress, found.note)


def test_a_result_is_shown(contract):
    assert 3 == read(contract, entry("SUCCESS", {"stamps": 3})).result.stamps


def test_the_result_of_another_contract_is_none(contract):
    assert read(contract, entry("SUCCESS", {"status": "delivered"})) is None


@pytest.mark.parametrize("raw", ["", "7", "[]", "{}", '{"status": "?"}', "\x00", '{"status": ["SUCCESS"]}'])
def test_what_is_no_entry_is_no_task(contract, raw):
    assert read(contract, raw) is None


def test_the_fields_that_were_wrong_are_told(contract):
    told = error(contract, "ValidationError", "letters.post was sent a wrong payload: pages: Field required")

    assert "pages: Field required" in told.message


@pytest.mark.parametrize(
    ("kind", "module", "message"),
    [
        ("PermanentError", "celeriac.errors", MESSAGES["PermanentError"]),
        ("TransientError", "celeriac.errors", MESSAGES["TransientError"]),
        ("OperationalError", "psycopg", OTHER),
        ("ValidationError", "somewhere.else", OTHER),
    ],
)
def test_the_text_of_any_other_error_is_not_for_callers(contract, kind, module, message):
    told = error(contract, kind, "cannot reach postgres://shop:hunter2@10.0.0.7/orders", module=module)

    assert "hunter2" not in told.model_dump_json()
    assert message == told.message


def test_a_failure_without_details_is_still_a_failure():
    for stored in (
        None,
        "boom",
        {},
        {"exc_type": None},
        {"exc_type": "ValidationError", "exc_module": "celeriac.errors"},
    ):
        assert failure(stored).message


def test_the_marker_reads_as_pending_here_and_in_stock_celery(contract):
    stored = json.loads(marker(ID))

    assert State.PENDING == read(contract, json.dumps(stored)).state
    assert ("PENDING", None, ID) == (stored["status"], stored["result"], stored["task_id"])

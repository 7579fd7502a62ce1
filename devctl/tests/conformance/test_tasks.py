"""What every kind of tasks keeps to: contracts, signatures, and the fake that ships."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict

from devctl.contracts.catalog import Catalog, TaskContract
from devctl.contracts.fake import FakeTask, FakeTasks
from devctl.contracts.port import Tasks, Wrong
from devctl.contracts.request import Request, messages
from devctl.contracts.schema import Schema
from devctl.contracts.signatures import Signatures
from devctl.discovery.model import Answer, FoundTask, Parameter
from devctl.errors import UsageError

WIDTH = {"type": "integer"}


class Resize(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: int


def contracts() -> Tasks:
    return Catalog(
        [
            TaskContract("images.resize", "images", Resize),
            TaskContract("images.sweep", "slow", None, ignore_result=True),
        ]
    )


def signatures() -> Tasks:
    return Signatures(
        [
            FoundTask("images.resize", Answer("images", "a"), (Parameter("width", "usual", "int", None, WIDTH),)),
            FoundTask("images.sweep", Answer("slow", "a"), (), ignore_result=True),
        ]
    )


def fake() -> Tasks:
    schema = {
        "type": "object",
        "properties": {"width": WIDTH},
        "required": ["width"],
        "additionalProperties": False,
    }
    return FakeTasks(
        FakeTask("images.resize", "images", schema),
        FakeTask("images.sweep", "slow", takes_nothing=True, ignore_result=True),
    )


@pytest.fixture(params=[contracts, signatures, fake])
def tasks(request: pytest.FixtureRequest) -> Tasks:
    made: Tasks = request.param()
    return made


def test_all_are_listed_with_their_queues(tasks: Tasks) -> None:
    assert [("images.resize", "images"), ("images.sweep", "slow")] == [(one.name, one.queue) for one in tasks]


def test_one_is_found_by_its_name_and_by_its_last_part(tasks: Tasks) -> None:
    assert ["images.resize", "images.resize"] == [tasks.get(name).name for name in ("images.resize", "resize")]
    assert tasks.find("nothing") is None


def test_one_that_is_not_there_is_refused_by_name(tasks: Tasks) -> None:
    with pytest.raises(UsageError, match="no task 'resise'"):
        tasks.get("resise")


def test_the_schema_has_the_input_s_fields(tasks: Tasks) -> None:
    assert ["width"] == Schema(tasks.get("resize").schema).keys(tasks.get("resize").schema)
    assert tasks.get("sweep").takes_nothing


def test_a_message_has_the_name_the_queue_and_the_input(tasks: Tasks) -> None:
    made = tasks.get("resize").message({"width": 3})
    assert ("images.resize", "images") == (made.task, made.queue)
    assert {"width": 3} == (made.args[0] if made.args else made.kwargs)
    assert "other" == tasks.get("resize").message({"width": 3}, queue="other").queue


def test_two_messages_have_two_ids(tasks: Tasks) -> None:
    first, second = (tasks.get("resize").message({"width": width}) for width in (1, 2))
    assert first.task_id != second.task_id


@pytest.mark.parametrize(
    ("value", "path", "expected"),
    [
        ({}, "width", "is missing"),
        ({"width": "many"}, "width", "must be a whole number"),
        ({"width": 1, "widht": 2}, "widht", "is "),
    ],
)
def test_a_wrong_input_is_refused_with_its_place(tasks: Tasks, value: object, path: str, expected: str) -> None:
    with pytest.raises(Wrong) as refused:
        tasks.get("resize").message(value)
    assert [path] == [one.path for one in refused.value.problems]
    assert refused.value.problems[0].expected.startswith(expected)


def test_the_example_is_an_input_and_the_same_every_time(tasks: Tasks) -> None:
    task = tasks.get("resize")
    assert task.checked(task.example()) == task.checked(task.example())


def test_arguments_go_as_they_are_where_they_are_not_to_be_checked(tasks: Tasks) -> None:
    made = tasks.get("resize").call(["x"], {"y": 1}, check=False)
    assert (("x",), {"y": 1}) == (tuple(made.args), dict(made.kwargs))


def test_a_result_that_nobody_keeps_is_known(tasks: Tasks) -> None:
    assert [False, True] == [one.ignore_result for one in tasks]


def test_a_request_sets_one_field_by_its_name(tasks: Tasks) -> None:
    (made,) = messages(tasks, Request("resize", assignments=["width=200"]))
    assert {"width": 200} == (made.args[0] if made.args else made.kwargs)

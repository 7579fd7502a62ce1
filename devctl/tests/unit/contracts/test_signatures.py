from __future__ import annotations

from typing import Any

import pytest

from devctl.broker.port import Consumer
from devctl.contracts.port import Wrong
from devctl.contracts.request import Request, messages
from devctl.contracts.signatures import Signature, Signatures, consumed
from devctl.discovery.model import Answer, FoundTask, Parameter
from devctl.errors import UsageError

TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
COLOUR = {"enum": ["r", "g"], "x-names": {"RED": "r", "GREEN": "g"}}
PARAMETERS = (
    Parameter("path", "usual", "str", None, TEXT),
    Parameter("width", "usual", "int", "3", NUMBER),
    Parameter("keep", "keyword only", "bool", "True", {"type": "boolean"}),
)


def task(*parameters: Parameter, queue: str | None = "images", **more: Any) -> Signature:
    return Signature(FoundTask("images.resize", Answer(queue, "routes.py:3"), parameters, **more))


def wrong(made: Signature, args: list[Any], kwargs: dict[str, Any]) -> list[str]:
    with pytest.raises(Wrong) as refused:
        made.call(args, kwargs)
    return [f"{one.path} {one.value} {one.expected}" for one in refused.value.problems]


def test_parameters_are_sent_by_name() -> None:
    made = task(*PARAMETERS).message({"path": "a", "keep": False})
    assert ((), {"path": "a", "keep": False}) == (made.args, made.kwargs)


def test_what_can_only_be_given_by_position_is() -> None:
    parameters = (Parameter("a", "positional only"), Parameter("b"), Parameter("more", "*", default=None))
    assert ((1,), {"b": 2}) == ((made := task(*parameters[:2]).message({"a": 1, "b": 2})).args, made.kwargs)
    assert ((1, 2, 3, 4), {}) == (
        (made := task(*parameters).message({"a": 1, "b": 2, "more": [3, 4]})).args,
        made.kwargs,
    )


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ([], {}, ["path – is missing"]),
        (["a", 1, True], {}, ["args 3 it takes 2 arguments by position: path, width"]),
        (["a"], {"path": "b"}, ['path "b" is given twice: "a" by position']),
        (["a"], {"widht": 1}, ["widht 1 is no parameter: did you mean width?"]),
        (
            [1],
            {"width": "x", "keep": 1},
            ["path 1 must be text", 'width "x" must be a whole number', "keep 1 must be true or false"],
        ),
    ],
)
def test_a_call_that_does_not_fit_the_signature_is_refused(
    args: list[Any], kwargs: dict[str, Any], expected: list[str]
) -> None:
    assert expected == wrong(task(*PARAMETERS), args, kwargs)


def test_a_call_that_fits_goes_as_it_is_written() -> None:
    made = task(*PARAMETERS).call(["a", 2], {"keep": True})
    assert (("a", 2), {"keep": True}) == (made.args, made.kwargs)


def test_a_member_of_an_enum_can_be_called_by_its_name() -> None:
    colour = Parameter("colour", "usual", "Colour", None, COLOUR)
    assert {"colour": "r"} == task(colour).message({"colour": "RED"}).kwargs
    assert {"colour": "g"} == task(colour).message({"colour": "g"}).kwargs
    assert ['colour "BLUE" must be RED or GREEN'] == wrong(task(colour), [], {"colour": "BLUE"})


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"anyOf": [NUMBER, {"type": "null"}]}, "x", "must be a whole number or null"),
        ({"type": "array", "items": NUMBER}, [1, "x"], "must be a whole number"),
        ({"type": "object", "properties": {"n": NUMBER}, "required": ["n"]}, {}, "is missing"),
        ({"type": "string", "format": "uuid"}, "x", "must be a UUID such as"),
        ({"type": "string", "format": "date-time"}, "soon", "must be a time such as"),
        ({"type": "integer", "minimum": 1}, 0, "must be at least 1"),
        ({"type": "integer"}, True, "must be a whole number"),
    ],
)
def test_a_value_that_its_annotation_does_not_take_is_named(schema: Any, value: Any, expected: str) -> None:
    (problem,) = wrong(task(Parameter("x", "usual", "X", None, schema)), [value], {})
    assert expected in problem


def test_a_signature_that_another_decorator_may_change_is_not_insisted_on() -> None:
    made = task(*PARAMETERS, options={"decorators": ("inject",)}).call([], {"more": 1})
    assert {"more": 1} == made.kwargs


def test_nothing_is_checked_of_a_task_that_only_a_worker_knows() -> None:
    (made,) = Signatures([]).living([Consumer("celery@a", ("q",), ("images.resize", "celery.chord"))])
    assert ("images.resize", ("celery@a",)) == (made.name, made.found.nodes)
    assert (1, 2) == made.call([1, 2], {}).args


def test_living_workers_are_merged_by_name() -> None:
    known = task(*PARAMETERS).found
    consumers = [Consumer(f"celery@{queue[0]}", (queue,), ("images.resize",)) for queue in ("mails", "images")]
    (made,) = Signatures([known]).living(consumers)
    assert (PARAMETERS, ("celery@i",)) == (made.parameters, made.found.nodes)


def test_a_name_of_several_tasks_is_refused_with_all_of_them() -> None:
    twice = Signatures([FoundTask(f"{one}.resize", Answer("q", ""), ()) for one in ("a", "b")])
    with pytest.raises(UsageError, match="2 tasks are called resize") as refused:
        twice.get("resize")
    assert "say which: a.resize, b.resize" == refused.value.hint


def sent(made: Signature, **request: Any) -> list[Any]:
    return messages(Signatures([made.found]), Request("resize", **request))


def test_a_queue_that_is_not_sure_is_refused_with_the_reason_and_the_option() -> None:
    with pytest.raises(UsageError, match="which queue") as refused:
        sent(task(queue=None))
    assert (("routes.py:3",), "devctl send-task resize --queue QUEUE") == (refused.value.details, refused.value.hint)


def test_a_queue_that_is_not_sure_is_the_only_one_that_workers_consume() -> None:
    (made,) = sent(task(queue=None), consumed=lambda _: ["only"])
    assert "only" == made.queue
    with pytest.raises(UsageError, match="which queue"):
        sent(task(queue=None), consumed=lambda _: ["a", "b"])


def test_the_queues_are_those_of_the_workers_who_have_the_task() -> None:
    consumers = [Consumer("a", ("one",), ("images.resize",)), Consumer("b", ("two",), ())]
    assert ["one"] == consumed(task(), consumers)
    assert ["one", "two"] == consumed(None, consumers)


def test_many_are_the_same_call_with_ids_of_their_own() -> None:
    made = sent(task(*PARAMETERS), args='["a"]', count=3)
    assert 3 == len({one.task_id for one in made})


def test_unchecked_arguments_go_whatever_the_signature_says() -> None:
    (made,) = sent(task(*PARAMETERS), args="[1, 2, 3, 4]", unchecked=True)
    assert (1, 2, 3, 4) == made.args


def test_the_example_has_what_must_be_given_by_type_or_by_what_it_sounds_like() -> None:
    parameters = (Parameter("user_id"), Parameter("file_name"), *PARAMETERS)
    made = task(*parameters)
    example = made.example()
    assert (["user_id", "file_name", "path"], 1, "file-name") == ([*example], example["user_id"], example["file_name"])
    made.message(example)

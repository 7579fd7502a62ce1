from __future__ import annotations

import datetime as dt
import enum
import itertools
import json
import random
import re
import uuid
from dataclasses import dataclass
from decimal import Decimal
from ipaddress import IPv4Address
from typing import Annotated, Any, Literal, NamedTuple

import pytest
from pydantic import (
    AnyUrl,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FutureDatetime,
    NaiveDatetime,
    PastDate,
    PositiveInt,
    RootModel,
    StringConstraints,
    conlist,
    model_validator,
)
from typing_extensions import TypedDict

from devctl.contracts.catalog import TaskContract
from devctl.contracts.pattern import matching
from devctl.contracts.payload import checked
from devctl.contracts.sample import samples
from devctl.errors import DevctlError
from shop.tasks import CONTRACTS


def contract(payload: Any) -> TaskContract:
    return TaskContract("tasks.invented", "q", payload)


def take(one: TaskContract, count: int, seed: int = 7) -> list[Any]:
    return list(itertools.islice(samples(one, seed=seed), count))


class Colour(enum.Enum):
    RED = "red"
    BLUE = 4


class Plain(BaseModel):
    name: str
    count: int
    ratio: float
    yes: bool
    nothing: None


class Limits(BaseModel):
    code: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}-\d{4}(-[a-f]+)?$")]
    either: Annotated[str, StringConstraints(pattern=r"^(cat|dog)s?$")]
    short: Annotated[str, Field(max_length=3)]
    long: Annotated[str, Field(min_length=40)]
    percent: Annotated[int, Field(ge=0, le=100, multiple_of=5)]
    narrow: Annotated[float, Field(gt=0.5, lt=0.6)]
    below: Annotated[int, Field(lt=-10)]
    above: Annotated[float, Field(gt=1e6)]
    step: Annotated[float, Field(multiple_of=0.25)]
    many: conlist(int, min_length=5, max_length=6)  # type: ignore[valid-type]
    unique: Annotated[set[Literal["a", "b", "c"]], Field(min_length=2)]
    pair: tuple[int, str]
    labels: Annotated[dict[str, int], Field(min_length=2)]


class Kinds(BaseModel):
    uid: uuid.UUID
    when: AwareDatetime
    local: NaiveDatetime
    later: FutureDatetime
    born: PastDate
    at: dt.time
    long: dt.timedelta
    url: AnyUrl
    ip: IPv4Address
    price: Annotated[Decimal, Field(gt=0, max_digits=6, decimal_places=2)]
    colour: Colour
    literal: Literal["only"]
    anything: Any
    either: int | str
    maybe: str | None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: PositiveInt


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


class Pets(BaseModel):
    pets: Annotated[list[Annotated[Cat | Dog, Field(discriminator="kind")]], Field(min_length=3)]


class Tree(BaseModel):
    label: str
    left: Tree | None
    children: list[Tree]


class Aliased(BaseModel):
    model_config = ConfigDict(extra="forbid")
    order_id: int = Field(alias="orderId")
    total: int = Field(validation_alias="sum")


class Dated(BaseModel):
    first: dt.date
    last: dt.date

    @model_validator(mode="after")
    def _in_order(self) -> Dated:
        if self.last <= self.first:
            raise ValueError("last must be after first")
        return self


class Typed(TypedDict):
    name: str
    size: int


@dataclass
class Plainest:
    name: str
    sizes: list[int]


class Named(NamedTuple):
    first: int
    second: str


class OneOfTwo(BaseModel):
    email: str | None = None
    phone: str | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> OneOfTwo:
        if (self.email is None) == (self.phone is None):
            raise ValueError("exactly one of email and phone")
        return self


class Wanted(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"word": "swordfish"}, {"word": "not this one"}]})
    word: str

    @model_validator(mode="after")
    def _secret(self) -> Wanted:
        if self.word != "swordfish":
            raise ValueError("the word is wrong")
        return self


class Impossible(BaseModel):
    word: str

    @model_validator(mode="after")
    def _never(self) -> Impossible:
        raise ValueError("no word is good enough")


INVENTED = [
    Plain, Limits, Kinds, Pets, Tree, Aliased, Typed, Plainest, Named, OneOfTwo, Dated, Wanted,
    RootModel[list[PositiveInt]], list[Typed], dict[str, int], int, str,
]  # fmt: skip


@pytest.mark.parametrize("payload", INVENTED, ids=lambda kind: str(getattr(kind, "__name__", kind)))
def test_a_sample_of_any_contract_is_valid_and_json(payload: Any) -> None:
    one = contract(payload)
    for sample in take(one, 25):
        checked(one, json.loads(json.dumps(sample)))


@pytest.mark.parametrize("theirs", CONTRACTS, ids=lambda one: one.name)
def test_a_sample_of_each_contract_of_this_repository_is_valid(theirs: Any) -> None:
    one = TaskContract.of(theirs)
    made = take(one, 50)
    if one.payload is None:
        assert [None] * 50 == made
    else:
        assert 50 == len([checked(one, sample) for sample in made])


def test_the_same_seed_gives_the_same_content() -> None:
    one = TaskContract.of(CONTRACTS[0])
    assert take(one, 5, seed=3) == take(one, 5, seed=3)
    assert take(one, 5, seed=3) != take(one, 5, seed=4)


def test_samples_differ_from_each_other() -> None:
    made = take(TaskContract.of(CONTRACTS[0]), 20)
    assert len({json.dumps(sample) for sample in made}) > 10


def test_ids_are_new_even_with_the_same_seed() -> None:
    one = TaskContract.of(CONTRACTS[0])
    (first,), (second,) = take(one, 1), take(one, 1)
    assert checked(one, first)["task_id"] != checked(one, second)["task_id"]

    class Numbered(BaseModel):
        batch_id: uuid.UUID

    assert take(contract(Numbered), 1) != take(contract(Numbered), 1)


def test_a_sample_says_that_it_comes_from_here() -> None:
    assert "devctl" == take(TaskContract.of(CONTRACTS[0]), 1)[0]["source_service"]


def test_an_example_of_the_author_is_taken_where_drawing_fails() -> None:
    assert [{"word": "swordfish"}] == take(contract(Wanted), 1)


def test_without_any_valid_sample_the_reason_and_the_way_out_are_named() -> None:
    with pytest.raises(DevctlError) as caught:
        take(contract(Impossible), 1)
    assert "no valid sample of tasks.invented" in caught.value.problem
    assert "examples" in caught.value.hint
    assert "no word is good enough" in caught.value.details[0]


@pytest.mark.parametrize(
    "pattern",
    [r"^\S+$", r"^[a-z0-9-]+$", r"^\d{1,12}(\.\d{1,2})?$", r"[^abc]{3}", r"^(a|b|cd){2,3}$", r"^\w+@\w+\.\w{2,3}$",
     r"^(?P<x>[xy])-(?P=x)$", r"^.{5,}$", r"^[\w.-]+$", r"^\+?[1-9]\d{7,14}$", r"^(?=a)abc$"],
)  # fmt: skip
def test_text_for_a_pattern_matches_it(pattern: str) -> None:
    rng = random.Random(1)
    assert all(re.search(pattern, matching(pattern, rng)) for _ in range(100))


def test_a_pattern_beyond_us_is_empty_text() -> None:
    assert "" == matching(r"\p{L}+(", random.Random(1))

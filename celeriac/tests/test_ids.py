import copy
import pickle
import uuid

from hypothesis import given
from hypothesis import strategies as st

from celeriac.ids import uuid4, uuid5
from celeriac.message.frame import text_of


@given(st.uuids(), st.text(st.characters(exclude_categories=["Cs"])))
def test_an_id_of_a_name_is_that_of_python(namespace: uuid.UUID, name: str) -> None:
    assert uuid.uuid5(namespace, name) == uuid5(namespace, name)


def test_random_ids_are_of_version_4_and_differ() -> None:
    made = [uuid4() for _ in range(1_000)]
    assert 1_000 == len(set(made))
    assert {(4, uuid.RFC_4122)} == {(one.version, one.variant) for one in made}
    assert (1 << 128) - 1 == _any_of(made) | 0xF000C << 60  # each of the other bits is random


def test_an_id_is_a_uuid_in_every_way() -> None:
    made = uuid4()
    usual = uuid.UUID(str(made))
    assert [usual] * 3 == [made, copy.deepcopy(made), pickle.loads(pickle.dumps(made))]
    assert (usual.is_safe, hash(usual), usual.bytes) == (made.is_safe, hash(made), made.bytes)


@given(st.uuids())
def test_the_text_of_an_id_is_that_of_python(made: uuid.UUID) -> None:
    assert str(made) == text_of(made)


def _any_of(ids: list[uuid.UUID]) -> int:
    bits = 0
    for one in ids:
        bits |= one.int
    return bits

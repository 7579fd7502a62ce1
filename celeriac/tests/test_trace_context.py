import pytest

from celeriac.trace_context import Trace

ID, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = f"00-{ID}-{SPAN}-01"


@pytest.mark.parametrize(
    "parent",
    [GIVEN, f"00-{ID}-{SPAN}-00", f"00-{ID}-{SPAN}-ff", f"01-{ID}-{SPAN}-01", f"cc-{ID}-{SPAN}-01-what-comes"],
)
def test_a_valid_traceparent_is_passed_on_as_it_is(parent: str) -> None:
    trace = Trace.read(parent)

    assert trace is not None
    assert (ID, {"traceparent": parent}) == (trace.id, trace.headers)


WRONG = [
    "",
    "00",
    ID,
    f"00-{'0' * 32}-{SPAN}-01",
    f"00-{ID}-{'0' * 16}-01",
    f"ff-{ID}-{SPAN}-01",
    f"00-{ID.upper()}-{SPAN}-01",
    f"00-{ID}-{SPAN}-1",
    f"00-{ID}-{SPAN}-0g",
    f"00-{ID}-{SPAN}-01-more",
    f"01-{ID}-{SPAN}-01more",
    f"00_{ID}_{SPAN}_01",
    f" {GIVEN}",
    f"{GIVEN}\n",
    f"01-{ID}-{SPAN}-01-\x1b[2J",
    None,
    17,
    b"00",
]


@pytest.mark.parametrize("parent", WRONG, ids=repr)
def test_an_invalid_traceparent_is_none_at_all(parent: object) -> None:
    assert Trace.read(parent, "a=b") is None


@pytest.mark.parametrize("state", ["a=b", "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE", "a@b=c , d=e", "a=b,", "a=b c"])
def test_a_valid_tracestate_goes_along(state: str) -> None:
    trace = Trace.read(GIVEN, state)

    assert trace is not None
    assert {"traceparent": GIVEN, "tracestate": state} == trace.headers


@pytest.mark.parametrize("state", ["", "a", "A=b", "a=b\n", "a=é", "a==", f"a={'b' * 511}", ",".join(33 * ["a=b"]), 17])
def test_an_invalid_tracestate_is_left_out(state: object) -> None:
    trace = Trace.read(GIVEN, state)

    assert trace is not None
    assert {"traceparent": GIVEN} == trace.headers

"""Changed code made live, over the fake runtime and real files."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from devctl.clock import FakeClock
from devctl.errors import DevctlError
from devctl.stack.fake import Behaviour, FakeRuntime
from devctl.stack.model import Build, Service, Stack
from devctl.stack.port import Replica
from devctl.stack.report import ServiceStart, StartReport
from devctl.ui.watch import Lines
from devctl.watch.changes import Watcher
from devctl.watch.run import Changed, Event, Failed, Kept, Live, Watching, watch
from devctl.watch.syntax import broken


class Checkout:
    """Two services that share a folder, and one that is only an image; all of them run."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("worker/a.py", "api/b.py", "common/c.py"):
            self.write(name, "x = 1\n")
        common = {"common": root / "common"}
        services = {
            "redis": Service("redis", image="redis:8"),
            "worker": Service("worker", build=Build(root / "worker", additional_contexts=common)),
            "api": Service("api", build=Build(root / "api", additional_contexts=common)),
        }
        stack = Stack("shop", services, broker="redis", workers=("worker",), aliases={}, contracts="")
        says = Behaviour(logs=("celery@box ready.",))
        self.runtime = FakeRuntime(stack, dict.fromkeys(services, says), FakeClock())
        self.runtime.start("redis", "worker", "api")
        self.runtime.calls.clear()

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def change(self, *names: str, text: str = "x = 22\n") -> None:
        """Write files, and let the fake know whose code they are."""
        for name in names:
            self.write(name, text)
            self.runtime.changed |= {"worker", "api"} if name.startswith("common") else {name.split("/")[0]}

    def watch(self, *turns: Callable[[], object], services: Sequence[str] = ("worker", "api")) -> list[Event]:
        """Watch, with each of these called before one look, and one more look after the last."""
        events: list[Event] = []
        script = iter([*turns, lambda: None])

        def go_on() -> bool:
            turn = next(script, None)
            if turn is not None:
                turn()
            return turn is not None

        watcher = Watcher(self.runtime.stack, services)
        watch(self.runtime, watcher, emit=events.append, go_on=go_on, clock=self.runtime.clock)
        return events


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_a_change_restarts_the_service_whose_code_it_is(checkout: Checkout) -> None:
    begin, changed, live = checkout.watch(lambda: checkout.change("worker/a.py"))

    assert Watching(("worker", "api"), 3) == begin
    assert Changed((checkout.root / "worker/a.py",), ("worker",)) == changed
    assert isinstance(live, Live)
    assert [False] == [one.was_running for one in live.report.services if one.service == "worker"]
    assert live.seconds < 2
    assert ["start worker"] == checkout.runtime.calls


def test_a_change_of_what_two_share_restarts_both(checkout: Checkout) -> None:
    _, changed, _ = checkout.watch(lambda: checkout.change("common/c.py"))

    assert Changed((checkout.root / "common/c.py",), ("worker", "api")) == changed
    assert ["start worker", "start api"] == checkout.runtime.calls


def test_a_service_that_is_not_named_is_left_alone(checkout: Checkout) -> None:
    checkout.watch(lambda: checkout.change("common/c.py"), services=["api"])

    assert ["start api"] == checkout.runtime.calls


def test_without_a_change_nothing_happens(checkout: Checkout) -> None:
    assert [Watching(("worker", "api"), 3)] == checkout.watch(lambda: None, lambda: None)
    assert [] == checkout.runtime.calls


def test_what_cannot_be_compiled_keeps_the_old_code_until_it_can(checkout: Checkout) -> None:
    events = checkout.watch(
        lambda: checkout.change("worker/a.py", text="def (\n"),
        lambda: checkout.change("api/b.py"),
        lambda: checkout.change("worker/a.py", text="def f(): ...\n"),
    )

    _, first, second, changed, live = events
    assert isinstance(first, Kept)
    assert (checkout.root / "worker/a.py", 1) == (first.broken[0].file, first.broken[0].line)
    assert ("worker",) == first.services
    assert isinstance(second, Kept), "a good file beside a broken one: half of a change would be live"
    assert Changed((checkout.root / "api/b.py", checkout.root / "worker/a.py"), ("worker", "api")) == changed
    assert isinstance(live, Live)
    assert ["start worker", "start api"] == checkout.runtime.calls


def test_a_start_that_fails_is_told_and_the_next_change_is_a_new_try(checkout: Checkout) -> None:
    def breaks() -> None:
        checkout.change("worker/a.py", text="import nothing_of_this_name\n")
        checkout.runtime.behaviours["worker"] = Behaviour(exits_after=0, logs=("ModuleNotFoundError",))

    def mends() -> None:
        checkout.change("worker/a.py", text="import os\n")
        checkout.runtime.behaviours["worker"] = Behaviour(healthy_after=0.3)

    events = checkout.watch(breaks, mends)

    assert [Watching, Changed, Failed, Changed, Live] == [type(event) for event in events]
    failed = events[2]
    assert isinstance(failed, Failed)
    assert "worker crashed" in failed.problem.problem
    assert "│ ModuleNotFoundError" in failed.problem.details


def test_a_start_that_is_refused_is_told_too(checkout: Checkout) -> None:
    checkout.runtime.behaviours["worker"] = Behaviour(refuses=DevctlError("port 1 is in use", hint="another one"))

    assert isinstance(checkout.watch(lambda: checkout.change("worker/a.py"))[-1], Failed)


def test_a_save_while_a_start_waits_begins_anew_with_both_changes(checkout: Checkout) -> None:
    checkout.runtime.behaviours["worker"] = Behaviour(healthy_after=None)
    sleep, naps = checkout.runtime.clock.sleep, iter(range(1, 1_000))

    def mends(seconds: float) -> None:
        sleep(seconds)
        if next(naps) == 5:
            checkout.runtime.behaviours["worker"] = Behaviour(healthy_after=0.3)
            checkout.change("worker/new.py")

    checkout.runtime.clock.sleep = mends  # type: ignore[method-assign]  # a save in the middle of the start

    _, first, second, live = checkout.watch(lambda: checkout.change("common/c.py"), lambda: None)

    assert isinstance(first, Changed)
    assert ("worker", "api") == first.services
    assert Changed((checkout.root / "common/c.py", checkout.root / "worker/new.py"), ("worker", "api")) == second
    assert isinstance(live, Live)
    assert live.seconds < 60, "nobody waited for the first start"


def test_a_broken_file_that_is_saved_while_a_start_waits_does_not_hide_how_the_start_ends(checkout: Checkout) -> None:
    checkout.runtime.behaviours["worker"] = Behaviour(exits_after=1, logs=("SyntaxError",))
    sleep, naps = checkout.runtime.clock.sleep, iter(range(1, 1_000))

    def breaks(seconds: float) -> None:
        sleep(seconds)
        if next(naps) == 5:
            checkout.change("worker/a.py", text="def (\n")

    checkout.runtime.clock.sleep = breaks  # type: ignore[method-assign]  # a save in the middle of the start

    _, _, kept, failed = checkout.watch(lambda: checkout.change("common/c.py"), lambda: None)

    assert isinstance(kept, Kept)
    assert (True, ("worker",)) == (kept.restarting, kept.services)
    assert isinstance(failed, Failed)
    assert "worker crashed" in failed.problem.problem


def test_a_service_that_was_stopped_stays_so(checkout: Checkout) -> None:
    checkout.runtime.stop(["api"])
    checkout.runtime.calls.clear()

    events = checkout.watch(lambda: checkout.change("api/b.py"), lambda: checkout.change("common/c.py"))

    assert [Watching, Changed, Live] == [type(event) for event in events]
    assert ["start worker"] == checkout.runtime.calls


def test_it_ends_when_nothing_runs_any_more(checkout: Checkout) -> None:
    checkout.runtime.stop(["api", "worker"])

    with pytest.raises(DevctlError, match="nothing that is watched runs any more"):
        checkout.watch(lambda: checkout.change("common/c.py"))


def test_files_that_come_and_go_are_changes(checkout: Checkout) -> None:
    _, came, _, went, _ = checkout.watch(
        lambda: checkout.change("worker/new.py"), (checkout.root / "worker/new.py").unlink
    )

    assert isinstance(came, Changed)
    assert isinstance(went, Changed)
    assert came.files == went.files == (checkout.root / "worker/new.py",)


def test_only_python_that_cannot_be_compiled_is_broken(tmp_path: Path) -> None:
    texts = {
        "good.py": b"x = '\\d'\n",
        "bad.py": b"x = (\n",
        "zero.py": b"x\0",
        "latin.py": b"x = '\xe4'\n",
        "a.txt": b"def (",
    }
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text)

    found = broken([*(tmp_path / name for name in texts), tmp_path / "gone.py"])

    assert ["bad.py", "zero.py", "latin.py"] == [one.file.name for one in found]
    assert (1, "'(' was never closed") == (found[0].line, found[0].problem)


def test_a_published_port_that_moved_is_told_once() -> None:
    def at(port: int) -> StartReport:
        replica = Replica("api", "api-1", "running", ports=(f"127.0.0.1:{port}->8000",))
        return StartReport("compose", (ServiceStart("api", "ready", replicas=(replica,)),), 1.0)

    stream = io.StringIO()
    lines = Lines(Path(), at(49_152), stream)
    for port in (49_152, 49_153, 49_153):
        lines(Live(at(port), 1.0))

    said = [line[9:] for line in stream.getvalue().splitlines()]
    assert ["api live in 1.0s", "api live in 1.0s; api is at 127.0.0.1:49153 now", "api live in 1.0s"] == [
        line.partition(" ")[2] for line in said
    ]

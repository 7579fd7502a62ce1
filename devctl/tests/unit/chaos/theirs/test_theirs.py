"""A task of somebody else's workers: every id gets one fate, and each loss its setting."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from devctl.tests.unit.bench.simulation import shop

from devctl.broker.port import Message
from devctl.chaos.theirs.copy_file import Copy, make
from devctl.chaos.theirs.field import Field
from devctl.chaos.theirs.image import recipe
from devctl.chaos.theirs.ledger import Ledger, Life, Start, Worker
from devctl.chaos.theirs.play import play
from devctl.chaos.theirs.remains import Remains
from devctl.chaos.theirs.report import Report, Side, document
from devctl.chaos.theirs.row import Outcome, count
from devctl.chaos.theirs.rows import ROWS, choose
from devctl.chaos.theirs.screen import lines
from devctl.chaos.theirs.verdict import reasons
from devctl.clock import FakeClock
from devctl.errors import UsageError
from devctl.measurement.serving import Call
from devctl.stack.fake import FakeRuntime
from devctl.stack.port import Replica
from devctl.ui.paint import Paint

ROOT = Path(__file__).parents[5]
MOUNTED = ROOT / "devctl/src/devctl/chaos/theirs/mounted"
TASK = "images.resize"
WORKER = Worker(
    at=0.0,
    host="host-worker-1",
    settings={"worker_prefetch_multiplier": 4, "visibility_timeout": None},
    given=frozenset(),
    tasks={TASK: {"acks_late": False, "reject_on_worker_lost": False}},
    pool="prefork",
    concurrency=2,
    celery="5.5.3",
    transport="redis",
    celeriac=False,
)


def life(*states: str, starts: int = 1) -> Life:
    return Life([Start(float(n), "h", 7) for n in range(starts)], list(states))


def test_every_id_has_one_fate() -> None:
    lives = {
        "done": life("SUCCESS"),
        "failed": life("FAILURE"),
        "died": life("DIED"),
        "queued": life(starts=0),
        "held": life(),
        "dead": life(starts=3),
        "lost": life(),
        "again": life("RETRY", "SUCCESS", starts=2),
    }
    remains = Remains(frozenset({"queued"}), frozenset({"held", "done"}), frozenset({"dead"}))

    one = count("row", "a row", lives, remains, 1.0, "")

    assert (2, 1, 1, 1, 1, 1, 1) == (one.done, one.failed, one.died, one.queued, one.held, one.dead, one.lost)
    assert one.published == one.done + one.failed + one.died + one.queued + one.held + one.dead + one.lost
    assert 1 == one.twice  # three starts and no end; a retry is no second run
    assert not one.good


def late(worker: Worker, **own: bool) -> Worker:
    return replace(worker, tasks={TASK: {"acks_late": True, "reject_on_worker_lost": False, **own}})


@pytest.mark.parametrize(
    ("outcome", "worker", "settings"),
    [
        (Outcome("kill-worker", "", lost=2), WORKER, ["task_acks_late"]),
        (Outcome("kill-child", "", died=1), WORKER, ["task_acks_late"]),
        (Outcome("kill-child", "", died=1), late(WORKER), ["task_reject_on_worker_lost"]),
        (Outcome("kill-worker", "", lost=1), late(WORKER), ["broker_transport"]),
        (Outcome("kill-worker", "", held=8), WORKER, ["visibility_timeout", "worker_prefetch_multiplier"]),
        (
            Outcome("kill-worker", "", held=8),
            replace(WORKER, settings={"worker_prefetch_multiplier": 1, "visibility_timeout": 30}),
            ["visibility_timeout"],
        ),
        (Outcome("kill-worker", "", twice=2), late(WORKER, reject_on_worker_lost=True), ["task_acks_late"]),
        (Outcome("broker-restart", "", queued=5), WORKER, ["broker_transport"]),
        (Outcome("stop", "", done=9), WORKER, []),
    ],
)
def test_each_loss_has_the_setting_behind_it(outcome: Outcome, worker: Worker, settings: list[str]) -> None:
    assert settings == [one.setting for one in reasons([outcome], worker, TASK)]


def test_a_default_is_told_from_what_the_app_sets() -> None:
    (own,) = reasons([Outcome("kill-child", "", died=1)], replace(WORKER, given=frozenset({"task_acks_late"})), TASK)
    (default,) = reasons([Outcome("kill-child", "", died=1)], WORKER, TASK)

    assert (True, False) == (own.given, default.given)


def report(*, celeriac: bool = False) -> Report:
    own = (
        Outcome("kill-worker", "kill -9 of a worker", published=100, done=90, lost=2, held=8, cut=2),
        Outcome("kill-child", "kill -9 of a pool child", published=100, done=99, died=1),
    )
    ours = (
        Outcome("kill-worker", "kill -9 of a worker", published=100, done=100, twice=2, cut=2),
        Outcome("kill-child", "kill -9 of a pool child", "no child processes"),
    )
    other = Side(replace(late(WORKER), pool="pool", celeriac=True), TASK, ours, 0.05)
    return Report(
        Call(TASK, "images", ("a.jpg", 80)), "worker", Side(WORKER, TASK, own, 0.05), other if celeriac else None
    )


@pytest.mark.parametrize("celeriac", [False, True])
def test_the_screen_is_80_columns_wide_and_names_setting_and_way_out(celeriac: bool) -> None:
    shown = list(lines(report(celeriac=celeriac), Paint(io.StringIO())))

    assert 80 >= max(len(line) for line in shown if not line.startswith("→"))  # a command is not broken
    text = "\n".join(shown)
    assert "task_acks_late = False" in text
    assert "Celery's default" in text
    assert "an hour" in text
    assert "celeriac.install(app)" in text
    assert ("with celeriac" in text) == celeriac
    assert celeriac or """devctl chaos --task images.resize --args '["a.jpg", 80]' --with-celeriac""" in text


def test_json_fits_its_schema() -> None:
    schema = json.loads((ROOT / "docs/json/chaos-task.schema.json").read_text())

    for one in (report(), report(celeriac=True)):
        written = json.loads(json.dumps(document(one)))
        jsonschema.validate(written, schema)
        assert "devctl.chaos-task/1" == written["schema"]


def test_the_copy_is_watched_and_its_broker_has_a_port_of_its_own(tmp_path: Path) -> None:
    resolved = {
        "name": "shop",
        "services": {
            "queue": {"image": "redis", "container_name": "queue", "ports": [{"target": 6379, "published": "6379"}]},
            "worker": {
                "image": "shop",
                "environment": {"A": "1", "PYTHONPATH": "/srv"},
                "volumes": [{"type": "bind", "source": "/x", "target": "/y"}],
                "deploy": {"replicas": 4, "resources": {"limits": {"cpus": "1"}}},
            },
            "web": {"image": "web", "environment": {}},
        },
    }
    copy = Copy("queue", 6379, 23_456, ("worker",), tmp_path, celeriac=True, images={"worker": "with-celeriac"})

    services = make(resolved, copy)["services"]

    assert [("23456", 6379)] == [(one["published"], one["target"]) for one in services["queue"]["ports"]]
    assert "container_name" not in services["queue"]
    worker = services["worker"]
    assert "/devctl/mounted:/opt/devctl-celeriac:/srv" == worker["environment"]["PYTHONPATH"]
    assert ("1", "1") == (worker["environment"]["A"], worker["environment"]["DEVCTL_CELERIAC"])
    assert ["/y", "/devctl/mounted", "/devctl/ledger"] == [one["target"] for one in worker["volumes"]]
    assert {"resources": {"limits": {"cpus": "1"}}} == worker["deploy"]
    assert "with-celeriac" == worker["image"]
    assert {} == services["web"]["environment"]


def test_the_image_with_celeriac_keeps_its_user_and_is_no_part_of_the_first_copy() -> None:
    text = recipe("shop-worker", "app", ["celery>=5.6,<5.8", 'x; extra == "http"'])

    assert text.startswith("FROM shop-worker\nLABEL com.docker.compose.project=\n")
    assert text.endswith("USER app\n")
    assert "'celery>=5.6,<5.8'" in text


def test_a_row_that_is_none_is_refused_with_those_that_are() -> None:
    assert ["kill-worker", "stop"] == [row.name for row in choose(["stop", "kill-worker"])]
    with pytest.raises(UsageError, match="no row 'flood'"):
        choose(["flood"])


APP = """
from celery import Celery
app = Celery("shop", broker="memory://")

@app.task(name="images.resize", bind=True, max_retries=1)
def resize(self, how):
    if how == "retry" and not self.request.retries:
        raise self.retry(countdown=0)
    if how == "fail":
        raise OSError("no")

for how in ("well", "fail", "retry"):
    resize.apply(args=(how,), task_id=how)
"""


def _python(folder: Path, code: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(MOUNTED), **more}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_what_is_mounted_writes_down_what_an_app_that_knows_nothing_of_it_does(tmp_path: Path) -> None:
    _python(tmp_path, APP, DEVCTL_LEDGER=str(tmp_path))

    ledger = Ledger(tmp_path)
    assert ledger.look()
    assert not ledger.look()
    assert {"well": ["SUCCESS"], "fail": ["FAILURE"]} == {
        name: one.states for name, one in ledger.lives.items() if name != "retry"
    }
    assert not any(one.twice for one in ledger.lives.values())


def test_what_is_mounted_hides_no_sitecustomize_of_theirs_and_imports_no_celery(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import builtins; builtins.theirs = 'loaded'")

    done = _python(
        tmp_path,
        "import sys; print(theirs, 'celery' in sys.modules)",
        DEVCTL_LEDGER=str(tmp_path),
        PYTHONPATH=f"{MOUNTED}:{tmp_path}",
    )

    assert "loaded False" == done.stdout.strip()


@pytest.mark.parametrize("mode", ["", "1"])
def test_the_line_is_in_each_app_where_that_is_asked(tmp_path: Path, mode: str) -> None:
    code = "from celery import Celery; import celeriac; print(hasattr(Celery('a'), 'has_own_settings'))"

    done = _python(tmp_path, code, DEVCTL_LEDGER=str(tmp_path), DEVCTL_CELERIAC=mode)

    assert str(bool(mode)) == done.stdout.strip()


@dataclass
class Puppets:
    """Workers in simulated time: each takes its tasks from the memory broker and writes the ledger."""

    folder: Path
    clock: FakeClock
    acks_late: bool = False
    prefetch: int = 4
    alive: bool = True
    waiting: list[str] = field(default_factory=list)
    held: set[str] = field(default_factory=set)
    running: str = ""
    calls: list[str] = field(default_factory=list)

    def publish(self, messages: Collection[Message]) -> None:
        self.waiting += [one.task_id for one in messages]

    def look(self, task_ids: Collection[str]) -> Remains:
        return Remains(frozenset(self.waiting) & {*task_ids}, frozenset(self.held) & {*task_ids})

    def work(self, count: int = 1) -> None:
        for _ in range(count if self.alive else 0):
            if self.running:
                self.write(what="ended", id=self.running, state="SUCCESS")
            self.running = self.waiting.pop(0) if self.waiting else ""
            if self.running:
                self.write(what="started", id=self.running)

    def write(self, **fields: Any) -> None:
        line = {"at": self.clock.now(), "host": "host-worker-1", "pid": 9, **fields}
        with (self.folder / "host-worker-1-9.jsonl").open("a") as out:
            out.write(json.dumps(line) + "\n")

    def ready(self) -> None:
        tasks = {TASK: {"acks_late": self.acks_late, "reject_on_worker_lost": False}}
        self.write(
            what="ready", settings=dict(WORKER.settings), set=[], tasks=tasks, pool="prefork", concurrency=2,
            celery="5.5.3", transport="redis", celeriac=False,
        )  # fmt: skip

    # As Hands:

    def kill(self, replica: Replica) -> None:
        self.calls.append(f"kill {replica.name}")
        self.running = ""  # acknowledged early, and cut
        self.held |= {self.waiting.pop(0) for _ in range(self.prefetch)}
        self.alive = False

    def kill_process(self, replica: Replica, pid: int) -> None:
        self.calls.append(f"kill {pid} in {replica.name}")

    def stop(self, replica: Replica) -> None:
        self.calls.append(f"stop {replica.name}")
        self.alive = False

    def start(self, replica: Replica) -> None:
        self.calls.append(f"start {replica.name}")
        self.alive = True
        self.ready()

    def freeze(self, replica: Replica) -> None:
        self.calls.append(f"freeze {replica.name}")
        self.alive = False

    def thaw(self, replica: Replica) -> None:
        self.calls.append(f"thaw {replica.name}")
        self.alive = True


class WorkingClock(FakeClock):
    """While somebody waits, the puppets work."""

    puppets: Puppets

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.puppets.work(2)


@pytest.fixture
def puppets(tmp_path: Path) -> Puppets:
    clock = WorkingClock()
    clock.puppets = Puppets(tmp_path, clock)
    return clock.puppets


@pytest.fixture
def field_(puppets: Puppets, tmp_path: Path) -> Field:
    runtime = FakeRuntime(shop(), clock=FakeClock())
    runtime.start("redis", "worker")
    runtime.status()
    puppets.ready()
    made = Field(
        runtime, "worker", "redis", Call(TASK, "images"), puppets.publish, puppets.look, puppets, Ledger(tmp_path),
        puppets.clock, lambda what: None,
    )  # fmt: skip
    made.ledger.look()
    return made


def row(name: str) -> Any:
    return choose([name])[0]


def test_a_kill_of_an_early_acknowledging_worker_loses_what_it_had_begun_and_holds_what_it_had_taken(
    field_: Field, puppets: Puppets
) -> None:
    one = play(row("kill-worker"), field_)

    assert ["kill worker-1", "start worker-1"] == puppets.calls
    assert (1, 4, 0) == (one.lost, one.held, one.queued)
    assert one.published == one.done + 5
    assert ["task_acks_late", "visibility_timeout", "worker_prefetch_multiplier"] == [
        each.setting for each in reasons([one], field_.worker, TASK)
    ]


@pytest.mark.parametrize("name", ["stop", "freeze", "broker-restart", "broker-freeze"])
def test_what_harms_nothing_is_good(field_: Field, puppets: Puppets, name: str) -> None:
    puppets.alive = True

    one = play(row(name), field_)

    assert one.good
    assert one.published == one.done
    assert 2 == len(puppets.calls)


def test_a_worker_that_takes_nothing_any_more_leaves_them_in_the_queue(field_: Field, puppets: Puppets) -> None:
    def deaf(replica: Replica) -> None:
        puppets.alive = False

    puppets.thaw = deaf  # type: ignore[method-assign]  # it comes back, and has lost its consumer

    one = play(row("broker-freeze"), field_)

    assert one.queued > 0
    assert not one.good


def test_a_row_that_does_not_fit_the_pool_says_why(field_: Field) -> None:
    field_.ledger.workers[-1] = replace(field_.worker, pool="threads")

    assert "no child processes" == play(row("kill-child"), field_).why_not


def test_each_row_has_a_name_of_its_own() -> None:
    assert len(ROWS) == len({one.name for one in ROWS})

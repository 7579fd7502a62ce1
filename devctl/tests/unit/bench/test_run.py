"""A whole bench in simulated time: order of the runs, sizes, audit, what is put back, what goes wrong."""

from __future__ import annotations

import gc
import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from devctl.tests.unit.bench.lab import Lab

from devctl.bench import events
from devctl.bench.report import document
from devctl.broker.port import Execution, QueueDepth
from devctl.errors import DevctlError, ServiceCrashed, UsageError, WaitTimeout
from devctl.measurement import mount
from devctl.stack.fake import Behaviour


def test_the_throughput_is_what_the_workers_can_do(tmp_path: Path) -> None:
    report = Lab(tmp_path, seconds_per_task=0.01).bench((1, 2))

    assert [pytest.approx(100, rel=0.02), pytest.approx(200, rel=0.02)] == [
        point.throughput.median for point in report.points
    ]


def test_speed_up_and_efficiency_are_against_the_fewest_workers(tmp_path: Path) -> None:
    report = Lab(tmp_path, most_at_once=2).bench((1, 2, 4))

    assert report.points[0].speed_up is None
    assert [pytest.approx(2, rel=0.02)] * 2 == [p.speed_up.median for p in report.points[1:] if p.speed_up]
    assert [None, pytest.approx(1, rel=0.02), pytest.approx(0.5, rel=0.02)] == [p.efficiency for p in report.points]
    assert [False, False, True] == [point.oversubscribed for point in report.points]


def test_every_round_measures_every_point_and_turns_round(tmp_path: Path) -> None:
    lab = Lab(tmp_path)

    lab.bench((1, 2))

    done = [(event.round, event.workers) for event in lab.of(events.RunDone)]  # type: ignore[attr-defined]
    assert [(1, 1), (1, 2), (2, 2), (2, 1), (3, 1), (3, 2)] == done


def test_a_run_is_sized_by_the_warm_up_to_last_as_long_as_asked(tmp_path: Path) -> None:
    report = Lab(tmp_path, seconds_per_task=0.002).bench((1, 4), run_seconds=1.5)

    assert [pytest.approx(1.5, rel=0.05)] * 2 == [point.runs[0].window.seconds for point in report.points]


def test_a_given_number_of_tasks_is_kept(tmp_path: Path) -> None:
    report = Lab(tmp_path).bench((1, 2), tasks=321)

    assert {321} == {run.tasks for point in report.points for run in point.runs}


def test_without_a_warm_up_the_first_tasks_already_count(tmp_path: Path) -> None:
    lab = Lab(tmp_path)

    lab.bench(tasks=100, warmup_seconds=0)

    assert [] == lab.of(events.WarmingUp)


def test_exactly_the_workers_of_a_point_consume_and_only_after_all_is_published(tmp_path: Path) -> None:
    lab = Lab(tmp_path)

    lab.bench((1, 3))

    consumed = [call for call in lab.broker.calls if call.startswith("consume")]
    assert {"1", "3"} == {call.rpartition(" ")[2] for call in consumed}
    assert all(call.split()[1].startswith("bench.") for call in consumed)


def test_workers_are_scaled_once_to_the_most_and_back_to_what_was_found(tmp_path: Path) -> None:
    lab = Lab(tmp_path, running=2)

    lab.bench((1, 4))

    assert ["start redis", "start worker=4", "start worker=2"] == lab.runtime.calls


def test_a_stack_with_enough_workers_is_left_alone(tmp_path: Path) -> None:
    lab = Lab(tmp_path, running=4)

    lab.bench((1, 2))

    assert [] == lab.runtime.calls


def test_what_was_not_running_is_started_and_all_of_it_stopped(tmp_path: Path) -> None:
    lab = Lab(tmp_path)

    lab.bench((2,))

    assert ["start redis", "start worker=2", "stop"] == lab.runtime.calls
    assert [] == lab.runtime.status()


def test_only_what_was_not_running_is_stopped(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.runtime.start("redis", "service1")
    lab.clock.sleep(1)

    lab.bench((2,))

    assert {"redis", "service1"} == {replica.service for replica in lab.runtime.status()}


def test_nothing_of_a_run_is_left_in_the_broker(tmp_path: Path) -> None:
    lab = Lab(tmp_path)

    lab.bench((1, 2))

    assert {} == lab.broker.published
    assert {} == lab.broker._ledgers


@pytest.mark.parametrize("trouble", ["lost", "doubled"])
def test_lost_and_doubled_tasks_are_found_in_the_run_where_they_happened(tmp_path: Path, trouble: str) -> None:
    report = Lab(tmp_path, **{trouble: {"w2-r2": {3, 5}}}).bench((1, 2))

    assert not report.audit.clean
    assert [True, False] == [point.audit.clean for point in report.points]
    assert 2 == getattr(report.audit, "lost" if trouble == "lost" else "duplicated")
    assert [True, False, True] == [run.audit.clean for run in report.points[1].runs]


def test_one_lost_and_one_doubled_are_both_found_though_the_counts_agree(tmp_path: Path) -> None:
    report = Lab(tmp_path, lost={"w1-r1": {7}}, doubled={"w1-r1": {1}}).bench()

    assert (1, 1) == (report.audit.lost, report.audit.duplicated)


def test_a_doubled_task_does_not_end_the_run_before_the_last_one_is_done(tmp_path: Path) -> None:
    lab = Lab(tmp_path, seconds_per_task=0.5, doubled={"w1-r1": {0, 1}})

    report = lab.bench(tasks=10, warmup_seconds=0.0)

    assert (0, 2) == (report.audit.lost, report.audit.duplicated)


def test_a_run_that_takes_too_long_is_given_up_and_everything_put_back(tmp_path: Path) -> None:
    lab = Lab(tmp_path, seconds_per_task=1.0)

    with pytest.raises(WaitTimeout) as late:
        lab.bench(tasks=100, timeout_seconds=5.0, warmup_seconds=0.0)

    assert "of 100 tasks were done after 5s" in late.value.problem
    assert [] == lab.runtime.status()
    assert {} == lab.broker.published


def test_an_interrupt_in_a_run_puts_everything_back(tmp_path: Path) -> None:
    lab = Lab(tmp_path, running=1)

    def interrupted(event: events.Event) -> None:
        if isinstance(event, events.Draining):
            raise KeyboardInterrupt

    lab.events = type("Listener", (), {"append": staticmethod(interrupted)})()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        lab.bench((3,))

    assert "start worker=1" == lab.runtime.calls[-1]
    assert {} == lab.broker.published
    assert lab.broker.calls[-2].startswith("leave")
    assert lab.broker.calls[-1].startswith("forget")


def test_a_worker_that_crashes_at_start_is_named(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.runtime.behaviours["worker"] = Behaviour(exits_after=0.1, logs=("ConfigError: no",))

    with pytest.raises(ServiceCrashed, match="worker"):
        lab.bench()

    assert [] == lab.runtime.status()


def test_a_worker_that_dies_in_a_run_is_named_and_the_runs_before_are_kept(tmp_path: Path) -> None:
    lab = Lab(tmp_path, running=2, lost={"w2-r2": set(range(500))})
    append = lab.events.append

    def crash(event: events.Event) -> None:
        append(event)
        if isinstance(event, events.Draining) and event.number == 2:
            lab.runtime.restart(["worker"])  # another life than the one that was measured

    lab.events = type("Listener", (), {"append": staticmethod(crash)})()  # type: ignore[assignment]
    with pytest.raises(ServiceCrashed, match="ended during a run"):
        lab.bench((2,), tasks=500)

    assert ["w2-r1.jsonl.gz"] == [path.name for path in lab.store.folder.iterdir()]


def test_other_work_in_the_queues_is_a_reason_to_doubt(tmp_path: Path) -> None:
    report = Lab(tmp_path, other=[QueueDepth("orders", 12, 4)]).bench()

    assert "orders 16" in next(one.message for one in report.cautions if one.code == "other-work")


def test_a_worker_that_is_slower_than_the_others_is_a_reason_to_doubt(tmp_path: Path) -> None:
    lab = Lab(tmp_path, running=2, slower_node="worker@host-worker-2")

    assert "uneven" in {one.code for one in lab.bench((2,)).cautions}


def test_each_run_is_saved_raw_and_the_report_as_it_is_printed(tmp_path: Path) -> None:
    lab = Lab(tmp_path)

    report = lab.bench((1, 2))

    names = {path.name for path in lab.store.folder.iterdir()}
    assert {f"w{w}-r{r}.jsonl.gz" for w in (1, 2) for r in (1, 2, 3)} | {"report.json"} == names
    head, *lines = gzip.decompress((lab.store.folder / "w2-r1.jsonl.gz").read_bytes()).decode().splitlines()
    assert 2 == json.loads(head)["workers"]
    assert json.loads(head)["published"] == len(lines)
    assert document(report) == json.loads((lab.store.folder / "report.json").read_text())


def test_the_executions_of_a_run_are_on_the_disk_and_nowhere_else(tmp_path: Path) -> None:
    def executions() -> int:
        gc.collect()
        return sum(isinstance(one, Execution) for one in gc.get_objects())

    before = executions()
    report = Lab(tmp_path).bench((1, 2))

    assert before == executions()
    assert [3, 3] == [len(point.runs) for point in report.points]


def test_a_large_backlog_is_made_and_published_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("devctl.bench.drain.CHUNK", 100)
    lab, sizes = Lab(tmp_path), []
    publish = lab.broker.publish
    lab.broker.publish = lambda messages: (sizes.append(len(messages)), publish(messages))[1]  # type: ignore[method-assign]  # the test listens

    report = lab.bench(tasks=250, warmup_seconds=0.0)

    assert [100, 100, 50] * 3 == sizes
    assert report.audit.clean


def test_a_service_that_does_not_run_the_task_is_told_at_once(tmp_path: Path) -> None:
    lab = Lab(tmp_path, running=1)
    lab.broker.consumers = lambda **_: []  # type: ignore[method-assign]

    with pytest.raises(WaitTimeout, match="0 of 1 workers answer"):
        lab.bench()


def test_an_unknown_service_is_a_usage_error_and_an_alias_is_not(tmp_path: Path) -> None:
    lab = Lab(tmp_path, running=1)

    with pytest.raises(UsageError):
        lab.bench(service="wrker")
    assert 1 == len(lab.bench(service="work").points)


@pytest.mark.parametrize("running", [0, 1])
def test_workers_without_the_workbench_are_not_measured(tmp_path: Path, running: int) -> None:
    lab = Lab(tmp_path, running=running, mounted=False)

    with pytest.raises(DevctlError, match="worker cannot be measured: it was started without") as told:
        lab.bench((2,))
    assert "devctl up worker " in told.value.hint
    assert running == sum(one.service == "worker" for one in lab.runtime.status())


def test_a_compose_file_that_does_not_pass_the_setting_on_is_named(tmp_path: Path) -> None:
    lab = Lab(tmp_path, mounted=False)
    worker = lab.runtime.stack.services["worker"]
    lab.runtime.stack.services["worker"] = replace(worker, environment={})  # type: ignore[index]  # a mapping for its readers

    with pytest.raises(DevctlError, match="the Compose file does not pass WORKER_MOUNT on to it") as told:
        lab.bench()
    assert "environment: {WORKER_MOUNT: ${WORKER_MOUNT:-}}" in told.value.hint


@pytest.mark.parametrize(
    ("given", "mounted"),
    [
        ("", "celeriac.workbench"),
        ("ours.mounts", "ours.mounts,celeriac.workbench"),
        ("celeriac.workbench, ours.mounts", "celeriac.workbench,ours.mounts"),
    ],
)
def test_what_the_user_mounts_stays_mounted(given: str, mounted: str) -> None:
    assert mounted == mount.value({"WORKER_MOUNT": given})


def oversubscribed(lab: Lab, workers: tuple[int, ...]) -> list[bool]:
    return [point.oversubscribed for point in lab.bench(workers, task="cpu:10").points]


def set_up(lab: Lab, **settings: str) -> None:
    worker = lab.runtime.stack.services["worker"]
    changed = replace(worker, environment={**worker.environment, **settings})
    lab.runtime.stack.services["worker"] = changed  # type: ignore[index]  # a mapping for its readers


def test_a_worker_that_runs_four_tasks_at_a_time_counts_as_four(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    set_up(lab, WORKER_CONCURRENCY="4")

    report = lab.bench((1, 2), task="cpu:10")

    assert [True, True] == [point.oversubscribed for point in report.points]
    (said, _) = [one.message for one in report.cautions if one.code == "oversubscribed"]
    assert "oversubscribed: 1 workers with 4 tasks at a time, 2 CPUs" == said
    assert [4, 8] == [point.room.workers for point in report.points]


@pytest.mark.parametrize(("pool", "room"), [("prefork", 3.0), ("threads", 1.0), ("solo", 1.0)])
def test_processes_use_a_cpu_each_and_threads_share_one(tmp_path: Path, pool: str, room: float) -> None:
    lab = Lab(tmp_path)
    set_up(lab, WORKER_CONCURRENCY="3", WORKER_POOL=pool)

    assert room == lab.bench((1,)).points[0].room.workers


def test_the_quota_of_a_container_is_what_its_worker_can_use(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    lab.meter.quotas = {"worker": 0.5, "redis": 0.25}
    lab.machine = replace(lab.machine, cpus=4)

    report = lab.bench((1, 2))

    assert [(0.5, 0.25), (1.0, 0.25)] == [(point.room.workers, point.room.broker) for point in report.points]
    assert "broker" == report.points[0].limit, "0.3 of 0.25"
    environment = document(report)["environment"]
    assert (0.5, 0.25) == (environment["workers"]["cpu_quota"], environment["broker_cpu_quota"])


def test_the_quota_of_this_machine_is_what_there_is(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    assert [False, False, True] == oversubscribed(lab, (1, 2, 3))
    lab = Lab(tmp_path / "with-a-quota")
    lab.machine = replace(lab.machine, cpu_quota=1.5)
    assert [False, True, True] == oversubscribed(lab, (1, 2, 3))


def test_a_task_that_always_fails_is_told_after_the_warm_up(tmp_path: Path) -> None:
    lab = Lab(tmp_path, running=1, lost={"warm1": set(range(10_000))})

    with pytest.raises(DevctlError, match="none of"):
        lab.bench()

"""The steps of a start, on the shipped fake and a clock that never waits."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from devctl.errors import CRASHED, TIMED_OUT, DevctlError, UsageError
from devctl.stack.fake import Behaviour, FakeRuntime
from devctl.stack.model import Build, HealthCheck, Port, Service, Stack
from devctl.stack.port import BuildProgress, Replica
from devctl.stack.report import Building, Event, Step, failure
from devctl.stack.start import patience, restart, start

CHECK = HealthCheck(("CMD", "true"))
HEALTHY = {"redis": "service_healthy"}


def service(name: str, **fields: object) -> Service:
    return Service(**{"name": name, "healthcheck": CHECK, "restart": "unless-stopped", **fields})  # type: ignore[arg-type]


def stack(*services: Service) -> Stack:
    return Stack("shop", {s.name: s for s in services}, "redis", ("worker",), {"api": "service1"}, "shop")


REDIS = service("redis", ports=(Port(6379, 6379),))
WORKER = service("worker", depends_on=HEALTHY, build=Build(Path("worker")))
SERVICE1 = service("service1", depends_on=HEALTHY, ports=(Port(8001, 8001),), build=Build(Path("service1")))


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime(stack(REDIS, WORKER, SERVICE1))


def test_a_service_brings_its_dependencies_first_and_nothing_else(runtime: FakeRuntime) -> None:
    report = start(runtime, ["service1"], clock=runtime.clock)

    assert ["start redis", "start service1"] == runtime.calls
    assert ["redis", "service1"] == [s.service for s in report.services]
    assert ["ready", "ready"] == [s.phase for s in report.services]


def test_no_names_start_the_whole_stack_level_by_level(runtime: FakeRuntime) -> None:
    start(runtime, [], clock=runtime.clock)

    assert ["start redis", "start worker", "start service1"] == runtime.calls


def test_the_report_says_what_a_service_waited_for_and_what_was_its_own(runtime: FakeRuntime) -> None:
    runtime.behaviours = {"redis": Behaviour(healthy_after=0.4), "service1": Behaviour(healthy_after=0.9)}

    service1 = start(runtime, ["service1"], clock=runtime.clock).services[1]

    assert pytest.approx(0.4, abs=0.11) == service1.waited["redis"]
    assert pytest.approx(0.9, abs=0.11) == service1.own_seconds
    assert pytest.approx(service1.waited["redis"] + service1.own_seconds, abs=0.11) == service1.seconds


def test_each_change_is_told_once(runtime: FakeRuntime) -> None:
    events: list[Event] = []

    start(runtime, ["service1"], emit=events.append, clock=runtime.clock)

    steps = [(e.service, e.phase, e.detail) for e in events if isinstance(e, Step)]
    assert [
        ("redis", "starting", ""),
        ("service1", "waiting", "for redis"),
        ("redis", "ready", ""),
        ("service1", "starting", ""),
        ("service1", "ready", ""),
    ] == steps


def test_what_a_health_check_says_is_shown_when_a_start_takes_unusually_long(runtime: FakeRuntime) -> None:
    runtime.behaviours = {"redis": Behaviour(healthy_after=8, health_output="the file is not there")}
    events: list[Event] = []

    start(runtime, ["redis"], emit=events.append, clock=runtime.clock)

    steps = [(e.phase, e.detail, e.seconds >= 5) for e in events if isinstance(e, Step)]
    assert [
        ("starting", "", False),
        ("starting", "the file is not there", True),
        ("ready", "", True),
    ] == steps


def test_starting_twice_is_harmless_and_says_so(runtime: FakeRuntime) -> None:
    start(runtime, [], clock=runtime.clock)
    before = runtime.status()

    report = start(runtime, [], clock=runtime.clock)

    assert before == runtime.status()
    assert all(s.was_running for s in report.services)
    assert report.seconds == 0


@pytest.mark.parametrize("code", [0, 1])
@pytest.mark.parametrize("policy", ["no", "unless-stopped"])
def test_a_service_that_exits_or_restarts_has_crashed_whatever_its_exit_code(code: int, policy: str) -> None:
    runtime = FakeRuntime(
        stack(REDIS, dataclasses.replace(WORKER, restart=policy)),
        {"worker": Behaviour(exits_after=0.2, exit_code=code, logs=("ConfigError: WORKER_CONCURRENCY=abc",))},
    )

    report = start(runtime, [], clock=runtime.clock)

    failed = report.failure
    assert failed is not None
    assert ("worker", "crashed") == (failed.service, failed.phase)
    assert f"exit {code}" in failed.detail
    problem = failure(report)
    assert problem is not None
    assert problem.exit_code == CRASHED
    assert "│ ConfigError: WORKER_CONCURRENCY=abc" in problem.details
    assert "devctl up worker" in problem.hint


def test_a_restart_that_was_missed_between_two_polls_is_still_a_crash(runtime: FakeRuntime) -> None:
    runtime.behaviours = {"worker": Behaviour(exits_after=0.07, back_off=0, healthy_after=None)}
    runtime.start("redis")
    runtime.clock.sleep(1)

    report = start(runtime, ["worker"], clock=runtime.clock)

    assert report.failure is not None
    assert ("worker", "exited, 2 starts") == (report.failure.service, report.failure.detail)


def test_restarts_of_an_earlier_day_are_no_crash(runtime: FakeRuntime) -> None:
    runtime.behaviours = {"worker": Behaviour(exits_after=100, healthy_after=0.1)}
    runtime.start("redis", "worker")
    runtime.clock.sleep(102)  # it restarted once, and is ready again

    report = start(runtime, ["worker"], clock=runtime.clock)

    assert report.failure is None


def test_only_the_last_twenty_lines_are_reported(runtime: FakeRuntime) -> None:
    runtime.behaviours = {"redis": Behaviour(exits_after=0, logs=tuple(f"line {n}" for n in range(50)))}

    report = start(runtime, ["redis"], clock=runtime.clock)

    assert report.failure is not None
    assert tuple(f"line {n}" for n in range(30, 50)) == report.failure.log


def test_one_that_never_gets_healthy_is_given_up_with_what_its_check_says(runtime: FakeRuntime) -> None:
    runtime.behaviours = {"redis": Behaviour(healthy_after=None, health_output="Could not connect\nrefused")}

    report = start(runtime, ["service1"], timeout=7, clock=runtime.clock)

    assert pytest.approx(7, abs=0.2) == report.seconds
    assert ["timed out", "waiting"] == [s.phase for s in report.services]
    problem = failure(report)
    assert problem is not None
    assert problem.exit_code == TIMED_OUT
    assert "redis is not ready after 7s: refused" == problem.problem
    assert "its health check says: Could not connect" in problem.details
    assert "not started, as it waits: service1" in problem.details
    assert "--timeout 14" in problem.hint


def test_a_crash_ends_the_waiting_at_once(runtime: FakeRuntime) -> None:
    runtime.behaviours = {"worker": Behaviour(exits_after=0.3), "service1": Behaviour(healthy_after=50)}

    report = start(runtime, [], clock=runtime.clock)

    assert report.seconds < 2
    assert report.failure is not None
    assert report.failure.service == "worker"


def test_a_dependency_that_dies_while_another_starts_is_noticed(runtime: FakeRuntime) -> None:
    runtime.behaviours = {"redis": Behaviour(healthy_after=0.1, exits_after=2), "worker": Behaviour(healthy_after=30)}

    report = start(runtime, ["worker"], clock=runtime.clock)

    assert report.failure is not None
    assert report.failure.service == "redis"


def test_a_one_shot_that_is_awaited_may_exit_0() -> None:
    migrate = service("migrate", healthcheck=None, restart="no")
    web = service("web", depends_on={"migrate": "service_completed_successfully"})
    runtime = FakeRuntime(stack(migrate, web), {"migrate": Behaviour(exits_after=1, exit_code=0)})

    report = start(runtime, ["web"], clock=runtime.clock)

    assert ["finished", "ready"] == [s.phase for s in report.services]
    assert pytest.approx(1, abs=0.11) == report.services[1].waited["migrate"]


def test_a_one_shot_that_fails_stops_the_start() -> None:
    migrate = service("migrate", healthcheck=None, restart="no")
    web = service("web", depends_on={"migrate": "service_completed_successfully"})
    runtime = FakeRuntime(stack(migrate, web), {"migrate": Behaviour(exits_after=1, exit_code=3)})

    report = start(runtime, ["web"], clock=runtime.clock)

    assert ["start migrate"] == runtime.calls
    assert ["crashed", "waiting"] == [s.phase for s in report.services]


def test_without_a_health_check_a_service_must_run_for_a_second() -> None:
    runtime = FakeRuntime(stack(service("plain", healthcheck=None)))

    report = start(runtime, [], clock=runtime.clock)

    assert pytest.approx(1, abs=0.11) == report.seconds


def test_service_started_does_not_wait_for_health() -> None:
    runtime = FakeRuntime(
        stack(REDIS, service("web", depends_on={"redis": "service_started"})), {"redis": Behaviour(healthy_after=5)}
    )

    report = start(runtime, ["web"], clock=runtime.clock)

    assert report.services[1].seconds < 1
    assert report.services[0].phase == "ready"


def test_a_scaled_service_is_ready_when_all_its_replicas_are(runtime: FakeRuntime) -> None:
    report = start(runtime, ["worker"], scale={"worker": 4}, clock=runtime.clock)

    assert "start worker=4" in runtime.calls
    assert 4 == len(report.services[1].replicas)
    assert "4 replicas" == report.services[1].detail


def test_a_start_without_scale_keeps_the_replicas_that_run(runtime: FakeRuntime) -> None:
    start(runtime, ["worker"], scale={"worker": 3}, clock=runtime.clock)

    report = start(runtime, ["worker"], clock=runtime.clock)

    assert 3 == len(report.services[1].replicas)


def test_a_service_with_a_fixed_port_cannot_be_scaled(runtime: FakeRuntime) -> None:
    with pytest.raises(UsageError, match="service1 cannot have 2 replicas: it publishes the fixed port 8001"):
        start(runtime, ["service1"], scale={"service1": 2}, clock=runtime.clock)
    assert [] == runtime.calls


def test_a_scale_of_something_else_is_refused(runtime: FakeRuntime) -> None:
    with pytest.raises(UsageError, match="worker is not among the services to start"):
        start(runtime, ["service1"], scale={"worker": 2}, clock=runtime.clock)


def test_what_is_missing_is_built_before_anything_starts(runtime: FakeRuntime) -> None:
    runtime.behaviours = {"worker": Behaviour(image_missing=True)}
    events: list[Event] = []

    report = start(runtime, [], emit=events.append, clock=runtime.clock)

    assert "build worker" == runtime.calls[0]
    assert ("worker",) == report.built
    assert [Building(("worker",)), BuildProgress("worker", "RUN the build")] == events[:2]


def test_build_true_builds_all_that_can_be_built(runtime: FakeRuntime) -> None:
    start(runtime, [], build=True, clock=runtime.clock)

    assert "build worker service1" == runtime.calls[0]


def test_build_false_still_pulls_what_cannot_be_built(runtime: FakeRuntime) -> None:
    runtime.behaviours = {"worker": Behaviour(image_missing=True), "redis": Behaviour(image_missing=True)}

    start(runtime, [], build=False, clock=runtime.clock)

    assert "build redis" == runtime.calls[0]


def test_a_refused_start_is_the_runtimes_own_error(runtime: FakeRuntime) -> None:
    runtime.behaviours = {"service1": Behaviour(refuses=DevctlError("port 8001 is held by python (pid 4121)"))}

    with pytest.raises(DevctlError, match="port 8001 is held by python"):
        start(runtime, ["service1"], clock=runtime.clock)


def test_a_restart_waits_until_the_service_is_ready_again(runtime: FakeRuntime) -> None:
    start(runtime, [], clock=runtime.clock)
    runtime.clock.sleep(60)

    report = restart(runtime, ["worker"], clock=runtime.clock)

    assert "restart worker" == runtime.calls[-1]
    assert ["worker"] == [s.service for s in report.services]
    assert pytest.approx(0.5, abs=0.11) == report.seconds


def of_workers(worker: Service, **fields: object) -> Stack:
    return dataclasses.replace(stack(REDIS, worker), **fields)  # type: ignore[arg-type]  # fields of Stack


PLAIN = dataclasses.replace(WORKER, healthcheck=None)
CONNECTED = "[2026-11-29 10:00:00,000: INFO/MainProcess] Connected to redis://redis:6379/0"
READY = "[2026-11-29 10:00:01,000: INFO/MainProcess] celery@31e0c5 ready."
REFUSED = (
    (
        "[2026-11-29 10:00:00,000: ERROR/MainProcess] consumer: Cannot connect to redis://redis:6379/0: Error 111 "
        "connecting to redis:6379. Connection refused.."
    ),
    "Trying again in 2.00 seconds... (1/100)",
)


def test_a_worker_without_a_health_check_is_ready_when_it_says_so() -> None:
    runtime = FakeRuntime(of_workers(PLAIN), {"worker": Behaviour(logs=(CONNECTED, READY))})

    report = start(runtime, ["worker"], clock=runtime.clock)

    assert ("ready", "said that it is ready") == (report.services[1].phase, report.services[1].detail)
    assert report.services[1].own_seconds < 1


def test_a_worker_that_tells_what_it_does_is_waited_for_until_it_says_that_it_is_ready() -> None:
    runtime = FakeRuntime(of_workers(PLAIN), {"worker": Behaviour(logs=(CONNECTED,))})

    report = start(runtime, ["worker"], timeout=20, clock=runtime.clock)

    assert ("timed out", "not ready after 20s: nothing shows that it is") == (
        report.services[1].phase,
        report.services[1].detail,
    )


def test_a_worker_that_says_nothing_is_ready_when_it_answers() -> None:
    runtime = FakeRuntime(of_workers(PLAIN))

    report = start(runtime, ["worker"], ask=lambda: ["worker-1@here"], clock=runtime.clock)

    assert ("ready", "answers") == (report.services[1].phase, report.services[1].detail)
    assert 1 < report.services[1].own_seconds < 3


def test_a_worker_that_nobody_hears_is_ready_after_seconds_and_that_is_said() -> None:
    def nobody() -> list[str]:
        raise DevctlError("no port of the broker is published")

    runtime = FakeRuntime(of_workers(PLAIN))

    report = start(runtime, ["worker"], ask=nobody, clock=runtime.clock)

    assert "it runs, and nothing shows that it is ready" == report.services[1].detail
    assert 20 <= report.services[1].own_seconds < 21
    runtime.clock.sleep(5)
    again = start(runtime, ["worker"], clock=runtime.clock)
    assert (True, 0) == (again.services[1].was_running, again.seconds)


def test_a_worker_that_shows_its_banner_and_only_warns_is_given_seconds_from_there() -> None:
    runtime = FakeRuntime(
        of_workers(PLAIN), {"worker": Behaviour(logs=("- *** --- * --- ", " -------------- [queues]"))}
    )

    report = start(runtime, ["worker"], clock=runtime.clock)

    assert "it runs, and nothing shows that it is ready" == report.services[1].detail
    assert 4 <= report.services[1].own_seconds < 5


def test_a_worker_that_is_to_say_when_it_is_ready_is_given_longer_than_its_banner() -> None:
    class Slow(FakeRuntime):
        def status(self) -> list[Replica]:
            if self.clock.now() - begun >= 12:
                self.say("worker", READY)
            return super().status()

    banner = Behaviour(logs=(" -------------- [queues]",))
    telling = of_workers(PLAIN, telling=("worker",))

    runtime = Slow(telling, {"worker": banner})
    begun = runtime.clock.now()

    report = start(runtime, ["worker"], clock=runtime.clock)

    assert ("ready", "said that it is ready") == (report.services[1].phase, report.services[1].detail)


def test_a_worker_that_was_to_say_when_it_is_ready_and_does_not_is_ready_after_half_a_minute() -> None:
    runtime = FakeRuntime(of_workers(PLAIN, telling=("worker",)))

    report = start(runtime, ["worker"], clock=runtime.clock)

    assert "it runs, and nothing shows that it is ready" == report.services[1].detail
    assert 30 <= report.services[1].own_seconds < 31


def test_a_worker_without_a_connection_to_its_broker_is_not_ready() -> None:
    class Refused(FakeRuntime):
        said = 0.0

        def status(self) -> list[Replica]:
            if self.clock.now() >= self.said and any(r.service == "worker" for r in super().status()):
                for line in REFUSED:
                    self.say("worker", line)
                self.said = self.clock.now() + 2
            return super().status()

    runtime = Refused(of_workers(PLAIN))

    report = start(runtime, ["worker"], timeout=20, clock=runtime.clock)

    assert report.failure is not None
    assert "timed out" == report.failure.phase
    assert "not ready after 20s: Cannot connect to redis://redis:6379/0: Error 111" in report.failure.detail


def test_a_worker_that_dies_silently_is_a_failure_with_the_end_of_its_own_log_file() -> None:
    class Writes(FakeRuntime):
        def start(self, *services: str, replicas: int | None = None) -> None:
            super().start(*services, replicas=replicas)
            self.files["worker-1", "/var/log/celery.log"] = ("of yesterday", "starting", "KeyError: 'DATABASE_URL'")

    runtime = Writes(
        of_workers(dataclasses.replace(PLAIN, restart="no"), logfiles={"worker": "/var/log/%n.log"}),
        {"worker": Behaviour(exits_after=0.5, exit_code=0)},
    )
    runtime.files["worker-1", "/var/log/celery.log"] = ("of yesterday",)

    report = start(runtime, ["worker"], clock=runtime.clock)

    problem = failure(report)
    assert problem is not None
    assert problem.problem.startswith("worker crashed after 0.")
    assert problem.problem.endswith("exit 0, though it was to go on")
    said = ["worker wrote nothing into its log", "it logs to /var/log/celery.log, and that ends so:"]
    assert [*said, "│ starting", "│ KeyError: 'DATABASE_URL'"] == list(problem.details)[:4]


def test_a_job_that_nobody_waits_for_is_done_with_exit_0() -> None:
    migrate = service("migrate", healthcheck=None, restart="no")
    runtime = FakeRuntime(stack(REDIS, migrate), {"migrate": Behaviour(exits_after=0.5, exit_code=0)})

    report = start(runtime, [], clock=runtime.clock)

    assert ["ready", "finished"] == [one.phase for one in report.services]


@pytest.mark.parametrize("role", ["it publishes a port", "it has a role that lasts"])
def test_a_service_that_is_no_job_fails_with_exit_0(role: str) -> None:
    web = service("web", healthcheck=None, restart="no")
    if role == "it publishes a port":
        fake = stack(REDIS, dataclasses.replace(web, ports=(Port(80, 8000),)))
    else:
        fake = dataclasses.replace(stack(REDIS, web), lasting=("web",))
    runtime = FakeRuntime(fake, {"web": Behaviour(exits_after=0.5, exit_code=0)})

    report = start(runtime, [], clock=runtime.clock)

    assert ["ready", "crashed"] == [one.phase for one in report.services]


def test_no_replicas_in_the_file_start_none_and_that_is_said_at_once() -> None:
    runtime = FakeRuntime(stack(REDIS, dataclasses.replace(WORKER, replicas=0)))

    report = start(runtime, ["worker"], clock=runtime.clock)

    assert ("ready", ()) == (report.services[1].phase, report.services[1].replicas)
    assert "none: the Compose file says 0; devctl scale worker=1" == report.services[1].detail
    assert report.seconds < 1


def test_a_container_with_a_name_of_its_own_cannot_be_scaled() -> None:
    named = stack(REDIS, dataclasses.replace(WORKER, container_name="the-worker"))
    runtime = FakeRuntime(named)

    with pytest.raises(UsageError, match="worker cannot have 2 replicas: container_name") as refused:
        start(runtime, ["worker"], scale={"worker": 2}, clock=runtime.clock)

    assert "devctl up worker --isolated --scale worker=2" in refused.value.hint
    dataclasses.replace(named, isolated=True).check_scale("worker", 2)


def test_a_worker_is_heard_in_its_own_log_file_too_and_not_what_it_said_before() -> None:
    runtime = FakeRuntime(of_workers(PLAIN, logfiles={"worker": "/logs/celery.log"}))
    runtime.files["worker-1", "/logs/celery.log"] = (READY, "celery@31e0c5: Warm shutdown")

    class Later(FakeRuntime):
        def tail(self, replica: str, path: str, lines: int) -> tuple[str, ...]:
            up = [r for r in self.status() if r.service == "worker" and self.clock.now() - (r.started_at or 0) > 3]
            found = super().tail(replica, path, 400) + (("celery@31e0c5 ready.",) if up else ())
            return found[-lines:]

    runtime.__class__ = Later

    report = start(runtime, ["worker"], clock=runtime.clock)

    assert "said that it is ready" == report.services[1].detail
    assert 3 < report.services[1].own_seconds < 4


def test_a_health_check_each_half_minute_is_waited_for_and_those_before_it_too() -> None:
    slow = HealthCheck(("CMD", "true"), interval=30)
    quick = HealthCheck(("CMD", "true"), interval=30, start_period=10, start_interval=0.5)
    redis, worker = dataclasses.replace(REDIS, healthcheck=slow), dataclasses.replace(WORKER, healthcheck=slow)

    assert 120 == patience(stack(redis, worker), ["worker"])
    assert 90 == patience(stack(redis, worker), ["redis"])
    assert 60 == patience(stack(dataclasses.replace(redis, healthcheck=quick), PLAIN), ["worker"])

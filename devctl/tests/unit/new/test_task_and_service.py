"""devctl new task, devctl new service: what they write, and that they write it once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from devctl import settings
from devctl.stack import file


def only_added(before: str, after: str) -> bool:
    """Whether every line is still there, in its order."""
    left = iter(after.splitlines())
    return all(line in left for line in before.splitlines())


def test_a_task_is_two_models_a_contract_and_its_snapshot(repository: Any) -> None:
    repository.new("task", "send_mail", "--queue", "lettershop")

    assert "class SendMailPayload(TaskPayload):\n    text: str\n" in repository.read(
        "contracts/src/our_tasks/schemas.py"
    )
    tasks = repository.read("contracts/src/our_tasks/tasks.py")
    assert "CONTRACTS: tuple[Contract[Any, Any], ...] = (weigh, send_mail)\n" in tasks
    assert 'name="tasks.send_mail",\n    queue="lettershop",\n' in tasks
    assert '"queue": "lettershop"' in repository.read("contracts/schemas/tasks.send_mail.json")
    assert only_added(
        repository.files["contracts/src/our_tasks/schemas.py"], repository.read("contracts/src/our_tasks/schemas.py")
    )
    repository.check_style()


def test_in_a_service_it_has_its_body_and_a_test(repository: Any) -> None:
    repository.new("task", "tasks.send_mail", "--queue", "lettershop", "--in", "worker")

    handlers = repository.read("worker/src/worker_app/handlers.py")
    assert "@implements(send_mail)\ndef handle_send_mail(payload: SendMailPayload) -> SendMailResult:\n" in handlers
    assert only_added(repository.files["worker/src/worker_app/handlers.py"].partition("weigh)\n")[2], handlers)
    assert "owns=[handle_weigh, handle_send_mail])" in repository.read("worker/src/worker_app/main.py")
    assert "from worker_app.handlers import handle_send_mail" in repository.read("worker/tests/test_send_mail.py")
    compose = repository.read("docker-compose.yml")
    assert only_added(repository.files["docker-compose.yml"], compose)
    environment = yaml.safe_load(compose)["services"]["worker"]["environment"]
    assert "${RETRY_TASKS_SEND_MAIL:-}" == environment["RETRY_TASKS_SEND_MAIL"]
    assert "RETRY_TASKS_SEND_MAIL=\n" in repository.read(".env.example")
    repository.check_style()


def test_the_longest_name_still_makes_lines_that_fit(repository: Any) -> None:
    name = "w" * 36
    repository.new("task", name, "--queue", "lettershop", "--in", "worker")
    repository.new("service", "counter", "--http")
    repository.new("endpoint", "/api/a-very-long-path/of-many-words", "--in", "counter", "--publishes", name)
    repository.check_style()


def test_its_own_test_passes(repository: Any) -> None:
    repository.new("task", "send_mail", "--queue", "lettershop")
    repository.new("service", "lettershop", "--consumes", "send_mail")
    repository.new("service", "weighing", "--consumes", "send_mail", code=2)
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", "lettershop/tests"]
    paths = [str(repository.root / name / "src") for name in ("contracts", "lettershop")]
    done = subprocess.run(
        run, env={"PYTHONPATH": ":".join(paths)}, cwd=repository.root, capture_output=True, text=True, check=False
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_its_code_is_watched_where_the_others_are(repository: Any) -> None:
    repository.new("task", "send_mail", "--queue", "lettershop")
    repository.new("service", "lettershop", "--consumes", "send_mail")
    service = yaml.safe_load(repository.read("docker-compose.yml"))["services"]["lettershop"]

    paths = [(one["path"], one.get("target")) for one in service["develop"]["watch"]]
    own = [("./lettershop/src", "/app"), ("./contracts/src", "/app")]
    assert [*own, ("./celeriac/src", None), ("./lettershop/requirements.lock", None)] == paths


def test_a_consumer_is_at_most_six_files_and_120_lines_beside_its_lock(repository: Any) -> None:
    repository.new("task", "send_mail", "--queue", "lettershop")
    written = repository.document("service", "lettershop", "--consumes", "send_mail")["files"]

    of_it = [one for one in written if not one["path"].endswith(".lock")]
    assert 6 >= len([one for one in of_it if one["new"]])
    assert 120 >= sum(one["added"] for one in of_it)
    assert 0 == sum(one["removed"] for one in of_it)
    assert repository.files["worker/requirements.lock"] == repository.read("lettershop/requirements.lock")
    repository.check_style()


@pytest.mark.parametrize(
    ("arguments", "port"),
    [(("--consumes", "send_mail"), 0), (("--consumes", "send_mail", "--http"), 8001), (("--http",), 8001)],
)
def test_a_service_is_in_the_compose_file_that_devctl_reads(
    repository: Any, arguments: tuple[str, ...], port: int
) -> None:
    repository.new("task", "send_mail", "--queue", "lettershop")
    repository.new("service", "night-mails", *arguments)

    compose = repository.read("docker-compose.yml")
    assert only_added(repository.files["docker-compose.yml"], compose)
    assert compose.endswith("\n\n# What is kept.\nvolumes:\n  redis-data:\n")
    assert 1 == compose.count("# What is kept.\nvolumes:"), "a comment stays with what it is about"
    stack = file.read(settings.load(start=repository.root, environ={}, runtime="auto", stack=""))
    made = stack.services["night-mails"]
    assert ("python", "-m", "night_mails.main") == made.command
    assert "our/night-mails:dev" == made.image
    assert made.build is not None
    assert ("../Dockerfile", "night_mails") == (made.build.dockerfile, made.build.args["SERVICE"])
    assert ([port] if port else []) == [one.published for one in made.ports]
    assert ("NIGHT_MAILS_PORT=8001\n" in repository.read(".env.example")) == bool(port)
    assert ("RETRY_TASKS_SEND_MAIL" in made.environment) == ("--consumes" in arguments)
    assert made.healthcheck is not None
    assert (f"http://127.0.0.1:{port}/ready" if port else "/tmp/worker-health") == made.healthcheck.test[-1]
    repository.check_style()


COMMANDS = (
    ("task", "send_mail", "--queue", "lettershop"),
    ("service", "lettershop", "--consumes", "send_mail"),
    ("task", "refund", "--queue", "refunds", "--in", "worker"),
    ("service", "counter", "--http"),
    ("endpoint", "/api/parcels", "--in", "counter", "--publishes", "weigh"),
)


def test_the_same_again_changes_nothing_and_says_so(repository: Any) -> None:
    for command in COMMANDS:
        repository.new(*command)
    before = repository.state()
    for command in COMMANDS:
        assert "nothing to do: all of it is there already\n" == repository.new(*command)
        assert [] == repository.document(*command)["files"]
    assert before == repository.state()
    repository.check_style()


def test_a_dry_run_writes_nothing_and_its_diff_is_what_would_be_written(repository: Any) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=repository.root, check=True)
    for command in COMMANDS:
        before = repository.state()
        diff = repository.new(*command, "--dry-run")
        assert before == repository.state()
        subprocess.run(["git", "apply", "-"], input=diff, text=True, cwd=repository.root, check=True)
        applied = repository.state()
        assert "nothing to do" in repository.new(*command)
        assert applied == repository.state()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("task", "SendMail", "--queue", "lettershop"), "'SendMail' cannot be the name of a task"),
        (("task", "x" * 37, "--queue", "lettershop"), "is longer than 36 characters"),
        (("task", "class", "--queue", "lettershop"), "'class' cannot be the name of a task"),
        (("task", "send_mail", "--queue", "my lettershop"), "'my lettershop' cannot be the name of a queue"),
        (("task", "weigh", "--queue", "others"), "its queue is parcels, not others"),
        (("task", "measure", "--queue", "parcels"), "the queue parcels is worker's"),
        (("task", "parcel", "--queue", "others"), "has a ParcelPayload already"),
        (("task", "send_mail", "--queue", "lettershop", "--in", "wroker"), "did you mean worker?"),
        (("service", "lettershop"), "what does the service do?"),
        (("service", "email", "--http"), "Python has a module email already"),
        (("service", "lab", "--http"), "Python has a module lab already"),
        (("service", "contracts", "--http"), "there is a folder contracts already"),
        (("service", "lettershop", "--consumes", "send_mail"), "there is no task send_mail"),
        (("service", "lettershop", "--consumes", "weigh"), "weigh has its body in worker already"),
        (("service", "worker", "--http"), "worker is there already, and publishes no port"),
        (("endpoint", "parcels", "--in", "worker", "--publishes", "weigh"), "'parcels' cannot be the path"),
        (("endpoint", "/parcels", "--in", "worker", "--publishes", "weigh"), "worker has no HTTP API"),
    ],
)
def test_what_cannot_be_done_is_told_and_nothing_is_written(
    repository: Any, arguments: tuple[str, ...], told: str
) -> None:
    before = repository.state()
    assert told in repository.new(*arguments, code=2)
    assert before == repository.state()


def test_contracts_that_cannot_be_imported_are_told_and_nothing_is_written(repository: Any) -> None:
    with (repository.root / "contracts/src/our_tasks/tasks.py").open("a") as tasks:
        tasks.write("import nothing_like_this\n")
    before = repository.state()
    said = repository.new("task", "send_mail", "--queue", "lettershop", code=1)
    assert "the contracts could not be imported with send_mail in them; nothing was written" in said
    assert "No module named 'nothing_like_this'" in said
    assert before == repository.state()


def test_another_kind_of_repository_is_told(repository: Any) -> None:
    (repository.root / "contracts/src/our_tasks/schemas.py").unlink()
    assert "the contracts of this repository lie elsewhere" in repository.new("task", "a", "--queue", "b", code=1)
    (repository.root / "contracts").rename(repository.root / "elsewhere/")
    (repository.root / "elsewhere/src").rename(repository.root / "elsewhere/code")
    assert "no folder of" in repository.new("task", "a", "--queue", "b", code=1)


def test_a_compose_file_without_the_anchors_is_told(repository: Any) -> None:
    text = repository.read("docker-compose.yml").replace("&probe", "&check")
    (repository.root / "docker-compose.yml").write_text(text)
    said = repository.new("service", "counter", "--http", code=1)
    assert "docker-compose.yml has no anchor &probe" in said
    assert "copy the block of a service there and call it counter" in said


def test_without_a_lock_to_copy_make_lock_is_the_next_command(repository: Any) -> None:
    assert "make lock" in repository.new("service", "counter", "--http")
    assert not (repository.root / "counter/requirements.lock").exists()


def test_a_body_of_a_contract_that_was_there_says_that_it_is_to_be_written(repository: Any) -> None:
    (repository.root / "worker/src/worker_app/handlers.py").write_text('"""Nothing."""\n')
    repository.new("service", "scales", "--consumes", "weigh")
    assert 'raise PermanentError("weigh: to be written")' in repository.read("scales/src/scales/handlers.py")
    assert "RETRY" not in repository.read("docker-compose.yml"), "it is not retried"


def test_a_snapshot_that_was_deleted_is_written_anew(repository: Any) -> None:
    repository.new("task", "send_mail", "--queue", "lettershop")
    schemas = repository.root / "contracts/src/our_tasks/schemas.py"
    schemas.write_text(schemas.read_text().replace("    text: str\n", "    words: str\n"))
    snapshot: Path = repository.root / "contracts/schemas/tasks.send_mail.json"
    snapshot.unlink()
    repository.new("task", "send_mail", "--queue", "lettershop")
    assert '"words"' in snapshot.read_text()


def test_prometheus_asks_a_new_service(repository: Any) -> None:
    before = "scrape_configs:\n  - job_name: worker\n    static_configs: []\n"
    path = repository.root / "monitoring/prometheus.yml"
    path.parent.mkdir()
    path.write_text(before)
    for _ in range(2):  # the second time there is nothing left to do
        repository.new("service", "web", "--http")
        assert path.read_text().startswith(before)
        added = yaml.safe_load(path.read_text())["scrape_configs"][1:]
        assert [{"names": ["web"], "type": "A", "port": 8001, "refresh_interval": "5s"}] == [
            one for job in added for one in job["dns_sd_configs"]
        ]


def test_a_new_service_stands_before_those_of_profiles(repository: Any) -> None:
    path = repository.root / "docker-compose.yml"
    watching = "  # Looks on.\n  exporter:\n    profiles: [monitoring]\n    image: exporter\n"
    path.write_text(path.read_text().replace("# What is kept.", f"{watching}\n# What is kept."))
    repository.new("service", "web", "--http")
    assert ["redis", "worker", "web", "exporter"] == [*yaml.safe_load(path.read_text())["services"]]
    assert f"\n\n{watching}\n# What is kept." in path.read_text()

"""The tasks of all services of a repository, and who serves them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from devctl.discovery.code.services import Codes
from devctl.discovery.model import Answer, CeleryCommand, Found, FoundService, FoundTask, Launch

REPOSITORIES = Path(__file__).parents[2] / "repositories"
UNKNOWN = Answer[str](None, "")
TASKS = """
    import os
    from celery import Celery
    app = Celery("x")
    app.conf.task_default_queue = os.environ.get("QUEUE", "low")
    app.conf.task_routes = {"t.mail": "mails"}
    @app.task
    def resize(): ...
    @app.task
    def mail(): ...
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "t.py").write_text(dedent(TASKS))
    return tmp_path


def worker(name: str, folder: Path, app: str = "t", *queues: str, **environment: str) -> FoundService:
    command = CeleryCommand("worker", ("celery", "worker"), app, queues)
    return FoundService(
        name, ("worker",), "", Launch(command.argv, "", environment=environment), command, code=folder, paths=(folder,)
    )


def tasks(repository: Path, *services: FoundService) -> dict[str, FoundTask]:
    found = Found({one.name: one for one in services}, UNKNOWN, UNKNOWN, UNKNOWN)
    return {one.name: one for one in Codes(found, repository).tasks()}


def test_a_worker_serves_what_it_imports_from_the_queues_that_it_consumes(repository: Path) -> None:
    found = tasks(repository, worker("a", repository, "t", "mails"), worker("b", repository))
    assert {"t.resize": ("b",), "t.mail": ("a",)} == {name: one.services for name, one in found.items()}


def test_a_queue_that_two_services_see_differently_is_not_sure(repository: Path) -> None:
    found = tasks(repository, worker("a", repository), worker("b", repository, QUEUE="high"))
    assert found["t.resize"].queue.value is None
    assert "says low, for b" in found["t.resize"].queue.source
    assert "mails" == found["t.mail"].queue.value


def test_a_task_that_no_worker_imports_is_there_and_served_by_nobody(repository: Path) -> None:
    (repository / "other.py").write_text("from celery import shared_task\n@shared_task\ndef f(): ...\n")
    found = tasks(repository, worker("a", repository))
    assert ((), False) == (found["other.f"].services, found["other.f"].others_may)


def test_where_an_import_cannot_be_read_others_may_serve_it(repository: Path) -> None:
    (repository / "other.py").write_text("from celery import shared_task\n@shared_task\ndef f(): ...\n")
    text = (repository / "t.py").read_text()
    (repository / "t.py").write_text(text.replace('Celery("x")', 'Celery("x", include=os.listdir("."))'))
    assert tasks(repository, worker("a", repository))["other.f"].others_may


def test_code_that_is_mounted_nowhere_is_read_all_the_same(repository: Path) -> None:
    image_only = FoundService("worker", ("unknown",), "", Launch((), ""))
    found = tasks(repository, image_only)
    assert ("low", (), True) == (
        found["t.resize"].queue.value,
        found["t.resize"].services,
        found["t.resize"].others_may,
    )


def test_each_queue_has_the_service_that_consumes_it(repository: Path) -> None:
    services = {one.name: one for one in (worker("a", repository, "t", "mails"), worker("b", repository))}
    found = Found(services, UNKNOWN, UNKNOWN, UNKNOWN)
    assert {"mails": "a", "low": "b"} == Codes(found, repository).consumers()


def test_a_worker_whose_words_only_running_its_program_tells_may_serve_any_queue(repository: Path) -> None:
    one = worker("a", repository)
    assert one.celery is not None
    open_ = replace(one, celery=replace(one.celery, open=True))
    (repository / "other.py").write_text("from celery import shared_task\n@shared_task\ndef f(): ...\n")
    found = tasks(repository, open_)
    assert ((), True) == (found["t.mail"].services, found["t.mail"].others_may)
    assert not found["other.f"].others_may, "it does not import it"


@pytest.mark.parametrize("shared", ["common/pictures/tasks.py", "libraries/pictures/src/pictures/tasks.py"])
def test_a_module_that_only_one_folder_of_the_context_has_is_what_a_service_imports(
    tmp_path: Path, shared: str
) -> None:
    code = "from celery import Celery\napp = Celery('x')\n@app.task\ndef resize(width): ...\n"
    for name, text in {
        shared: code,
        "tests/pictures/tasks.py": "",
        "jobs/main.py": "from pictures.tasks import app\nimport redis\n",
        "requirements.txt": "redis>=5\n",
        "docker/redis/main.py": "raise SystemExit\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    one = replace(worker("a", tmp_path, "main"), paths=(tmp_path / "jobs",))
    found = tasks(tmp_path, one)
    assert [("pictures.tasks.resize", shared, ("a",))] == [(t.name, t.file, t.services) for t in found.values()]

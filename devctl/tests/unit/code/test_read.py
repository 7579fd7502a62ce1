"""Apps, settings and tasks of small repositories, written here and read without importing them."""

from pathlib import Path
from textwrap import dedent

import pytest

from devctl.discovery.code.read import Code, read
from devctl.discovery.model import FoundTask, Unreadable

REPOSITORIES = Path(__file__).parents[2] / "repositories"


@pytest.fixture
def code(tmp_path):
    """Write files and read them."""

    def read_them(files, app="", **environment) -> Code:
        for name, text in files.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(text))
        return read(tmp_path, environment, app=app)

    return read_them


def only(found: Code) -> FoundTask:
    (task,) = found.tasks
    return task


def queues(found: Code) -> dict[str, str | None]:
    return {one.name: one.queue.value for one in found.tasks}


APP = "from celery import Celery\napp = Celery('proj')\n"


def test_the_three_fixtures_are_read_as_their_workers_would_register_and_route_them():
    assert {"create_report": "celery", "worker.add": "celery", "worker.fetch": "celery"} == queues(
        read(REPOSITORIES / "fastapi" / "project", {}, app="worker.celery")
    )
    assert {
        "mails.tasks.send": "shop",
        "mails.tasks.flush": "shop",
        "reports.tasks.nightly": "shop",
        "reports.render": "shop",
    } == queues(read(REPOSITORIES / "django", {}, app="shop"))
    pipeline = read(REPOSITORIES / "rabbitmq", {"CELERY_BROKER_URL": "amqp://broker//"}, app="pipeline.app:app")
    assert {
        "pipeline.images.resize": "images",
        "pipeline.images.forget": "images",
        "pipeline.thumbnail": "images",
        "pipeline.mail.send": "mail",
        "pipeline.mail.newsletter": "mail.slow",
    } == queues(pipeline)
    assert {*queues(pipeline)} == pipeline.served
    assert pipeline.app is not None
    assert "amqp://broker//" == pipeline.app.settings["broker_url"].value


def test_parameters_have_their_names_kinds_annotations_and_defaults(code):
    task = only(
        code({"t.py": APP + "@app.task(bind=True)\ndef f(self, a: int, /, b='x', *more, c: str, d=None, **rest): ..."})
    )
    assert [
        ("a", "positional only", "int", None),
        ("b", "usual", "", "'x'"),
        ("more", "*", "", None),
        ("c", "keyword only", "str", None),
        ("d", "keyword only", "", "None"),
        ("rest", "**", "", None),
    ] == [(one.name, one.kind, one.annotation, one.default) for one in task.parameters]


def test_a_class_that_is_registered_is_a_task_with_the_parameters_of_run(code):
    found = code(
        {"t.py": APP + "class Resize(app.Task):\n    def run(self, path: str): ...\napp.register_task(Resize())"}
    )
    assert ("t.Resize", ["path"]) == (only(found).name, [one.name for one in only(found).parameters])


def test_a_function_that_a_call_makes_a_task_is_one(code):
    found = code({"t.py": APP + "def f(x): ...\ng = app.task(name='images.f', queue='images')(f)"})
    assert {"images.f": "images"} == queues(found)


def test_a_shared_task_of_a_module_that_is_discovered_is_served_and_another_one_is_not(code):
    task = "from celery import shared_task\n@shared_task\ndef f(): ...\n"
    files = {
        "proj/__init__.py": "from .celery import app as celery_app",
        "proj/celery.py": APP + "app.autodiscover_tasks(['mails'])",
        "mails/__init__.py": "",
        "mails/tasks.py": task,
        "other/__init__.py": "",
        "other/tasks.py": task,
    }
    found = code(files, "proj")
    assert {"mails.tasks.f", "other.tasks.f"} == {*queues(found)}
    assert {"mails.tasks.f"} == found.served


def test_an_app_from_a_factory_is_found_with_its_settings(code):
    found = code(
        {
            "factory.py": """
                from celery import Celery
                def make_celery(name, broker):
                    celery = Celery(name, broker=broker)
                    celery.conf.update(task_default_queue="slow")
                    return celery
            """,
            "app.py": "from factory import make_celery\ncelery = make_celery(__name__, 'redis://r')\n"
            "@celery.task\ndef f(): ...",
        },
        "app.celery",
    )
    assert {"app.f": "slow"} == queues(found)
    assert found.app is not None
    assert ("app", "celery", "redis://r") == (
        found.app.module,
        found.app.variable,
        found.app.settings["broker_url"].value,
    )


def test_the_environment_of_the_service_answers_what_settings_ask_it(code):
    files = {
        "t.py": """
            import os
            from celery import Celery
            app = Celery("x", broker=f"redis://{os.environ['HOST']}:{os.getenv('PORT', '6379')}/0")
            app.conf.task_default_queue = os.environ.get("QUEUE", "low")
            @app.task
            def f(): ...
        """
    }
    found = code(files, HOST="redis", QUEUE="high")
    assert {"t.f": "high"} == queues(found)
    assert "redis://redis:6379/0" == found.apps[0].settings["broker_url"].value


def test_settings_of_pydantic_are_read_with_their_defaults_and_the_environment(code):
    files = {
        "config.py": """
            from functools import lru_cache
            from pydantic_settings import BaseSettings
            class Settings(BaseSettings):
                redis_host: str = "localhost"
                default_queue: str = "low"
                @property
                def broker(self) -> str:
                    return f"redis://{self.redis_host}/0"
            @lru_cache
            def get_settings(): return Settings()
        """,
        "t.py": """
            from celery import Celery
            from config import get_settings
            app = Celery("x", broker=get_settings().broker)
            app.conf.task_default_queue = get_settings().default_queue
            @app.task
            def f(): ...
        """,
    }
    found = code(files, REDIS_HOST="r")
    assert "redis://r/0" == found.apps[0].settings["broker_url"].value
    assert {"t.f": "low"} == queues(found)


@pytest.mark.parametrize(
    "settings",
    [
        "app.conf.update(task_routes={'t.*': 'images'})",
        "app.conf.task_routes = ([('t.f', {'queue': 'images'}), ('t.*', {'queue': 'other'})],)",
        "import re\napp.conf.task_routes = {re.compile(r't\\.[f]'): {'queue': 'images'}}",
        "def route(name, args, kwargs, options, task=None, **kw):\n    if name.startswith('t.'):\n"  # noqa: ISC004 - one text
        "        return {'queue': 'images'}\napp.conf.task_routes = (route,)",
        "class Config:\n    CELERY_ROUTES = {'t.f': {'queue': 'images'}}\napp.config_from_object(Config)",
        "from kombu import Queue\napp.conf.task_routes = {'t.f': {'queue': Queue('images')}}",
    ],
)
def test_a_route_is_found_however_it_is_written(code, settings):
    assert {"t.f": "images"} == queues(code({"t.py": f"{APP}{settings}\n@app.task\ndef f(): ..."}))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ("import random\napp.conf.task_default_queue = random.choice(['a', 'b'])", "only running tells"),
        (
            "def route(name, args, *rest, **kw):\n    return args[0]\napp.conf.task_routes = (route,)",
            "a function decides",
        ),
        ("from elsewhere import SETTINGS\napp.conf.update(SETTINGS)", "settings that cannot be read"),
        ("app.conf.task_routes = {'t.f': {'exchange': 'x', 'routing_key': 'y'}}", "names an exchange"),
        ("app.conf.task_annotations = {'*': {'queue': 'x'}}", "task_annotations"),
        (
            "from kombu import Exchange, Queue\napp.conf.task_queues = [Queue('celery', Exchange('x', type='topic'))]",
            "not a direct one",
        ),
        (
            "from kombu import Queue\napp.conf.task_queues = [Queue('a')]\napp.conf.task_create_missing_queues = False",
            "not in task_queues",
        ),
        ("import os\nif os.path.exists('/x'):\n    app.conf.task_default_queue = 'b'", "only running tells"),
    ],
)
def test_what_only_running_would_tell_is_not_sure_and_says_why(code, settings, why):
    task = only(code({"t.py": f"{APP}{settings}\n@app.task\ndef f(): ..."}))
    assert task.queue.value is None
    assert why in task.queue.source


def test_a_queue_of_the_decorator_beats_the_routes(code):
    settings = "app.conf.task_routes = {'*': 'routed'}"
    assert {"t.f": "own"} == queues(code({"t.py": f"{APP}{settings}\n@app.task(queue='own')\ndef f(): ..."}))


def test_a_queue_of_the_base_class_counts(code):
    base = "class Base(app.Task):\n    queue = 'based'"
    assert {"t.f": "based"} == queues(code({"t.py": f"{APP}{base}\n@app.task(base=Base)\ndef f(): ..."}))


def test_a_decorator_of_the_repository_that_makes_tasks_is_followed(code):
    files = {
        "wrap.py": "from celery import shared_task\ndef job(**kw):\n    return shared_task(queue='jobs', **kw)",
        "t.py": APP + "from wrap import job\n@job(name='x')\ndef f(): ...",
    }
    assert {"x": "jobs"} == queues(code(files))


@pytest.mark.parametrize(
    "line", ["from huey import RedisHuey\nq = RedisHuey()\n@q.task()", "from invoke import task\n@task"]
)
def test_a_task_of_another_library_is_none_of_celery(code, line):
    assert () == code({"t.py": f"{APP}{line}\ndef f(c): ..."}).tasks


def test_a_file_that_does_not_parse_is_named_and_the_others_are_read(code):
    found = code(
        {"bad.py": "from celery import shared_task\n@shared_task\ndef f(:", "t.py": APP + "@app.task\ndef f(): ..."}
    )
    assert ["t.f"] == [one.name for one in found.tasks]
    assert found.unreadable[0].startswith("bad.py: SyntaxError")


def test_the_name_that_nobody_can_read_is_said(code):
    found = code({"t.py": APP + "import uuid\n@app.task(name=str(uuid.uuid4()))\ndef f(): ..."})
    assert ((), ("t.py:5: the name of task f",)) == (found.tasks, found.unreadable)


def test_a_module_below_src_or_a_project_folder_has_the_name_that_the_container_imports(code):
    task = "from celery import shared_task\n@shared_task\ndef f(): ...\n"
    found = code(
        {
            "src/pkg/__init__.py": "",
            "src/pkg/jobs.py": task,
            "backend/app/main.py": APP + "import app.jobs",
            "backend/app/jobs.py": task,
        },
        "app.main",
    )
    assert {"pkg.jobs.f", "app.jobs.f"} == {*queues(found)}
    assert {"app.jobs.f"} == found.served


def test_the_schedule_of_beat_has_its_tasks_and_their_queues(code):
    schedule = "app.conf.beat_schedule = {'n': {'task': 't.f', 'schedule': 3.0, 'options': {'queue': 'night'}}}"
    (entry,) = code({"t.py": f"{APP}{schedule}"}).schedule
    assert ("n", "t.f", "night", "t.py", 3) == (entry.entry, entry.task, entry.queue, entry.file, entry.line)


def test_a_setting_has_its_place_and_what_cannot_be_read_its_text(code):
    found = code({"c.py": "import os, socket\ntask_acks_late = True\nresult_backend = socket.gethostname()\n",
                  "t.py": APP + "app.config_from_object('c')"})  # fmt: skip
    settings = found.apps[0].settings
    assert (True, "c.py", 2) == (
        settings["task_acks_late"].value,
        settings["task_acks_late"].file,
        settings["task_acks_late"].line,
    )
    assert Unreadable("socket.gethostname()") == settings["result_backend"].value


def test_the_variables_that_celery_itself_reads_win(code):
    found = code(
        {"t.py": "from celery import Celery\napp = Celery('x', broker='redis://a')"}, CELERY_BROKER_URL="redis://b"
    )
    assert "redis://b" == found.apps[0].settings["broker_url"].value


@pytest.mark.parametrize(
    ("annotation", "schema"),
    [
        ("int", {"type": "integer"}),
        ("Optional[float]", {"anyOf": [{"type": "number"}, {"type": "null"}]}),
        ("list[str] | None", {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]}),
        ("dict[str, int]", {"type": "object", "additionalProperties": {"type": "integer"}}),
        ("Literal['a', 'b']", {"enum": ["a", "b"]}),
        ("UUID", {"type": "string", "format": "uuid"}),
        ("Colour", {"enum": ["r", "g"], "x-names": {"RED": "r", "GREEN": "g"}}),
        ("'datetime'", {"type": "string", "format": "date-time"}),
        ("Any", {}),
        ("SomethingElse", {}),
    ],
)
def test_an_annotation_becomes_the_schema_of_what_it_asks_for(code, annotation, schema):
    head = "from typing import *\nfrom uuid import UUID\nfrom datetime import datetime\nfrom enum import Enum\n"
    head = head.replace("from typing import *", "from typing import Any, Literal, Optional")
    head += "class Colour(Enum):\n    RED = 'r'\n    GREEN = 'g'\n"
    task = only(code({"t.py": f"{head}{APP}@app.task\ndef f(x: {annotation}): ..."}))
    assert schema == task.parameters[0].schema


def test_a_model_of_pydantic_becomes_the_schema_of_its_fields(code):
    model = """
from pydantic import BaseModel, Field
class Item(BaseModel):
    name: str
    count: int = Field(1, ge=1)
"""
    task = only(code({"t.py": f"{APP}{model}@app.task(pydantic=True)\ndef f(item: Item): ..."}))
    schema = task.parameters[0].schema
    assert task.pydantic
    assert (["name"], {"type": "integer", "minimum": 1, "default": 1}) == (
        schema["required"],
        schema["properties"]["count"],
    )


def test_a_test_is_not_a_place_for_tasks_but_a_file_that_only_sounds_like_one_is(code):
    task = "from celery import shared_task\n@shared_task\ndef f(): ...\n"
    found = code({"test_images.py": task, "test_mail.py": f"import pytest\n{task}", "tests/helper.py": task})
    assert ["test_images.f"] == [one.name for one in found.tasks]


@pytest.mark.parametrize(
    ("settings", "bindings"),
    [
        ("", [("a", "celery", "direct", "celery"), ("b", "x", "topic", "celery"), ("c", "y", "direct", "key")]),
        (
            "app.conf.task_default_queue = 'd'\napp.conf.task_default_exchange_type = 'topic'\n",
            [("a", "d", "topic", "d"), ("b", "x", "topic", "d"), ("c", "y", "direct", "key")],
        ),
        (
            "app.conf.task_default_exchange = 'e'\napp.conf.task_default_routing_key = 'r'\n",
            [("a", "e", "direct", "r"), ("b", "x", "topic", "r"), ("c", "y", "direct", "key")],
        ),
    ],
)
def test_what_a_queue_takes_from_which_exchange_is_completed_as_celery_does(code, settings, bindings):
    text = """
        from kombu import Exchange, Queue
        app.conf.task_queues = (
            Queue("a"), Queue("b", Exchange("x", type="topic")), Queue("c", Exchange("y"), routing_key="key"),
        )
    """
    found = code({"proj.py": f"{APP}{dedent(text)}{settings}"}, app="proj")
    assert bindings == [(one.queue, one.exchange, one.kind, one.key) for one in found.bindings]


@pytest.mark.parametrize("options", ["bind=True, **kw", "**{**DEFAULTS, **kw}", "**kw"])
def test_what_a_decorator_of_the_repository_hands_over_itself_is_no_argument(code, options):
    text = f"""
        from settings import DEFAULTS
        def my_task(**kw):
            def decorate(function):
                def inner(self, *args, **more):
                    return function(self, *args, **more)
                return app.task({options})(inner)
            return decorate
        @my_task(max_retries=3)
        def resize(self, width): ...
        @my_task(max_retries=3)
        def rotate(angle, self=None): ...
    """
    found = code({"proj.py": f"{APP}{dedent(text)}"}, app="proj")
    assert {"resize": ["width"], "rotate": ["angle", "self"]} == {
        one.function: [parameter.name for parameter in one.parameters] for one in found.tasks
    }


def test_the_caches_of_django_in_a_redis_are_found_with_their_databases(code):
    files = {
        "shop/__init__.py": "",
        "shop/settings.py": """
            import os
            REDIS = os.environ.get("REDIS_URL", "redis://cache:6379")
            CACHES = {
                "default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": f"{REDIS}/0"},
                "pages": {
                    "BACKEND": "django.core.cache.backends.redis.RedisCache",
                    "LOCATION": [REDIS],
                    "OPTIONS": {"db": "3"},
                },
                "local": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "redis://no"},
            }
        """,
        "shop/celery.py": """
            import os
            from celery import Celery
            os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
            app = Celery("shop")
            app.config_from_object("django.conf:settings", namespace="CELERY")
        """,
    }
    found = code(files, app="shop.celery", REDIS_URL="redis://redis:6379")
    assert [
        ("default", "redis://redis:6379/0", "shop/settings.py", 5),
        ("pages", "redis://redis:6379/3", "shop/settings.py", 6),
    ] == [(one.name, one.url, one.file, one.line) for one in found.caches]

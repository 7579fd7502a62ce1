"""What each service is for: the three fixtures, and small repositories written here."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from devctl import settings
from devctl.discovery.app_settings import reader
from devctl.discovery.completion import completed
from devctl.discovery.launch import ImageConfig
from devctl.discovery.model import Found
from devctl.discovery.roles import find
from devctl.stack import file
from devctl.workbench import Workbench

Repository = Callable[..., Found]


def found_in(root: Path, images: Mapping[str, ImageConfig] | None = None) -> Found:
    loaded = settings.load(start=root, environ={})
    stack, name, root = file.read(loaded), loaded.compose_file.name, loaded.root
    return find(stack, name, root, inspect=(images or {}).get, settings=reader(root))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Writes files (name -> text), and returns what is found there."""

    def write(files: Mapping[str, str], images: Mapping[str, ImageConfig] | None = None) -> Found:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")
        return found_in(tmp_path, images)

    return write


def roles(found: Found) -> dict[str, str]:
    return {name: " ".join(one.roles) for name, one in found.services.items()}


INSTALLED = {
    "docker-compose.yml": """\
        services:
          jobs: {build: {context: ., dockerfile: jobs/Dockerfile}}
        """,
    "jobs/Dockerfile": """\
        FROM python:3.12-slim
        WORKDIR /srv
        COPY shared/pyproject.toml shared/
        COPY shared/src/ shared/src/
        COPY flat/pyproject.toml flat/
        COPY flat/figures/ flat/figures/
        COPY lib/ lib/
        COPY jobs/ jobs/
        RUN pip install --no-cache-dir -r jobs/requirements.txt && pip install -e ./shared[extra] ./flat -e ./jobs
        RUN --mount=type=cache,target=/root/.cache cd lib && uv pip install --system .
        CMD ["python", "-m", "jobs.main"]
        """,
    "shared/pyproject.toml": "[project]\nname = 'shared'\n",
    "shared/src/pictures/__init__.py": "",
    "flat/pyproject.toml": "[project]\nname = 'flat'\n",
    "flat/figures/__init__.py": "",
    "lib/pyproject.toml": "[tool.setuptools.package-dir]\n'' = 'python'\n",
    "lib/python/letters/__init__.py": "",
    "jobs/src/jobs/__init__.py": "",
    "jobs/src/jobs/main.py": """\
        from pictures.app import queue_app
        words = ["worker", *options()]
        if __name__ == "__main__":
            queue_app.worker_main(argv=words)
        """,
}


def test_python_looks_where_the_image_installed_a_project_of_this_repository(
    tmp_path: Path, repository: Repository
) -> None:
    jobs = repository(INSTALLED).services["jobs"]
    assert ("worker",) == jobs.roles
    assert jobs.celery is not None
    assert ("jobs.main", ()) == (jobs.celery.app, jobs.celery.queues)
    assert ["shared/src", "flat", "jobs/src", "lib/python"] == [
        path.relative_to(tmp_path).as_posix() for path in jobs.paths
    ]


@pytest.mark.parametrize("start", ["CMD sh run.sh", 'CMD ["bash", "run.sh"]', 'ENTRYPOINT ["sh", "-c", "$worker_cmd"]'])
def test_a_command_in_a_variable_is_followed(repository: Repository, start: str) -> None:
    found = repository(
        {
            "docker-compose.yml": "services:\n  jobs: {build: ., volumes: ['.:/app'], environment: {STAGE: dev}}\n",
            "Dockerfile": f'FROM python:3.12\nWORKDIR /app\nENV worker_cmd="celery -A tasks worker -Q a"\n{start}\n',
            "run.sh": """\
                if [ "$STAGE" = "dev" ]; then worker_cmd="watchmedo auto-restart -p '*.py' -- $worker_cmd"; fi
                bash -c "$worker_cmd"
                """,
        }
    )
    command = found.services["jobs"].celery
    assert command is not None
    assert ("tasks", ("a",)) == (command.app, command.queues)


def test_a_command_that_a_condition_decides_may_run(repository: Repository) -> None:
    found = repository(
        {
            "docker-compose.yml": "services:\n  jobs: {build: ., command: sh run.sh, volumes: ['.:/app']}\n",
            "Dockerfile": "FROM python:3.12\nWORKDIR /app\n",
            "run.sh": """\
                cmd="celery -A tasks worker"
                if [ -f /etc/dev ]; then cmd="watchmedo auto-restart -- $cmd"; fi
                bash -c "$cmd"
                """,
        }
    )
    jobs = found.services["jobs"]
    assert (("worker",), ()) == (jobs.roles, jobs.more)
    assert "run.sh:3, under a condition" == jobs.source


def test_a_usual_fastapi_repository(repositories: Path) -> None:
    found = found_in(repositories / "fastapi")
    assert roles(found) == {"web": "web", "worker": "worker", "redis": "broker results", "dashboard": "monitor"}
    assert (found.broker.value, found.broker.source) == ("redis", "worker: CELERY_BROKER_URL")
    assert found.broker_url.value == found.result_url.value == "redis://redis:6379/0"
    worker = found.services["worker"]
    assert worker.source == "docker-compose.yml: command of worker"
    assert worker.launch.folder == "/usr/src/app"
    assert worker.celery is not None
    assert (worker.celery.app, worker.celery.logfile) == ("worker.celery", "logs/celery.log")


def test_scripts_of_an_image_are_followed_to_celery(repositories: Path) -> None:
    found = found_in(repositories / "django")
    assert roles(found) == {"django": "web", "redis": "broker results", "celeryworker": "worker", "celerybeat": "beat"}
    assert found.services["celeryworker"].source == "compose/django/celery/start-worker:5"
    assert found.services["celeryworker"].launch.argv == ("celery", "-A", "shop", "worker", "-l", "INFO", "-c", "2")
    assert found.services["celeryworker"].launch.folder == "/app"
    assert found.broker_url.value == "redis://:not-a-secret@redis:6379/0"  # the entrypoint exports it
    assert (found.result_url.value, found.result_url.source) == (found.broker_url.value, "shop/settings.py:14")


def test_an_entrypoint_celery_and_two_stores_are_told_apart(repositories: Path) -> None:
    found = found_in(repositories / "rabbitmq")
    assert roles(found) == {
        "broker": "broker",
        "results": "results",
        "api": "web",
        "images": "worker",
        "mail": "worker",
    }
    queues = {name: one.celery.queues for name, one in found.services.items() if one.celery}
    assert queues == {"images": ("images",), "mail": ("mail", "mail.slow")}
    assert (found.broker_url.value, found.result_url.value) == (
        "amqp://guest:guest@broker:5672//",
        "redis://results:6379/1",
    )


def test_the_stack_gets_what_x_devctl_does_not_say(repositories: Path) -> None:
    loaded = settings.load(start=repositories / "fastapi", environ={})
    stack = completed(file.read(loaded), found_in(repositories / "fastapi"))
    assert (stack.broker, stack.workers) == ("redis", ("worker",))
    assert stack.lasting == ("web", "worker", "redis", "dashboard")
    assert stack.logfiles == {"worker": "/usr/src/app/logs/celery.log"}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("celery -A p worker", "worker"),
        ("celery -A p worker -B", "worker beat"),
        ('["sh", "-c", "cd /app && exec celery -A p worker"]', "worker"),
        ("bash -lc 'sleep 5; celery worker -A p'", "worker"),
        ("poetry run celery -A p worker", "worker"),
        ("uv run --no-sync --with x celery -A p worker", "worker"),
        ("uv run -m celery -A p worker", "worker"),
        ("pipenv run python -m celery -A p worker", "worker"),
        ("watchmedo auto-restart -d . -p '*.py' -R -- celery -A p worker", "worker"),
        ("watchmedo auto-restart --directory=./ --pattern=*.py --recursive celery -A p worker", "worker"),
        ("watchfiles --filter python 'celery -A p worker' app", "worker"),
        ("env A=1 gosu app tini -g -- dumb-init celery -A p beat", "beat"),
        ("wait-for-it.sh redis:6379 -t 30 -- celery -A p worker", "worker"),
        ("dockerize -wait tcp://redis:6379 -timeout 30s celery -A p worker", "worker"),
        ("newrelic-admin run-program celery -A p worker", "worker"),
        ("python -m debugpy --listen 0.0.0.0:5678 -m celery -A p worker", "worker"),
        ("su-exec app nice -n 5 celery -A p worker", "worker"),
        ("su app -c 'celery -A p worker'", "worker"),
        ("sh -c 'celery -A p worker & uvicorn main:app'", "web worker"),
        ("python -m celeriac exporter --port 9808", "monitor"),
        ("celeriac exporter", "monitor"),
        ("sh -c 'until celery -A p inspect ping; do sleep 1; done; celery -A p flower'", "monitor"),
        ("celery -A p inspect ping", "unknown"),
        ("uvicorn main:app", "web"),
        ("python manage.py runserver 0.0.0.0:8000", "web"),
        ("sh -c 'python manage.py migrate && gunicorn p.wsgi'", "web"),
        ("python manage.py migrate", "job"),
        ("alembic upgrade head", "job"),
        ("python run.py", "unknown"),
    ],
)
def test_a_command_says_what_a_service_is(repository: Repository, command: str, expected: str) -> None:
    found = repository({"compose.yaml": f"services:\n  it:\n    image: acme/app\n    command: {command}\n"})
    assert roles(found) == {"it": expected}


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("docker.io/library/postgres:16-alpine", "database"),
        ("mher/flower:2.0@sha256:00", "monitor"),
        ("nginx", "other"),
        ("localhost:5000/acme/redis-commander:latest", "other"),
        ("redis:7", "broker"),
        ("bitnami/rabbitmq", "broker"),
        ("valkey/valkey:8", "broker"),
        ("acme/app:1", "unknown"),
    ],
)
def test_an_image_that_everybody_knows_says_it(repository: Repository, image: str, expected: str) -> None:
    found = repository({"compose.yaml": f"services:\n  it: {{image: '{image}'}}\n"})
    assert roles(found) == {"it": expected}


def test_what_only_the_image_says_is_asked_of_the_engine(repository: Repository) -> None:
    files = {"compose.yaml": "services:\n  it: {image: acme/app}\n"}
    config = ImageConfig(("docker-run",), ("celery", "-A", "p", "worker"), {"CELERY_BROKER_URL": "redis://b"}, "/srv")
    assert roles(repository(files, {"acme/app": config})) == {"it": "unknown"}  # docker-run is not known here
    config = ImageConfig((), ("celery", "-A", "p", "worker"), {"CELERY_BROKER_URL": "redis://b"}, "/srv")
    found = repository(files, {"acme/app": config})
    assert roles(found) == {"it": "worker"}
    assert found.services["it"].source == "image acme/app"
    assert found.broker.source == "it: CELERY_BROKER_URL names b, which is no service of compose.yaml"
    assert found.broker_url.value == "redis://b"


def test_a_dockerfile_says_what_the_compose_file_leaves_out(repository: Repository) -> None:
    found = repository(
        {
            "compose.yaml": """\
                services:
                  one: {build: {context: ., target: worker}, image: acme/worker}
                  two: {image: acme/worker, command: [beat]}
                  three: {build: {context: ., target: web}}
                  four: {build: ., entrypoint: []}
                """,
            "Dockerfile": """\
                FROM python:3.12 AS base
                WORKDIR /srv/app
                COPY scripts/ /usr/local/bin/
                ENTRYPOINT ["entry"]
                FROM base AS worker
                CMD ["worker"]
                FROM base AS web
                CMD uvicorn main:app
                """,
            "scripts/entry": """\
                #!/bin/sh
                case "$1" in
                  worker) exec celery -A p worker ;;
                  beat) exec celery -A p beat ;;
                esac
                exec "$@"
                """,
        }
    )
    assert roles(found) == {"one": "worker", "two": "beat", "three": "web", "four": "unknown"}
    assert found.services["one"].source == "scripts/entry:3"
    assert found.services["three"].source == "Dockerfile:8 CMD"
    assert found.services["one"].launch.folder == "/srv/app"


def test_programs_of_python_supervisor_and_make_are_followed(repository: Repository) -> None:
    found = repository(
        {
            "compose.yaml": """\
                services:
                  main: {build: ., command: python -m jobs.worker}
                  list: {build: ., command: [supervisord, -c, etc/super.conf]}
                  make: {build: ., command: make consume}
                  manage: {build: ., command: python manage.py autoreload}
                  api: {build: ., command: python api.py}
                """,
            "Dockerfile": "FROM python:3.12\nWORKDIR /app\nCOPY . .\n",
            "jobs/worker.py": "from jobs import app\napp.worker_main(['worker', '-Q', 'a'])\n",
            "etc/super.conf": "[program:web]\ncommand=gunicorn x\n[program:w]\ncommand=celery -A p worker\n",
            "Makefile": "Q := b\nconsume:\n\tcelery -A p worker -Q $(Q)\nother:\n\tcelery beat\n",
            "p/management/commands/autoreload.py": "import os\nos.system('celery -A p worker')\n",
            "api.py": "import uvicorn\nuvicorn.run('x')\n",
        }
    )
    assert roles(found) == {"main": "worker", "list": "web worker", "make": "worker", "manage": "worker", "api": "web"}
    sources = {name: one.source for name, one in found.services.items()}
    assert sources["main"] == "jobs/worker.py:2"
    assert sources["list"] == "etc/super.conf:3"
    assert sources["manage"] == "p/management/commands/autoreload.py:2"


def test_a_script_that_a_shell_is_told_to_run_needs_no_first_line(repository: Repository) -> None:
    found = repository(
        {
            "compose.yaml": """\
                services:
                  it:
                    build: .
                    command: sh start --now
                    environment: {CELERY_RESULT_BACKEND: "redis://r"}
                  other: {image: acme/other, environment: {CELERY_RESULT_BACKEND: "redis://r"}}
                """,
            "Dockerfile": "FROM python:3.12\nWORKDIR /app\nCOPY . .\n",
            "start": "cd sub\ncelery -A p worker $1\n",
        }
    )
    assert found.services["it"].source == "start:2"
    assert found.services["it"].launch.argv[-1] == "--now"
    assert found.services["it"].launch.folder == "/app/sub"
    assert found.result_url.source == "it: CELERY_RESULT_BACKEND"
    only = repository({"compose.yaml": "services:\n  o: {image: o, environment: {CELERY_RESULT_BACKEND: 'rpc://'}}\n"})
    assert (only.result_url.value, only.result_url.source) == ("rpc://", "o: CELERY_RESULT_BACKEND")


def test_what_may_run_is_said_so(repository: Repository) -> None:
    found = repository(
        {
            "compose.yaml": "services:\n  it: {build: .}\n",
            "Dockerfile": "FROM python:3.12\nCOPY start.sh /start.sh\nCMD /start.sh\n",
            "start.sh": "#!/bin/sh\nif [ -f /run/debug ]; then\n  exec sleep 9\nfi\nexec celery -A p worker\n",
        }
    )
    assert roles(found) == {"it": "worker"}
    assert found.services["it"].source == "start.sh:5, under a condition"


WORKER = "image: acme/app, command: celery -A p worker"


@pytest.mark.parametrize(
    ("services", "broker", "source"),
    [
        ("r: {image: redis}", "r", "compose.yaml: the only service that can be one"),
        ("r: {image: redis}\n  q: {image: rabbitmq}", None, "r and q can be it, and nothing says which"),
        ("d: {image: postgres}", None, "no service of compose.yaml can be one"),
        (
            "r: {image: redis, container_name: the-redis}\n  w: {E: {CELERY_BROKER_URL: 'redis://the-redis'}, W}",
            "r",
            "w: CELERY_BROKER_URL",
        ),
        (
            "r: {image: redis, hostname: rh}\n  c: {image: redis}\n  w: {E: {REDIS_URL: 'redis://rh:6379/1'}, W}",
            "r",
            "w: REDIS_URL, by its name",
        ),
        (
            "r: {image: redis}\n  q: {image: rabbitmq}\n  w: {E: {RABBITMQ_HOST: q, CACHE_REDIS_URL: 'redis://r'}, W}",
            "q",
            "w: RABBITMQ_HOST, by its name",
        ),
        (
            "r: {image: redis}\n  q: {image: rabbitmq}\n  w: {image: a, command: celery -b amqp://q -A p worker}",
            "q",
            "compose.yaml: command of w (-b)",
        ),
        (
            "r: {image: redis}\n  w: {E: {REDIS_URL: 'redis://localhost'}, W}",
            "r",
            "compose.yaml: the only service that can be one",
        ),
        (
            "r: {image: redis}\n  q: {image: rabbitmq}\n  v: {image: acme/v, E: {REDIS_URL: 'redis://r'}}",
            None,
            "r and q can be it, and nothing says which",
        ),
        (
            "r: {image: redis}\n  c: {image: redis}\n  w: {E: {REDIS_HOST: c, REDIS_BROKER_HOST: r}, W}",
            "r",
            "w: REDIS_BROKER_HOST, by its name",
        ),
        (
            "r: {image: redis}\n  w: {E: {CELERY_BROKER_URL: 'sqs://'}, W}",
            None,
            "w: CELERY_BROKER_URL names sqs, which is no service of compose.yaml",
        ),
        (
            (
                "r: {image: redis}\n  q: {image: redis}"
                "\n  w: {E: {CELERY_BROKER_URL: 'redis://r'}, W}\n  v: {E: {CELERY_BROKER_URL: 'redis://q'}, W}"
            ),
            None,
            "the workers have several: v: CELERY_BROKER_URL names q; w: CELERY_BROKER_URL names r",
        ),
    ],
)
def test_the_broker_is_who_the_workers_name_else_the_only_one_that_can_be(
    repository: Repository, services: str, broker: str | None, source: str
) -> None:
    text = services.replace("E:", "environment:").replace("W}", f"{WORKER}}}")
    found = repository({"compose.yaml": f"services:\n  {text}\n"})
    assert (found.broker.value, found.broker.source) == (broker, source)
    assert {name for name, one in found.services.items() if "broker" in one.roles} == ({broker} if broker else set())


def test_the_code_names_the_broker_where_the_environment_does_not(repository: Repository) -> None:
    files = {
        "compose.yaml": """\
            services:
              r: {image: redis}
              q: {image: rabbitmq}
              w: {build: ., command: celery -A p worker, environment: {QUEUE_HOST: q, REDIS_URL: "redis://r"}}
            """,
        "Dockerfile": "FROM python:3.12\nWORKDIR /app\nCOPY src/ .\n",
        "src/p.py": "import os\nfrom celery import Celery\napp = Celery(broker=f\"amqp://{os.environ['QUEUE_HOST']}//\")\n",
    }
    found = repository(files)
    assert roles(found) == {"r": "other", "q": "broker", "w": "worker"}
    assert (found.broker_url.value, found.broker.source) == ("amqp://q//", "src/p.py:3")
    assert (found.result_url.value, found.result_url.source) == ("disabled://", "src/p.py:3: no result backend is set")
    code = found.services["w"].code
    assert code is not None
    assert found.services["w"].paths == (code / "src",)
    files["src/p.py"] = "from celery import Celery\napp = Celery(broker=ask(), backend='redis://r')\n"
    unsure = repository(files)
    assert (unsure.broker.value, unsure.broker.source) == (None, "r and q can be it, and nothing says which")
    assert unsure.result_url.source == "src/p.py:2"


def test_a_broker_on_localhost_in_the_code_is_none_in_a_container(repository: Repository) -> None:
    found = repository(
        {
            "compose.yaml": "services:\n  r: {image: redis}\n  w: {build: ., command: celery -A p worker}\n",
            "Dockerfile": "FROM python:3.12\nWORKDIR /app\nCOPY p.py .\n",
            "p.py": "from celery import Celery\napp = Celery(broker='redis://localhost:6379/0')\n",
        }
    )
    assert (found.broker.value, found.broker.source) == ("r", "compose.yaml: the only service that can be one")
    assert found.broker_url.value is None
    assert found.broker_url.source == "p.py:2 says redis://localhost:6379/0: in a container, that is itself"


def test_a_store_that_is_not_the_broker_is_another_thing(repository: Repository) -> None:
    found = repository(
        {
            "compose.yaml": f"""\
                services:
                  queue: {{image: redis}}
                  cache: {{image: redis}}
                  w: {{{WORKER}, environment: {{CELERY_BROKER_URL: redis://queue/0}}}}
                """
        }
    )
    assert roles(found) == {"queue": "broker", "cache": "other", "w": "worker"}


def test_celeriac_is_seen_in_the_module_of_the_app(repository: Repository) -> None:
    files = {
        "compose.yaml": """\
            services:
              it: {build: ., command: celery -A p.app worker}
              our: {build: ., command: python -m s}
            """,
        "Dockerfile": "FROM python:3.12\nWORKDIR /app\nCOPY . .\n",
        "p/app.py": "import celery\n",
        "s.py": "from celeriac import serve\nserve('s', owns=[])\n",
    }
    found = repository(files)
    assert found.result_url.source == "our: celeriac keeps them in the broker"
    assert {name: one.celeriac for name, one in found.services.items()} == {"it": False, "our": True}
    assert roles(found) == {"it": "worker", "our": "worker"}
    assert repository({"p/app.py": "from celeriac import install\n"}).services["it"].celeriac


def test_x_devctl_is_believed(repository: Repository) -> None:
    found = repository(
        {
            "compose.yaml": """\
                x-devctl: {broker: b, workers: [w]}
                services: {a: {image: redis}, b: {image: redis}, w: {image: acme/w}}
                """
        }
    )
    assert roles(found) == {"a": "other", "b": "broker", "w": "worker"}
    assert found.broker.source == found.services["w"].source == "compose.yaml: x-devctl"


def test_of_several_files_the_one_is_named_that_says_it(repository: Repository, tmp_path: Path) -> None:
    repository(
        {
            "compose.yaml": "services:\n  w: {image: acme/w, command: sleep 9}\n  r: {image: redis}\n",
            "compose.override.yaml": "services:\n  w: {command: celery -A p worker}\n",
        }
    )
    found = Workbench(settings.load(start=tmp_path, environ={"DOCKER_HOST": "tcp://nowhere"})).found
    assert found.services["w"].source == "compose.override.yaml: command of w"
    assert found.services["w"].roles == ("worker",)
    assert found.broker.source == "compose.yaml: the only service that can be one"


def test_words_that_can_be_no_file_are_no_error(repository: Repository) -> None:
    long = "x" * 5000
    found = repository(
        {
            "compose.yaml": f"""\
                services:
                  one: {{build: ., command: ["{long}", "a"]}}
                  two: {{build: ., command: "sh {long}"}}
                  three: {{build: ., entrypoint: ["python", "{long}.py"], working_dir: "/{long}"}}
                  four: {{image: a, command: ./start, volumes: ["./{long}:/srv"], working_dir: /srv}}
                  five: {{build: {{context: "./{long}"}}, command: [""]}}
                """,
            "Dockerfile": "FROM python:3.12\nWORKDIR /app\nCOPY . .\nCOPY *.sh [ /x/\n",
        }
    )
    assert set(roles(found).values()) == {"unknown"}

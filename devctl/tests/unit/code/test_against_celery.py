"""Generated repositories: what is read from the tree is what Celery itself says once it has imported them."""

import json
import random
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from devctl.discovery.code.read import read

COUNT = 60
ASK = """
import importlib, json, sys
from celery import Celery, _state
found = {}
for number in range(int(sys.argv[1])):
    _state._on_app_finalizers.clear()  # a shared task is every app's: here, only that of its own repository
    sys.path.insert(0, f"r{number}")
    app = importlib.import_module(f"proj{number}.celery_app").app
    app.loader.import_default_modules()
    app.finalize()
    names = [name for name in app.tasks if not name.startswith("celery.")]
    known = {}
    for name in sorted(names):
        task = app.tasks[name]
        options = {key: value for key, value in task._get_exec_options().items() if value is not None}
        try:
            route = app.amqp.router.route(dict(options), name, (), {}, task)
            queue = route["queue"]
            plain = queue.exchange is None or queue.exchange.type == "direct"
            known[name] = queue.name if plain and not route.get("exchange") else None
        except Exception as exc:
            known[name] = None
    found[number] = known
json.dump(found, sys.stdout)
"""


UPPER = [
    "CELERY_TASK_DEFAULT_QUEUE = 'upper'\n",
    "CELERY_DEFAULT_QUEUE = 'old'\n",
    "CELERY_ROUTES = {'named.*': 'upper_routes'}\n",
    "BROKER_URL = 'memory://'\n",
]
FACTORY = """
def make(name):
    made = Celery(name)
    made.conf.broker_url = "memory://"
    return made
app = make("x")
"""


def routes(rng: random.Random, package: str) -> str:
    queue = rng.choice(["images", "mail", "slow"])
    target = rng.choice([f"{{'queue': '{queue}'}}", f"'{queue}'", f"{{'queue': QUEUE_{queue.upper()}}}"])
    pattern = rng.choice([f"{package}.jobs.*", "*", f"{package}.jobs.f0", "named.*", f"{package}.*.f[12]", "*.f2"])
    second = rng.choice([f"{package}.jobs.f1", "named.b", "*"])
    function = "def by_name(name, args, kwargs, options, task=None, **kw):\n    if name.startswith('named.'):\n"
    function += f"        return {{'queue': '{queue}'}}\n"
    return rng.choice(
        [
            "",
            f"app.conf.task_routes = {{'{pattern}': {target}, '{second}': 'other'}}\n",
            f"app.conf.update(task_routes=([('{pattern}', {target}), ('{second}', {{'queue': 'other'}})],))\n",
            f"import re\napp.conf.task_routes = {{re.compile(r'{package}\\.jobs\\..*'): {target}}}\n",
            f"{function}app.conf.task_routes = (by_name, {{'{pattern}': {target}}})\n",
            f"app.conf.task_routes = {{'{pattern}': {{'exchange': 'x', 'routing_key': 'k'}}}}\n",
        ]
    )


def settings(rng: random.Random, package: str) -> str:
    default = rng.choice(["", "", "app.conf.task_default_queue = 'low'\n", "app.conf['task_default_queue'] = 'low'\n"])
    declared = rng.choice(
        [
            "",
            "",
            "app.conf.task_queues = [Queue('low'), Queue('mail'), Queue('images', Exchange('i'), routing_key='i')]\n",
            "app.conf.task_queues = [Queue('mail', Exchange('t', type='topic'), routing_key='m.#'), Queue('celery')]\n",
        ]
    )
    missing = rng.choice(["", "", "", "app.conf.task_create_missing_queues = False\n"])
    return default + declared + missing + routes(rng, package)


def application(rng: random.Random, package: str, found: str) -> str:
    head = "from celery import Celery\nfrom kombu import Exchange, Queue\n"
    head += "QUEUE_IMAGES, QUEUE_MAIL, QUEUE_SLOW = 'images', 'mail', 'slow'\n"
    made = rng.choice(
        [
            "app = Celery('proj', broker='memory://')\n",
            FACTORY,
            "class Mine(Celery):\n    pass\napp = Mine('proj', broker='memory://')\n",
        ]
    )
    configured = rng.choice(
        [
            "",
            f"app.config_from_object('{package}.settings')\n",
            f"app.config_from_object('{package}.upper', namespace='CELERY')\n",
            "class Config:\n    task_default_queue = 'configured'\napp.config_from_object(Config)\n",
        ]
    )
    return head + made + configured + settings(rng, package) + found


def tasks(rng: random.Random, package: str) -> str:
    head = f"from celery import shared_task, Task\nfrom {package}.celery_app import app\nQUEUE = 'constant'\n"
    head += "class Base(Task):\n    abstract = True\n    queue = 'based'\n"
    made = []
    for number in range(3):
        name = rng.choice(["", "", f"name='named.{'abc'[number]}'"])
        queue = rng.choice(["", "", "", "queue='own'", "queue=QUEUE", "base=Base"])
        bind = rng.choice(["", "bind=True"])
        options = ", ".join(filter(None, [name, queue, bind]))
        decorator = rng.choice(["@app.task", "@shared_task"])
        self = "self, " if bind else ""
        shape = rng.choice(["decorated", "decorated", "called"])
        body = f"def f{number}({self}x, y=1): ...\n"
        if shape == "decorated":
            made.append(f"{decorator}({options})\n{body}" if options or rng.random() < 0.5 else f"{decorator}\n{body}")
        else:
            made.append(f"{body}f{number} = {decorator[1:]}({options})(f{number})\n")
    if rng.random() < 0.3:
        name = rng.choice(["", "    name = 'named.cls'\n"])
        made.append(
            f"class Resize(Task):\n{name}    queue = 'own'\n    def run(self, path): ...\napp.register_task(Resize())\n"
        )
    return head + "".join(made)


def write(folder: Path, number: int) -> tuple[str, str]:
    rng = random.Random(number)
    package = f"proj{number}"
    found = rng.choice(
        [
            f"app.conf.include = ['{package}.jobs']\n",
            f"app.conf.imports = ('{package}.jobs',)\n",
            f"app.autodiscover_tasks(['{package}'], related_name='jobs')\n",
        ]
    )
    files = {
        "__init__.py": "",
        "settings.py": "task_default_queue = 'from_settings'\ntask_acks_late = True\n",
        "upper.py": "OTHER = 1\n" + "".join(rng.sample(UPPER, rng.randint(1, 3))),
        "celery_app.py": application(rng, package, found),
        "jobs.py": tasks(rng, package),
    }
    for name, text in files.items():
        file = folder / f"r{number}" / package / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return package, "\n".join(f"# {name}\n{text}" for name, text in files.items())


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generated")
    return folder, [write(folder, number) for number in range(COUNT)]


@pytest.fixture(scope="module")
def said_by_celery(repositories):
    folder, _ = repositories
    asked = subprocess.run(
        [sys.executable, "-c", dedent(ASK), str(COUNT)], cwd=folder, capture_output=True, text=True, check=True
    )
    return json.loads(asked.stdout)


def test_names_and_queues_are_those_of_celery_itself_or_not_sure(repositories, said_by_celery):
    folder, written = repositories
    sure = total = 0
    for number, (package, text) in enumerate(written):
        truth = said_by_celery[str(number)]
        found = read(folder / f"r{number}", {}, app=f"{package}.celery_app")
        assert {*truth} == {one.name for one in found.tasks} == {*found.served}, text
        for one in found.tasks:
            total += 1
            sure += one.queue.value is not None
            assert one.queue.value is None or one.queue.value == truth[one.name], f"{one.name}: {one.queue}\n{text}"
            if truth[one.name] is not None:
                assert one.queue.value is not None, f"{one.name}: {one.queue}\n{text}"
    assert sure >= 0.7 * total  # else the generator asks for nothing

"""What code does with tasks, by its syntax tree."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from devctl.doctor.celery import code, pins

HEAD = "from celery import chord, group, shared_task\nfrom django.db import models, transaction\nimport requests\n"


def kinds(text: str) -> list[str]:
    return [one.kind for one in code.marks(HEAD + textwrap.dedent(text), "a.py") if one.kind != "sent"]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("join in a task", "@shared_task\ndef a():\n    return b.delay(1).get()"),
        ("join in a task", "@app.task(bind=True)\ndef a(self):\n    r = b.apply_async()\n    return r.get(timeout=3)"),
        ("join", "def view():\n    return b.delay(1).get()"),
        ("by id", "def view(id):\n    return AsyncResult(id).state"),
        ("chord", "def view():\n    chord([a.s()])(b.s())"),
        ("chord", "def view():\n    (group(a.s()) | b.s()).delay()"),
        ("priority", "def view():\n    a.apply_async(priority=3)"),
        ("async", "@shared_task\nasync def a():\n    pass"),
        ("unbound", "@shared_task\ndef a(self, x):\n    pass"),
        ("no parameter", "@shared_task(bind=True)\ndef a():\n    pass"),
        ("no timeout", "@shared_task\ndef a():\n    requests.get('http://x')"),
        ("started", "def view(r):\n    return r.state == 'STARTED'"),
        ("endless retry", "@shared_task(bind=True)\ndef a(self):\n    self.retry(max_retries=None)"),
        ("unsent", "def view():\n    a.delay"),
        ("unsent", "from celery import chain\ndef view():\n    chain(a.s(), b.s())"),
        (
            "swallowed retry",
            "@app.task(bind=True)\ndef a(self):\n    try:\n        self.retry()\n    except Exception:\n        pass",
        ),
        ("before commit", "def view():\n    with transaction.atomic():\n        a.delay(1)"),
        ("before commit", "@transaction.atomic\ndef view():\n    a.delay(1)"),
        ("model", "def view(pk):\n    user = User.objects.get(pk=pk)\n    a.delay(user)"),
        ("model", "def view(pk):\n    user, new = User.objects.get_or_create(pk=pk)\n    a.apply_async(args=[user])"),
        (
            "model",
            "def view(pk):\n    for user in User.objects.filter(x=1):\n        a.apply_async(kwargs={'u': user})",
        ),
        ("model", "def view(request):\n    a.delay(request.user)"),
        ("model", "class User(models.Model):\n    def save(self):\n        a.delay(self)"),
        ("model", "def view(request, pk):\n    a.delay(get_object_or_404(User, pk=pk))"),
        ("model", "@receiver(post_save, sender=User)\ndef saved(sender, instance, **_):\n    a.delay(instance)"),
    ],
)
def test_it_is_seen(kind: str, text: str) -> None:
    assert [kind] == kinds(text)


@pytest.mark.parametrize(
    "text",
    [
        "def view(pk):\n    user = User.objects.get(pk=pk)\n    a.delay(user.pk)",
        "def view(pk):\n    user = User.objects.get(pk=pk)\n    user = user.pk\n    a.delay(user)",
        "def view(pk):\n    for pk in User.objects.values_list('pk', flat=True):\n        a.delay(pk)",
        "def view():\n    with transaction.atomic():\n        transaction.on_commit(lambda: a.delay(1))",
        "def view():\n    with transaction.atomic():\n        save()\n    a.delay(1)",
        "@transaction.atomic\ndef view():\n    def later():\n        a.delay(1)\n    transaction.on_commit(later)",
        "@shared_task\ndef a(x):\n    requests.get('http://x', timeout=3)",
        "def view():\n    requests.get('http://x')",
        "@shared_task\ndef a(d):\n    return d.get('x')",
        "@shared_task\ndef a():\n    r = b.delay()\n    return r.get(disable_sync_subtasks=False)",
        "@shared_task(bind=True)\ndef a(self, x):\n    pass",
        "@shared_task(**options)\ndef a(self, x):\n    pass",
        "@shared_task(base=Async)\nasync def a(x):\n    pass",
        "class Model(models.Model):\n    def save(self):\n        a.delay(self.pk)",
        "def view():\n    group(a.s(), b.s())()",
        "def view():\n    result = group(a.s(), b.s())",
        "@shared_task(bind=True)\ndef a(self):\n    try:\n        x()\n    except Exception:\n        self.retry()",
        "@shared_task(bind=True)\ndef a(self):\n    try:\n        self.retry()\n    except Exception:\n        raise",
        "def view(form):\n    cache = {}\n    a.delay(cache.get('x'))",
    ],
)
def test_it_is_not_taken_for_what_it_is_not(text: str) -> None:
    assert [] == kinds(text)


@pytest.mark.parametrize(
    ("seconds", "call"),
    [
        (7200, "a.apply_async(countdown=2 * 60 * 60)"),
        (86_400, "a.apply_async(countdown=DAY)"),
        (90_000, "a.apply_async(eta=timezone.now() + timedelta(days=1, hours=1))"),
    ],
)
def test_a_wait_is_worked_out(seconds: float, call: str) -> None:
    one, _ = code.marks(f"import celery\nDAY = 24 * 3600\n\ndef view():\n    {call}\n", "a.py")
    assert ("wait", 5, seconds, "a.apply_async") == (one.kind, one.line, one.seconds, one.text)


@pytest.mark.parametrize("call", ["a.apply_async(countdown=wait)", "a.apply_async(eta=when)", "a.apply_async()"])
def test_a_wait_that_nobody_knows_is_none(call: str) -> None:
    assert ["sent"] == [one.kind for one in code.marks(f"import celery\n\ndef view(wait, when):\n    {call}\n", "a.py")]


def test_who_says_no_queue_sends_to_the_usual_one() -> None:
    text = "import celery\na.delay()\na.apply_async(queue='b')\na.apply_async(**options)\nc.d.delay(1)\n"
    assert [("a", 2), ("d", 5)] == [(one.text, one.line) for one in code.marks(text, "a.py")]


@pytest.mark.parametrize("text", ["import celery\ndef broken(:\n", "import celery\n\x00", "celery " + "(" * 5000])
def test_what_is_no_python_is_passed_over(text: str) -> None:
    assert [] == code.marks(text, "a.py")


def test_tests_and_migrations_and_what_is_installed_are_not_read(tmp_path: Path) -> None:
    text = "from celery import shared_task\n@shared_task\nasync def a():\n    pass\n"
    for name in ("app/a.py", "app/tests/a.py", "app/test_a.py", "app/migrations/a.py", ".venv/a.py", "venv/lib/a.py"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert ["app/a.py:3"] == [one.place for one in code.read(tmp_path, [tmp_path, tmp_path / "app"])]


def test_requirements_say_what_is_pinned_and_what_is_not() -> None:
    text = "# ours\ncelery[redis]==5.2.7 \\\n    --hash=sha256:00\nRedis>=4,<5 ; python_version > '3'\nflower\n-r a\n"
    assert [
        ("celery", "5.2.7", True, 2),
        ("redis", "", True, 4),
        ("flower", "", False, 5),
    ] == [(one.name, one.version, one.bounded, one.line) for one in pins.requirements(text, "requirements.txt")]


def test_a_lock_counts_for_more_than_what_it_was_made_from(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\ndependencies = ["celery[redis]", "psycopg2-binary>=2"]\n')
    (tmp_path / "uv.lock").write_text('[[package]]\nname = "celery"\nversion = "5.3.6"\n')
    assert [("celery", "5.3.6", "uv.lock:2"), ("psycopg2-binary", "", "pyproject.toml:2")] == [
        (one.name, one.version, one.place) for one in pins.read(tmp_path, [tmp_path])
    ]


def test_poetry_and_pipenv_are_read_and_a_broken_file_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.poetry.dependencies]\ncelery = "*"\nredis = {version = "^5"}\n')
    (tmp_path / "Pipfile.lock").write_text('{"default": {"kombu": {"version": "==5.3.1"}}}')
    (tmp_path / "poetry.lock").write_text("[[[")
    found = {one.name: (one.version, one.bounded) for one in pins.read(tmp_path, [tmp_path])}
    assert {"celery": ("", False), "redis": ("", True), "kombu": ("5.3.1", True)} == found

"""A Dockerfile as steps without a container, or the line that none of them is."""

from __future__ import annotations

from pathlib import Path

import pytest

from devctl.stack.local import recipe
from devctl.stack.local.recipe import Copy, Files, Install, Recipe, Refused
from devctl.stack.model import Build, Service


def made(root: Path, text: str, **build: object) -> Recipe:
    (root / "Dockerfile").write_text(text)
    found = recipe.read(Service("worker", build=Build(root, **build)), root)  # type: ignore[arg-type]  # fields of Build
    assert found is not None
    return found


def refused(root: Path, text: str) -> str:
    with pytest.raises(Refused) as caught:
        made(root, text)
    assert "--runtime compose" in caught.value.hint
    return caught.value.problem


def installs(found: Recipe) -> list[tuple[str, str, str]]:
    return [(one.tool, " ".join(one.words), one.folder) for one in found.installs]


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("python:3.12-slim", "3.12"),
        ("python:3.8.16-slim-buster", "3.8"),
        ("python:3.11", "3.11"),
        ("python", ""),
        ("python:latest", ""),
        ("python:3-alpine", ""),
        ("docker.io/library/python:3.12.0-slim-bookworm@sha256:0123abcd", "3.12"),
        ("registry.example.com:5000/python:3.10", "3.10"),
        ("ghcr.io/astral-sh/uv:python3.12-bookworm-slim", "3.12"),
        ("ghcr.io/astral-sh/uv:0.6.3-python3.13-alpine", "3.13"),
    ],
)
def test_the_version_is_the_base_image_s(tmp_path: Path, base: str, expected: str) -> None:
    assert expected == made(tmp_path, f"FROM {base}\n").python


def test_the_version_may_come_from_an_argument_of_the_build(tmp_path: Path) -> None:
    text = 'ARG VERSION=3.9\nFROM python:${VERSION}-slim AS base\nFROM base\nCMD ["celery"]\n'
    assert "3.9" == made(tmp_path, text).python
    assert "3.13" == made(tmp_path, text, args={"VERSION": "3.13"}).python


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM nginx:1.27\n", "Dockerfile:1: FROM nginx:1.27: it is no python image"),
        (
            "# a\nFROM node:22 AS a\nFROM python:3.12\nCOPY --from=a /x /x\n",
            "Dockerfile:2: FROM node:22: it is no python",
        ),
        ("FROM python:3.12\nRUN npm install\n", "Dockerfile:2: npm install: devctl cannot do that"),
        (
            "FROM python:3.12\nRUN apt-get update && \\\n  apt-get install -y nosuchprogram gcc\n",
            "nosuchprogram: devctl installs",
        ),
        ("FROM python:3.12\nRUN curl -o /x https://example.com/x\n", "Dockerfile:2: curl -o /x"),
        ("FROM python:3.12\nRUN python install_it.py\n", "Dockerfile:2: python install_it.py"),
        ("FROM python:3.12\nRUN if [ -f x ]; then pip install -r x; fi\n", "it is more than commands"),
        ("FROM python:3.12\nRUN pip freeze | sort > /x\n", "it is more than commands"),
        ("FROM python:3.12\nRUN git clone https://example.com/x\n", "Dockerfile:2: git clone"),
        ("FROM python:3.12\nADD https://example.com/x.sh /x.sh\n", "ADD https://example.com/x.sh: only a builder"),
        ("FROM python:3.12\nCOPY --from=busybox /bin/busybox /bin/\n", "COPY --from=busybox: what is in that image"),
        ("FROM python:3.12\nUNHEARD of\n", "Dockerfile:2: UNHEARD: devctl does not know it"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    problem = refused(tmp_path, text)
    assert problem.startswith("worker cannot be made without a container: Dockerfile:")
    assert expected in problem


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("pip install -r requirements.txt", [("pip", "-r requirements.txt", "/app")]),
        ("pip3 install --no-cache-dir --user -r requirements.txt", [("pip", "-r requirements.txt", "/app")]),
        ("python -m pip install -U celery", [("pip", "--upgrade celery", "/app")]),
        ("pip install --upgrade pip", []),
        ("pip install -U pip setuptools 'wheel<1'", []),
        ("pip install --upgrade pip -r /requirements.txt", [("pip", "--upgrade -r /requirements.txt", "/app")]),
        ("pip install 'celery[redis]>=5,<6' flower==2.0", [("pip", "celery[redis]>=5,<6 flower==2.0", "/app")]),
        ("pip install --upgrade pip && pip install -r a.txt", [("pip", "-r a.txt", "/app")]),
        ("cd /srv && pip install .", [("pip", ".", "/srv")]),
        ("set -ex; pip install celery; rm -rf /root/.cache", [("pip", "celery", "/app")]),
        ("pip install poetry==1.8 && poetry config virtualenvs.create false && poetry install --no-root",
         [("poetry", "--no-root", "/app")]),
        ("uv sync --frozen --no-dev", [("uv", "--frozen --no-dev", "/app")]),
        ("uv pip install --system -r requirements.txt", [("pip", "-r requirements.txt", "/app")]),
        ("pipenv install --system --deploy", [("pipenv", "--system --deploy", "/app")]),
        ("curl -sSL https://install.python-poetry.org | python3 - && poetry install", [("poetry", "", "/app")]),
        ("pip install celery || exit 1", [("pip", "celery", "/app")]),
        ("pip wheel --wheel-dir /wheels -r a.txt && pip install --no-index --find-links=/wheels /wheels/*",
         [("pip", "-r a.txt", "/app")]),
    ],
)  # fmt: skip
def test_what_installs(tmp_path: Path, run: str, expected: list[tuple[str, str, str]]) -> None:
    assert expected == installs(made(tmp_path, f"FROM python:3.12\nWORKDIR /app\nRUN {run}\n"))


def test_wheels_of_an_earlier_stage_are_installed_where_they_are_made(tmp_path: Path) -> None:
    text = """\
FROM python:3.12-slim AS build
COPY requirements.txt .
RUN pip wheel --wheel-dir /usr/src/app/wheels -r requirements.txt
FROM python:3.12-slim
WORKDIR /app
COPY --from=build /usr/src/app/wheels /wheels/
RUN pip install --no-cache-dir --no-index --find-links=/wheels/ /wheels/* && rm -rf /wheels/
COPY . .
"""
    found = made(tmp_path, text)
    assert [("pip", "-r requirements.txt", "/")] == installs(found)
    assert ["build"] == [one.stage for one in found.installs]


@pytest.mark.parametrize(
    ("run", "skipped"),
    [
        ("apt-get update && apt-get install -y --no-install-recommends gcc libpq-dev netcat-traditional", 1),
        ("apk add --no-cache --virtual .build-deps gcc musl-dev && apk del .build-deps", 1),
        ("apt-get update && rm -rf /var/lib/apt/lists/*", 0),
        ("addgroup --system app && adduser --system --ingroup app app && chown -R app:app /app", 0),
        ("python manage.py collectstatic --noinput", 1),
        ("python -m venv /venv", 1),
        ("echo done", 0),
    ],
)
def test_what_a_process_here_does_not_miss_is_left_out_and_noted(tmp_path: Path, run: str, skipped: int) -> None:
    found = made(tmp_path, f"FROM python:3.12\nRUN {run}\n")
    assert skipped == len(found.skipped)
    assert () == found.installs
    assert all(line.startswith("Dockerfile:2 ") for line in found.skipped)


def test_files_are_copied_and_changed_in_their_order_in_their_folders(tmp_path: Path) -> None:
    text = """\
FROM python:3.12
ENV HOME_OF=/srv/app
WORKDIR $HOME_OF
COPY a.txt b.txt lib/
COPY start.sh /start
RUN chmod +x /start
WORKDIR sub
ENTRYPOINT ["/start"]
CMD ["worker"]
"""
    found = made(tmp_path, text)
    copies = [(one.sources, one.target) for one in found.steps if isinstance(one, Copy)]
    assert [(("a.txt", "b.txt"), "/srv/app/lib/"), (("start.sh",), "/start")] == copies
    changes = [(one.words, one.folder) for one in found.steps if isinstance(one, Files) and one.words[0] == "chmod"]
    assert [(("chmod", "+x", "/start"), "/srv/app")] == changes
    assert ("/srv/app/sub", ("/start",), ("worker",)) == (found.folder, found.entrypoint, found.command)


def test_a_variable_of_the_build_is_one_of_what_it_runs(tmp_path: Path) -> None:
    text = "FROM python:3.12\nARG FILE=a.txt\nRUN pip install -r ${FILE} --extra-index-url $NONE\n"
    assert "-r a.txt --extra-index-url" == installs(made(tmp_path, text))[0][1].strip()


def test_nothing_says_how_an_image_is_made_that_is_not_built_here(tmp_path: Path) -> None:
    assert None is recipe.read(Service("db", image="postgres:15"), tmp_path)
    assert None is recipe.read(Service("app", build=Build(tmp_path)), tmp_path)


def test_flower_s_image_is_flower() -> None:
    found = recipe.of_image("mher/flower:2.0.1")
    assert found is not None
    assert ("flower==2.0.1", "redis") == found.installs[0].words
    assert (("celery",), ("flower",)) == (found.entrypoint, found.command)


def test_each_install_knows_where_it_stands(tmp_path: Path) -> None:
    found = made(tmp_path, "FROM python:3.12\n\nRUN pip install celery\n")
    assert [Install("Dockerfile:3", "", "pip", ("celery",), "/")] == list(found.installs)

"""A service: a folder with its project, its code, a first test and its lock, and its block in the Compose file."""

from __future__ import annotations

import tomllib

from devctl.errors import DevctlError, UsageError
from devctl.new import composition, names, task, templates
from devctl.new.names import TaskName
from devctl.new.python import Imports
from devctl.new.repository import Home, Repository

_FIRST_PORT = 8001
_LIBRARY = "celeriac"
_SCRAPED = "monitoring/prometheus.yml"


def add(repository: Repository, name: str, consumes: TaskName | None, *, http: bool) -> Home:
    """Add a consumer, one that also answers over HTTP, or an HTTP API without a task of its own."""
    if consumes is None and not http:
        raise UsageError(
            "what does the service do? say --consumes TASK, or --http, or both",
            hint=f"devctl new service {name} --consumes TASK    it runs a task\n"
            f"devctl new service {name} --http             it has an HTTP API",
        )
    home = next((one for one in repository.homes() if one.name == name), None) or _new_home(repository, name)
    if consumes:
        repository.require_contract(consumes.short)
        owner = repository.owner(consumes.short)
        if owner not in ("", name):
            raise UsageError(
                f"{consumes.short} has its body in {owner} already", hint="devctl tasks    lists the others"
            )
    port = _port(repository, name) if http else None
    _folder(repository, home, consumes, port)
    _compose(repository, home, consumes, port)
    _monitoring(repository, home, port[1] if port else templates.UNPUBLISHED_PORT)
    if consumes:
        task.implement(repository, consumes, home)
    return home


def _new_home(repository: Repository, name: str) -> Home:
    package = names.package(name, repository.imports.own, repository.beside_tests())
    home = Home(name, repository.root / name, package)
    if home.folder.exists() and not home.file("main.py").is_file():
        raise UsageError(f"there is a folder {name} already, and it is no service", hint="another name")
    return home


def locked(repository: Repository, home: Home) -> bool:
    """Whether the service has its lock: else only `make lock` can write it."""
    return repository.changes.has(home.lock)


def _folder(repository: Repository, home: Home, consumes: TaskName | None, port: tuple[str, int] | None) -> None:
    changes, contracts = repository.changes, repository.contracts
    if home.file("main.py").is_file():
        return
    changes.write(home.file("__init__.py"), "")
    extra = "[metrics]" if consumes else "[http]"
    sources = {
        distribution: f"../{folder}"
        for distribution, folder in ((_LIBRARY, _LIBRARY), (contracts.distribution, contracts.folder.name))
        if (repository.root / folder / "pyproject.toml").is_file() and (consumes or distribution == _LIBRARY)
    }
    package = contracts.package if consumes else ""
    text = templates.project(home.name, home.package, package, contracts.distribution, extra, sources)
    changes.write(home.project, text)
    # Its package is new, so nothing says yet that it is one of this repository's.
    repository.imports = Imports(repository.imports.own | {home.package})
    if consumes:
        main = templates.consumer_main(home.name, home.package, consumes, port[1] if port else None)
        imports = {_LIBRARY: ["serve"], f"{home.package}.handlers": [consumes.handler]}
    else:
        assert port is not None, "no consumer: an HTTP API"
        main = templates.api_main(home.name, home.package, port[1])
        api = {f"{home.package}.api": ["create_api"]}
        imports = {f"{_LIBRARY}.http": ["serve"], **api}
        changes.write(home.file("api.py"), templates.api(home.name))
        test = repository.with_imports(templates.api_test(), {_LIBRARY: ["CelerySettings"], **api})
        changes.write(home.tests / "test_api.py", test)
    changes.write(home.file("main.py"), repository.with_imports(main, imports))
    if lock := _lock(repository, text):
        changes.write(home.lock, lock)


def _compose(repository: Repository, home: Home, consumes: TaskName | None, port: tuple[str, int] | None) -> None:
    path = repository.compose_file
    text = repository.changes.read(path)
    folder, image = home.folder.name, composition.image_like(text, home.name)
    anchor = composition.anchor_of(text, repository.contracts.folder.name)
    watched = anchor if composition.has_anchors(text, templates.WATCHED) else ""
    block = templates.service_block(
        home.name, home.package, folder, image, port, consumes=consumes is not None, watched=watched
    )
    repository.changes.write(path, composition.with_service(text, home.name, block, path.name))
    example = repository.root / ".env.example"
    if port and repository.changes.has(example):
        text = repository.changes.read(example)
        comment = "# Ports on this machine (on 127.0.0.1 only); 0 takes a free one\n"
        repository.changes.write(
            example, composition.with_example(text, port[0], str(port[1]), r"[A-Z0-9_]+_PORT=", comment)
        )


def _monitoring(repository: Repository, home: Home, port: int) -> None:
    """Have Prometheus ask it, where the repository has a Prometheus."""
    path = repository.root / _SCRAPED
    if not repository.changes.has(path) or f"job_name: {home.name}\n" in (text := repository.changes.read(path)):
        return
    repository.changes.write(path, text + templates.scraped(home.name, port))


def _port(repository: Repository, name: str) -> tuple[str, int]:
    """The variable and the number: the one it has, else the first that no service has."""
    services = repository.stack.services
    variable = f"{name.upper().replace('-', '_')}_PORT"
    if name in services:
        if not services[name].ports:
            raise UsageError(f"{name} is there already, and publishes no port", hint="another name")
        return variable, services[name].ports[0].target
    taken = {port.target for one in services.values() for port in one.ports}
    taken |= {port.published for one in services.values() for port in one.ports}
    return variable, next(number for number in range(_FIRST_PORT, 65_536) if number not in taken)


def _lock(repository: Repository, project: str) -> str:
    """The lock of a service that needs the same, or more; "" where there is none."""
    wanted = set(dependencies(project))
    for home in repository.homes():
        if home.lock.is_file() and home.project.is_file():
            have = set(dependencies(home.project.read_text(encoding="utf-8")))
            if wanted <= have:
                return home.lock.read_text(encoding="utf-8")
    return ""


def dependencies(project: str) -> list[str]:
    """Return what a pyproject.toml asks for."""
    try:
        return list(tomllib.loads(project)["project"]["dependencies"])
    except (ValueError, KeyError) as wrong:
        raise DevctlError(f"a pyproject.toml cannot be read: {wrong}", hint="mend it, then try again") from wrong


def with_dependency(project: str, requirement: str) -> str:
    """Return the pyproject.toml with one more line in `dependencies`, sorted; the list has a line for each."""
    lines = project.splitlines(keepends=True)
    try:
        start = next(number for number, line in enumerate(lines) if line.strip() == "dependencies = [")
        end = next(number for number in range(start, len(lines)) if lines[number].strip() == "]")
    except StopIteration:
        raise DevctlError(
            f"pyproject.toml has no dependencies with a line for each: {requirement} is missing there",
            hint="add it by hand, then try again",
        ) from None
    name = name_of(requirement)
    if any(name_of(line.strip().strip('",')) == name for line in lines[start + 1 : end]):
        return project
    place = next((n for n in range(start + 1, end) if name_of(lines[n].strip().strip('",')) > name), end)
    lines.insert(place, f'  "{requirement}",\n')
    return "".join(lines)


def name_of(requirement: str) -> str:
    """Return the package that a requirement names."""
    return requirement.partition("[")[0].partition(">")[0].partition("=")[0].strip().lower()

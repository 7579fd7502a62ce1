"""Where things are in a repository like this one's: contracts, services, locks. DevctlError in another kind."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from devctl.errors import DevctlError, UsageError
from devctl.new import python
from devctl.new.changes import Changes
from devctl.settings import Settings
from devctl.stack.model import Stack

_LIKE = "devctl new works in a repository that is laid out like the one of devctl new project DIR"

_PLAIN = "a plain Celery task is a function under @app.task: devctl tasks shows it as soon as it is written"


@dataclass(frozen=True)
class Contracts:
    """The package with the contracts: `FOLDER/src/PACKAGE`."""

    package: str
    folder: Path
    distribution: str

    @property
    def schemas(self) -> Path:
        return self.folder / "src" / self.package / "schemas.py"

    @property
    def tasks(self) -> Path:
        return self.folder / "src" / self.package / "tasks.py"

    @property
    def snapshots(self) -> Path:
        return self.folder / "schemas"


@dataclass(frozen=True)
class Home:
    """The folder of a service, and its one package."""

    name: str
    folder: Path
    package: str

    def file(self, name: str) -> Path:
        return self.folder / "src" / self.package / name

    @property
    def tests(self) -> Path:
        return self.folder / "tests"

    @property
    def project(self) -> Path:
        return self.folder / "pyproject.toml"

    @property
    def lock(self) -> Path:
        return self.folder / "requirements.lock"


class Repository:
    """What `devctl new` must know of it, and the changes that it makes there."""

    def __init__(self, settings: Settings, stack: Stack) -> None:
        self.root = settings.root
        self.compose_file = settings.compose_file
        self.stack = stack
        self.changes = Changes(settings.root)
        self.imports = python.Imports.of(settings.root)
        self.contracts = self._contracts()

    def home(self, service: str) -> Home:
        """Return where a service lives; UsageError for one that the Compose file does not have."""
        (name,) = self.stack.resolve([service])
        build = self.stack.services[name].build
        packages = [] if build is None else [init.parent.name for init in build.context.glob("src/*/__init__.py")]
        if build is None or len(packages) != 1 or not build.context.is_relative_to(self.root):
            raise DevctlError(f"{name} has no folder here with a src/ and one package in it", hint=_LIKE)
        return Home(name, build.context, packages[0])

    def homes(self) -> list[Home]:
        """All services that are laid out so."""
        found = []
        for name in self.stack.services:
            with suppress(DevctlError):  # another kind of service
                found.append(self.home(name))
        return found

    def owner(self, task: str) -> str:
        """Return the service whose code says `@implements(task)`; "" without one."""
        says = re.compile(rf"^\s*@implements\(\s*{re.escape(task)}\s*\)", re.MULTILINE)
        for home in self.homes():
            for file in sorted((home.folder / "src").rglob("*.py")):
                if file.is_file() and says.search(self.changes.read(file)):
                    return home.name
        return ""

    def beside_tests(self) -> frozenset[str]:
        """What lies on the path of the tests, as pytest's `pythonpath` has it."""
        try:
            tools = tomllib.loads((self.root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
            folders = [self.root / one for one in tools["pytest"]["ini_options"]["pythonpath"]]
        except (OSError, ValueError, KeyError):
            return frozenset()
        return frozenset(one.stem for folder in folders if folder.is_dir() for one in folder.iterdir())

    def require_contract(self, task: str) -> None:
        """UsageError where no contract of this name is there."""
        if not python.defines(self.changes.read(self.contracts.tasks), task):
            raise UsageError(f"there is no task {task}", hint=f"devctl new task {task} --queue QUEUE")

    def with_imports(self, text: str, imports: Mapping[str, Iterable[str]]) -> str:
        """Return the text of a Python file with these imports, module -> names."""
        for module, names in imports.items():
            text = self.imports.add(text, module, names)
        return text

    def _contracts(self) -> Contracts:
        package = self.stack.contracts.partition(".")[0]
        if not package:
            raise DevctlError(
                "there are no contracts of celeriac here, and devctl new writes nothing else", hint=f"{_LIKE}\n{_PLAIN}"
            )
        found = list(self.root.glob(f"*/src/{package}/__init__.py")) if package else []
        if len(found) != 1:
            raise DevctlError(
                f"no folder of {self.root} has the contracts: FOLDER/src/{package or 'PACKAGE'}", hint=_LIKE
            )
        folder = found[0].parents[2]
        try:
            project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
        except (OSError, ValueError, KeyError) as wrong:
            raise DevctlError(f"{folder / 'pyproject.toml'} names no project", hint=_LIKE) from wrong
        contracts = Contracts(package, folder, str(project))
        for file in (contracts.schemas, contracts.tasks):
            if not file.is_file():
                raise DevctlError(f"{file} is not there: the contracts of this repository lie elsewhere", hint=_LIKE)
        return contracts

"""The images of a stack's services: which are missing or old, and making them.

Is an image as new as what it is built from? A build with all layers in the cache takes a third of a second, and needs
the engine; to compare fingerprints, kept in `.devctl/builds.json`, takes milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from devctl.stack import sources
from devctl.stack.compose import problems
from devctl.stack.compose.client import Client, Failed, following
from devctl.stack.isolation import is_data
from devctl.stack.model import Build, Service, Stack
from devctl.stack.port import BuildProgress

_BUILD_STEP = re.compile(r"^#(?P<number>\d+) (?:\[(?P<service>[^\s\]]+) )?")

Emit = Callable[[BuildProgress], None]


def fingerprint(build: Build, data: Sequence[Path] = ()) -> str:
    """Digest of all that a build reads: its settings, and name, size and time of each file in its contexts.

    What lies in `data`, containers write while they run: it is no change of code.
    """
    settings = (build.dockerfile, sorted(build.args.items()), build.target, sorted(build.additional_contexts))
    return hashlib.sha256(f"{settings}{sources.digest(_inputs(build, data))}".encode()).hexdigest()


def _inputs(build: Build, data: Sequence[Path] = ()) -> sources.Stamps:
    beside = [build.context / build.dockerfile, sources.ignore_file(build)]  # they may lie outside
    found = sources.stamps_of_build(build) | sources.stamps_of(beside)
    return _without(found, data) if data else found


def _without(found: sources.Stamps, folders: Iterable[Path]) -> sources.Stamps:
    inside = tuple(f"{folder}{os.sep}" for folder in folders)
    return {path: stamp for path, stamp in found.items() if not str(path).startswith(inside)}


def _unmounted(service: Service) -> str:
    """Digest of the files that its image is built from, without what `devctl watch` mounts over them."""
    inputs = _inputs(service.build) if service.build else {}
    return sources.digest(_without(inputs, [one.path for one in service.watch if one.target]))


@dataclass(frozen=True)
class Fingerprints:
    """The fingerprints of what was built last, with the image that came of it. Shared by all stacks of a checkout."""

    file: Path

    def current(self, image: str, image_id: str, print_: str) -> bool:
        """Whether this image is what a build would give."""
        return self._read().get(image) == {"image": image_id, "inputs": print_}

    def built_from(self, print_: str, image_ids: Collection[str]) -> str:
        """The id of an image that was built from this, and is among these; "" without."""
        known = (one["image"] for one in self._read().values() if one["inputs"] == print_)
        return next((id_ for id_ in known if id_ in image_ids), "")

    def remember(self, built: Mapping[str, tuple[str, str]]) -> None:
        """Note image -> (image id, fingerprint) after a build."""
        known = self._read() | {image: {"image": id_, "inputs": print_} for image, (id_, print_) in built.items()}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        new = self.file.with_suffix(f".{os.getpid()}")  # renamed into place: two starts at once read whole files
        new.write_text(json.dumps(known, indent=1), encoding="utf-8")
        new.replace(self.file)

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            known = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # not there, or damaged: build once more
            return {}
        return known if isinstance(known, dict) else {}


def name_of(stack: Stack, service: str) -> str:
    """Return the name of a service's image, its tag included; Compose calls one without a name after its project."""
    name = stack.services[service].image or f"{stack.name}-{service}"
    return name if ":" in name.rpartition("/")[2] or "@" in name else f"{name}:latest"


class Images:
    """What the services run from."""

    def __init__(self, stack: Stack, client: Client, known: Fingerprints, context: problems.Context) -> None:
        self._stack, self._client, self._known, self._context = stack, client, known, context
        self._unmounted: dict[str, str] = {}
        """Service with mounts -> what its image was built from beside them; "" as long as nobody looked."""
        self._data = [Path(m.source) for one in stack.services.values() for m in one.mounts if is_data(one, m)]
        self._pulled: set[str] = set()
        """Services without a build whose image is here."""

    def mounted(self, services: Sequence[str]) -> None:
        """From now on, a change of what is mounted into these is no reason to build."""
        self._unmounted |= dict.fromkeys(services, "")

    def missing(self, services: Sequence[str]) -> list[str]:
        """Those without an image, and those whose sources changed since it was built."""
        asked = [name for name in services if not self._unchanged(name)]
        ids = self._ids() if asked else {}
        missing = [name for name in asked if not self._current(name, ids) and not self._shared(name, ids)]
        self._pulled |= {name for name in asked if not self._builder(name) and name not in missing}
        return missing

    def older(self, images: Mapping[str, str], services: Sequence[str]) -> list[str]:
        """Those of these services with a build that run from another image (service -> id) than a build would give."""
        built = [name for name in services if self._builder(name)]
        ids = self._ids() if built else {}
        return [name for name in built if ids.get(self._name(name)) != images[name] or not self._current(name, ids)]

    def make(self, services: Sequence[str], emit: Emit) -> None:
        """Build those that have a build, pull the others."""
        for name in services:
            if not self._builder(name):
                self._pull(name, emit)
        builders = dict.fromkeys(builder for name in services if (builder := self._builder(name)))
        builds = {name: build for name in builders if (build := self._stack.services[name].build)}
        if builds:
            # The fingerprints come before: a change meanwhile is a new one.
            prints = {name: fingerprint(build, self._data) for name, build in builds.items()}
            rest = {name: _unmounted(self._stack.services[name]) for name in builds if name in self._unmounted}
            before = self._ids()
            same = self._same(list(builds))
            for name, first in same.items():
                emit(BuildProgress(name, f"the build of {first}"))
            self._build([name for name in builds if name not in same], emit)
            for name, first in same.items():
                self._client.docker("image", "tag", self._name(first), self._name(name))
            ids = self._ids()
            images = {self._name(name): prints[name] for name in builds}
            self._known.remember({image: (id_, p) for image, p in images.items() if (id_ := self._id(image, ids))})
            self._unmounted |= rest
            self.clear(before[image] for image in images if image in before)

    def _same(self, services: Sequence[str]) -> dict[str, str]:
        """Service -> an earlier one whose build is the same in all: one image, with two names."""
        if len({str(self._stack.services[name].build) for name in services}) == len(services):
            return {}
        try:
            raw = self._client.resolved()["services"]
        except Failed:  # the build will say what is wrong
            return {}
        first: dict[str, str] = {}
        same = {}
        for name in services:
            how = json.dumps([raw[name].get("build"), raw[name].get("platform")], sort_keys=True)
            if (lead := first.setdefault(how, name)) != name:
                same[name] = lead
        return same

    def clear(self, replaced: Iterable[str]) -> None:
        """Remove those of these images (by id) that no name points to any more, and that no container uses."""
        candidates = set(replaced)
        for id_ in candidates and candidates - set(self._ids().values()):
            with suppress(Failed):  # a container still has it
                self._client.call("docker", "image", "rm", id_)

    def _builder(self, service: str) -> str:
        """The service whose build makes its image: itself, or another one that gives its image the same name; or ""."""
        services, image = self._stack.services, self._name(service)
        if services[service].build:
            return service
        return next((name for name, one in services.items() if one.build and self._name(name) == image), "")

    def _build_of(self, service: str) -> Build | None:
        return self._stack.services[name].build if (name := self._builder(service)) else None

    def _name(self, service: str) -> str:
        return name_of(self._stack, service)

    def _shared(self, service: str, ids: Mapping[str, str]) -> bool:
        """Take the image that another stack of this checkout has built from the same files, instead of a build."""
        build, image = self._build_of(service), self._name(service)
        if build is None or not (
            id_ := self._known.built_from(print_ := fingerprint(build, self._data), set(ids.values()))
        ):
            return False
        self._client.docker("image", "tag", id_, image)
        self._known.remember({image: (id_, print_)})
        return True

    def _ids(self) -> dict[str, str]:
        """Image name -> id, of all that are here."""
        listed = self._client.docker("image", "ls", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")
        ids = dict(line.split(" ", 1) for line in listed.splitlines())
        ids.pop("<none>:<none>", None)
        return ids

    def _current(self, service: str, ids: Mapping[str, str]) -> bool:
        image, build = self._name(service), self._build_of(service)
        if not (id_ := self._id(image, ids)):
            return False
        if build is None:
            return True
        rest = _unmounted(self._stack.services[service]) if service in self._unmounted else ""
        current = self._known.current(image, id_, fingerprint(build, self._data))
        if rest and current:
            self._unmounted[service] = rest
        return current

    def _unchanged(self, service: str) -> bool:
        """Whether nobody has to ask for its image once more: it is mounted over, or was here before."""
        known = self._unmounted.get(service)
        return service in self._pulled or bool(known and known == _unmounted(self._stack.services[service]))

    def _id(self, image: str, ids: Mapping[str, str]) -> str:
        """Return the id of an image; "" where it is not here."""
        if image in ids:
            return ids[image]
        try:  # the list knows no digests, and one name of each: `redis:8` is docker.io/library/redis:8, too
            return self._client.call("docker", "image", "inspect", "--format", "{{.Id}}", image).strip()
        except Failed as absent:
            if problem := problems.engine_gone(absent.errors):
                raise problem from absent
            return ""

    def _build(self, services: Sequence[str], emit: Emit) -> None:
        said: list[str] = []
        owners: dict[str, str] = {}

        def fail(_: int) -> None:
            raise problems.build(services, said, self._context)

        # Not through python-on-whales: its stream leaves the build running when devctl is ended in the middle of it.
        command = [*self._client.compose, "build", "--progress=plain", *services]
        with following(command, fail, self._client.environment) as lines:
            for line in lines:
                said.append(line)
                if step := _BUILD_STEP.match(line):
                    if step["service"] in services:
                        owners[step["number"]] = step["service"]
                    emit(BuildProgress(owners.get(step["number"], ""), line))

    def _pull(self, service: str, emit: Emit) -> None:
        said: list[str] = []

        def fail(_: int) -> None:
            raise problems.pull([service], self._name(service), "\n".join(said), self._context)

        command = ["docker", "pull", self._name(service)]  # for the same reason
        with following(command, fail, self._client.environment) as lines:
            for line in lines:
                said.append(line)
                emit(BuildProgress(service, line))

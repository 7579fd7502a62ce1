"""Compose projects made up by a seed: files, overrides, what they include and extend, variables and their files."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

NAMES = ("web", "worker", "beat", "db", "cache", "x1")
VARIABLES = ("TAG", "HOST", "P", "EMPTY", "SECRET", "DEEP", "UNSET", "ALSO_UNSET")
WORDS = ("a", "b c", "1", "it's", 'say "x"', "#no", "a #b", "tab\there", "ünï", "a=b", "x:y", "{z}", "back\\slash", "")


@dataclass
class Project:
    """One made-up project; `write` lays it down in a folder."""

    seed: int
    files: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    def write(self, root: Path) -> None:
        """Write all files."""
        for name, text in self.files.items():
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")

    def __str__(self) -> str:
        shown = (f"--- {name}\n{text}" for name, text in self.files.items())
        return "\n".join([f"seed {self.seed}, environment {self.environment}", *shown])


class Overriding(dict[str, Any]):
    """A map under `!override`."""


class Reset:
    """`!reset null`."""


class Dumper(yaml.SafeDumper):
    """YAML with Compose's tags, and anchors where the same value stands twice."""


Dumper.add_representer(Overriding, lambda dumper, value: dumper.represent_mapping("!override", value))
Dumper.add_representer(Reset, lambda dumper, value: dumper.represent_scalar("!reset", "null"))


class Maker:
    """Draws one project from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # the same projects every time
        self.project = Project(seed)
        self.some = self.random.choice

    def chance(self, share: float) -> bool:
        """Say yes that often."""
        return self.random.random() < share

    def make(self) -> Project:
        """Draw it."""
        files = self.project.files
        self.environment()
        names = self.random.sample(NAMES, self.random.randint(1, 4))
        main = self.file(names)
        if self.chance(0.25):
            files["common.yml"] = self.text(self.file(["base", "other"], plain=True))
            for name in names[:2]:
                main["services"][name]["extends"] = {"file": "common.yml", "service": self.some(("base", "other"))}
        if self.chance(0.25) and len(names) > 1:
            main["services"][names[0]]["extends"] = names[1] if self.chance(0.5) else {"service": names[1]}
            main["services"][names[1]].pop("extends", None)
        if self.chance(0.25):
            self.include(main)
        entry = self.some(("compose.yaml", "docker-compose.yml", "docker-compose.yaml", "compose.yml"))
        files[entry] = self.text(main)
        if self.chance(0.5):
            changed = {*self.random.sample(names, self.random.randint(1, len(names)))}
            over = self.file([name for name in names if name in changed], part=True)
            if self.chance(0.3):
                self.environment_files(over, entry)
            else:
                files[self.some(("compose.override.yml", "docker-compose.override.yaml"))] = self.text(over)
        return self.project

    def environment_files(self, over: dict[str, Any], entry: str) -> None:
        """Have the environment name the Compose files."""
        self.project.files["more/over.yml"] = self.text(over)
        given = f"{entry}:more/over.yml"
        if self.chance(0.5):
            self.project.environment["COMPOSE_FILE"] = given
        else:
            self.project.files[".env"] = self.project.files.get(".env", "") + f"COMPOSE_FILE={given}\n"

    def environment(self) -> None:
        """Draw .env, env files and the shell's variables."""
        files = self.project.files
        if self.chance(0.7):
            files[".env"] = self.dotenv()
        for name in ("one.env", "two.env"):
            files[name] = self.dotenv()
        for name in VARIABLES[:-2]:
            if self.chance(0.3):
                self.project.environment[name] = "" if name == "EMPTY" else self.some(("shell", "7000", "s$1", "a b"))
        if self.chance(0.3):
            self.project.environment["PORT"] = "9000"
        if self.chance(0.2):
            self.project.environment["COMPOSE_PROFILES"] = self.some(("debug", "debug,more", "*"))
        if self.chance(0.1):
            self.project.environment["COMPOSE_PROJECT_NAME"] = "given"

    def dotenv(self) -> str:
        """Draw the lines of an env file."""
        lines = [self.entry() for _ in range(self.random.randint(0, 6))]
        return "".join(f"{line}\n" for line in lines)

    def entry(self) -> str:
        """Draw one entry of an env file."""
        name, word = self.some((*VARIABLES[:-1], "OWN")), self.some(WORDS)
        reference = self.some(("$HOST", "${TAG}", "${P:-1}", "${UNSET-d}", "$$x", "${SECRET:+set}", "$1", "\\$HOST"))
        return self.some(
            (
                f"{name}={word}",
                f"export {name}={word}",
                f"{name} = {word}  # note",
                f"{name}: {word}",
                f"{name}={reference}/x",
                f'{name}="{reference} # in"  # out',
                f"{name}='{reference} # in'",
                f'{name}="two\\nlines\\t{reference}"',
                f'{name}="real\n# line {reference}\nend"',
                f"{name}='real\n  # line'",
                f'{name}="quo\\"te"',
                f"{name}='quo\\'te'",
                name,
                f"# {name}={word}",
                "",
                f"  {name}={word}",
                f"{name}=#{word}",
                f"{name}=http://{reference}:80/?q=1",
            )
        )

    def value(self) -> str:
        """Draw a value of a Compose file, with variables or without."""
        name = self.some(VARIABLES)
        return self.some(
            (
                "plain",
                f"${{{name}}}",
                f"x-${name}-y",
                f"${{{name}:-default}}",
                f"${{{name}-${{DEEP:-in}}}}",
                f"${{{name}:+set}}",
                "$$not",
                "cost $5",
                f"${{{name}+x${{TAG}}}}",
            )
        )

    def file(self, names: list[str], *, plain: bool = False, part: bool = False) -> dict[str, Any]:
        """Draw a Compose file."""
        services = {name: self.service(names, name, part=part, plain=plain) for name in names}
        made: dict[str, Any] = {"services": services}
        if not part or self.chance(0.3):
            made["volumes"] = {"data": None, "more": None}
            made["networks"] = {"front": None, "back": {}}
        if self.chance(0.3):
            made["version"] = "3.8"
        if self.chance(0.1) and not plain:
            made["name"] = self.some(("shop", "${TAG:-shop}"))
        return made

    def include(self, main: dict[str, Any]) -> None:
        """Draw a file that the main one includes."""
        included = {"services": {"apart": self.service(["apart"], "apart", env_files=False)}}
        included["volumes"] = {"data": None, "more": None}  # the same as in the main one: no conflict
        included["networks"] = {"front": None, "back": {}}
        self.project.files["part/compose.yaml"] = self.text(included)
        if self.chance(0.5):
            self.project.files["part/.env"] = self.dotenv()
        main["include"] = [
            self.some(("part/compose.yaml", {"path": "part/compose.yaml"}, {"path": ["part/compose.yaml"]}))
        ]
        if self.chance(0.3):
            main["include"] = [{"path": "part/compose.yaml", "env_file": "one.env"}]

    def service(
        self, names: list[str], name: str, *, part: bool = False, plain: bool = False, env_files: bool = True
    ) -> dict[str, Any]:
        """Draw a service: some of its keys, in one of the forms that each may have."""
        others = names[names.index(name) + 1 :]  # no cycles
        made: dict[str, Any] = {}
        if not part:
            made["image"] = f"image:{self.some(('1', '${TAG:-2}', '${HOST:-h}'))}"
        keys = {
            "build": lambda: self.some(
                (".", {"context": "./dir", "args": {"A": self.value(), "HOST": None}}, {"context": "..", "target": "t"})
            ),
            "command": lambda: self.some(("run --it 'a b'", ["run", self.value()], 'sh -c "echo $$A && b"')),
            "entrypoint": lambda: self.some(("python -m", ["tini", "--"], [])),
            "environment": self.variables,
            "ports": lambda: [self.port() for _ in range(self.random.randint(1, 2))],
            "volumes": lambda: [self.volume() for _ in range(self.random.randint(1, 2))],
            "profiles": lambda: self.random.sample(["debug", "more"], 1),
            "restart": lambda: self.some(("always", "no", "on-failure:3", "unless-stopped")),
            "healthcheck": lambda: self.some(
                (
                    {"test": ["CMD", "ping"], "interval": "1m30s"},
                    {"test": "curl x || exit 1", "retries": 5},
                    {"disable": True},
                )
            ),
            "deploy": lambda: self.some(
                (
                    {"replicas": self.some((0, 2, "${REPLICAS:-3}"))},
                    {"resources": {"limits": {"cpus": "0.5"}}},
                    {"restart_policy": {"condition": self.some(("any", "none", "on-failure"))}},
                )
            ),
            "working_dir": lambda: self.some(("/srv", "/srv/${TAG:-x}")),
            "hostname": lambda: self.some(("host1", "h-${TAG:-x}")),
            "stop_grace_period": lambda: self.some(("30s", "1m", "500ms")),
            "labels": lambda: self.some(({"a": "1"}, ["a=2", "b"])),
            "networks": lambda: self.some(
                (["front"], {"front": {"aliases": ["other"]}, "back": None}, ["front", "back"])
            ),
            "user": lambda: self.some(("1000", "app:app")),
            "init": lambda: True,
            "cpu_shares": lambda: 5,
            "tty": lambda: True,
            "expose": lambda: ["80"],
        }
        if env_files:
            keys["env_file"] = lambda: self.some(
                ("one.env", ["one.env", "two.env"], [{"path": "none.env", "required": False}, "two.env"])
            )
        if others and not plain:
            keys["depends_on"] = lambda: self.some(
                (
                    others[:1],
                    {others[0]: {"condition": self.some(("service_started", "service_healthy"))}},
                    {others[-1]: {"condition": "service_started", "required": False}},
                )
            )
            keys["links"] = lambda: [self.some((others[0], f"{others[0]}:alias"))]
        for key in self.random.sample(sorted(keys), self.random.randint(1, 6)):
            made[key] = keys[key]()
        if part and self.chance(0.2):
            key = self.some(("ports", "environment", "command", "volumes"))
            made[key] = Overriding(self.variables_map()) if key == "environment" else Reset()
        return made

    def variables(self) -> Any:
        """Draw an environment, as a map or as a list."""
        found = self.variables_map()
        if self.chance(0.5):
            return found
        return [name if value is None else f"{name}={value}" for name, value in found.items()]

    def variables_map(self) -> dict[str, Any]:
        """Draw an environment."""
        names = self.random.sample((*VARIABLES, "OWN", "LAST"), self.random.randint(1, 4))
        return {name: self.some((self.value(), self.value(), None, 1, 2.5, True, "")) for name in names}

    def port(self) -> Any:
        """Draw a published port."""
        return self.some(
            (
                "8000",
                8001,
                "8002:80",
                "127.0.0.1:8003:80",
                "127.0.0.1:${PORT:-8004}:80",
                "${PORT:-8005}:${PORT:-8005}",
                "8010-8011:90-91",
                "5353:53/udp",
                {"target": 80, "published": "${PORT:-8006}"},
                {"target": 81, "published": 8007, "host_ip": "127.0.0.1", "protocol": "tcp"},
            )
        )

    def volume(self) -> Any:
        """Draw a mount."""
        return self.some(
            (
                "data:/data",
                "more:/data/",
                "./src:/app",
                "./src/../other:/app:ro",
                ".:/code",
                "/abs/./x/:/abs",
                "/anonymous",
                {"type": "bind", "source": "./long", "target": "/long", "read_only": True},
                {"type": "volume", "source": "data", "target": "/volume"},
                {"type": "tmpfs", "target": "/tmp/x"},  # in a container
            )
        )

    def text(self, values: dict[str, Any]) -> str:
        """The YAML; here and there with an anchor and a merge key."""
        text = yaml.dump(values, Dumper=Dumper, sort_keys=False, allow_unicode=True)
        if self.chance(0.2):
            head = "x-base: &base\n  restart: always\n  environment: {FROM_BASE: '1'}\n"
            text = head + text.replace("    image:", "    <<: *base\n    image:", 1)
        return text

"""Commands that run another command: env, gosu, tini, `poetry run`, `watchmedo … --`, `sh -c`, …"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

Words = Sequence[str]

_SHELLS = {"ash", "bash", "dash", "ksh", "sh", "zsh"}
_RUNNERS = {"conda", "hatch", "mamba", "micromamba", "pdm", "pipenv", "pixi", "poetry", "rye", "uv"}
_PLAIN = {
    *("catatonit", "chpst", "command", "ddtrace-run", "dockerize", "dumb-init", "exec", "ionice", "nice", "nohup"),
    *("opentelemetry-instrument", "runuser", "setpriv", "setsid", "stdbuf", "sudo", "time", "tini", "with-contenv"),
}
_VALUES: dict[str, set[str]] = {
    "env": {"-u", "--unset", "-C", "--chdir"},
    "nice": {"-n"},
    "ionice": {"-c", "-n"},
    "stdbuf": {"-i", "-o", "-e"},
    "timeout": {"-k", "-s"},
    "sudo": {"-u", "-g"},
    "runuser": {"-u", "-g"},
    "chpst": {"-u", "-U", "-e"},
    "setpriv": {"--reuid", "--regid"},
    "tini": {"-p", "-e", "-v"},
    "dumb-init": {"-r", "--rewrite"},
    "dockerize": {"-wait", "-timeout", "-template", "-wait-retry-interval", "-stdout", "-stderr"},
    "watchmedo": {"-d", "--directory", "-p", "--pattern", "--patterns", "-i", "--ignore-pattern", "--ignore-patterns"}
    | {"--signal", "--kill-after", "--interval", "--debounce-interval", "--timeout"},
    "watchfiles": {"--filter", "--ignore-paths", "--target-type", "--args", "--sigint-timeout", "--sigkill-timeout"},
    "debugpy": {"--listen", "--connect", "--log-to", "--configure-qt"},
    "coverage": {"--source", "--rcfile", "--data-file", "--include", "--omit", "--context", "--concurrency"},
    "uv": {"-p", "--python", "--with", "--extra", "--group", "--env-file", "--directory", "--project", "--package"},
    **{name: {"-n", "--name", "-p", "--python", "-e", "--env-file"} for name in _RUNNERS - {"uv"}},
}
"""Options of each wrapper whose value is the next word."""
_WITH_A_USER = {"gosu", "su-exec"}
_RUN_WITHIN = {"aws-vault", "chamber", "doppler", "dotenv", "infisical", "op", "newrelic-admin"}
_WAITS = re.compile(r"wait|until|ready", re.IGNORECASE)


@dataclass(frozen=True)
class Inner:
    """What is run in the end."""

    words: tuple[str, ...] = ()
    text: str | None = None
    """The text of a shell; `words` are its arguments then."""
    environment: dict[str, str] = field(default_factory=dict)
    folder: str = ""


def peel(words: Words) -> Inner | None:
    """Return what this command runs, one wrapper less; None where it is no wrapper that is known here."""
    name = posixpath.basename(words[0])
    rest = [*words[1:]]
    if name in _KNOWN:
        return _KNOWN[name](rest)
    if re.fullmatch(r"python[\d.]*", name):
        return _python(rest)
    if _WAITS.search(name) and "--" in rest:
        return _some(rest[rest.index("--") + 1 :])
    return None


def is_shell(words: Words) -> bool:
    """Whether a shell runs what follows: the text of `-c`, or a script."""
    return posixpath.basename(words[0]) in _SHELLS


def _some(words: Words) -> Inner | None:
    return Inner(tuple(words)) if words else None


def _after_options(name: str, words: list[str]) -> list[str]:
    """Return the words behind the options of a wrapper, and behind `--`."""
    values = _VALUES.get(name, set())
    at = 0
    while at < len(words) and words[at].startswith("-"):
        if words[at] == "--":
            return words[at + 1 :]
        at += 2 if words[at] in values else 1
    return words[at:]


def _shell(rest: list[str]) -> Inner | None:
    at = 0
    while at < len(rest) and rest[at].startswith(("-", "+")) and rest[at] != "--":
        if re.fullmatch(r"-[a-z]*c[a-z]*", rest[at]):
            at += 1 + (rest[at].endswith("o") and rest[at] != "-c")
            following = rest[at:]
            return Inner(tuple(following[2:]), text=following[0]) if following else None
        at += 2 if re.fullmatch(r"[-+][a-z]*o", rest[at]) else 1
    return _some(rest[at:])


def _runner(name: str, rest: list[str]) -> Inner | None:
    while rest and rest[0].startswith("-"):
        rest = rest[2:] if rest[0] in _VALUES[name] else rest[1:]
    if rest[:1] != ["run"]:
        return None
    rest = rest[1:]
    if name == "uv":
        return _uv_run(rest)
    return _some(_after_options(name, rest))


def _uv_run(rest: list[str]) -> Inner | None:
    at = 0
    while at < len(rest) and rest[at].startswith("-") and rest[at] != "--":
        if rest[at] in ("-m", "--module"):
            return Inner(("python", "-m", *rest[at + 1 :]))
        at += 2 if rest[at] in _VALUES["uv"] else 1
    rest = rest[at + (rest[at : at + 1] == ["--"]) :]
    return Inner(("python", *rest)) if rest and rest[0].endswith(".py") else _some(rest)


def _env(rest: list[str]) -> Inner | None:
    if rest[:1] in (["-S"], ["--split-string"]) and len(rest) > 1:
        rest = [*shlex.split(rest[1]), *rest[2:]]
    rest = _after_options("env", rest)
    own: dict[str, str] = {}
    while rest and re.match(r"[A-Za-z_]\w*=", rest[0]):
        name, _, own[name] = rest.pop(0).partition("=")
    return Inner(tuple(rest), environment=own) if rest else None


def _su(rest: list[str]) -> Inner | None:
    for option in ("-c", "--command"):
        if option in rest[:-1]:
            return Inner(text=rest[rest.index(option) + 1])
    return None


def _watchmedo(rest: list[str]) -> Inner | None:
    if rest[:1] == ["shell-command"]:
        found = [word.partition("=")[2] for word in rest if word.startswith(("--command=", "-c="))]
        return Inner(text=found[0]) if found else None
    if rest[:1] != ["auto-restart"]:
        return None
    rest = rest[1:]
    return _some(rest[rest.index("--") + 1 :] if "--" in rest else _after_options("watchmedo", rest))


def _watchfiles(rest: list[str]) -> Inner | None:
    """Its first argument is a command line, or a Python function."""
    rest = _after_options("watchfiles", rest)
    return Inner(text=rest[0]) if rest and (" " in rest[0] or "." not in rest[0]) else None


def _nodemon(rest: list[str]) -> Inner | None:
    for option in ("-x", "--exec"):
        if option in rest[:-1]:
            given = rest[rest.index(option) + 1 :]
            return Inner(text=given[0]) if " " in given[0] else _some(given)
    return None


def _python(rest: list[str]) -> Inner | None:
    """`python -m debugpy … -m celery`, `python -m watchfiles "…"`; any other program of Python is no wrapper."""
    at = 0
    while at < len(rest) and rest[at].startswith("-") and rest[at] != "-m":
        at += 2 if rest[at] in ("-X", "-W") else 1
    if rest[at : at + 1] != ["-m"] or at + 1 >= len(rest):
        return None
    module, given = rest[at + 1], rest[at + 2 :]
    module = {"watchdog.watchmedo": "watchmedo"}.get(module, module)
    if module in ("debugpy", "hupper", "coverage", "watchfiles", "watchmedo", "pipenv", "poetry", "pdm", "uv"):
        return peel([module, *given])
    return None


def _python_of(name: str, rest: list[str]) -> Inner | None:
    """What follows is what follows `python`: `-m module`, or a file."""
    at = 0
    while at < len(rest) and rest[at].startswith("-") and rest[at] != "-m":
        at += 2 if rest[at] in _VALUES.get(name, set()) else 1
    return Inner(("python", *rest[at:])) if at < len(rest) else None


def _within(name: str, rest: list[str]) -> Inner | None:
    """`doppler run -- X`, `newrelic-admin run-program X`."""
    if "--" in rest:
        return _some(rest[rest.index("--") + 1 :])
    return _some(rest[1:]) if name in ("newrelic-admin", "dotenv") else None


def _options_then(name: str) -> Callable[[list[str]], Inner | None]:
    return lambda rest: _some(_after_options(name, rest))


_KNOWN: dict[str, Callable[[list[str]], Inner | None]] = {
    **dict.fromkeys(_SHELLS, _shell),
    **{name: partial(_runner, name) for name in _RUNNERS},
    **{name: partial(_within, name) for name in _RUN_WITHIN},
    **{name: _options_then(name) for name in _PLAIN},
    **dict.fromkeys(_WITH_A_USER, lambda rest: _some(rest[1:])),
    "timeout": lambda rest: _some(_after_options("timeout", rest)[1:]),
    "env": _env,
    "su": _su,
    "watchmedo": _watchmedo,
    "watchfiles": _watchfiles,
    "nodemon": _nodemon,
    "coverage": lambda rest: _python_of("coverage", rest[1:]) if rest[:1] == ["run"] else None,
    "debugpy": partial(_python_of, "debugpy"),
    "hupper": partial(_python_of, "hupper"),
}

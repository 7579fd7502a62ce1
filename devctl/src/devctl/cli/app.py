"""The Typer app: every command is one module of this folder, listed here; others are plug-ins."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from devctl.cli import plugins
from devctl.cli.bench import bench
from devctl.cli.build import build
from devctl.cli.dash import dash
from devctl.cli.dead_letters import dead_letters
from devctl.cli.demo import demo
from devctl.cli.doctor import doctor
from devctl.cli.down import down
from devctl.cli.init import init
from devctl.cli.logs import logs
from devctl.cli.new import new
from devctl.cli.ps import ps
from devctl.cli.queues import queues
from devctl.cli.restart import restart
from devctl.cli.restore import restore
from devctl.cli.result import result
from devctl.cli.run import run
from devctl.cli.scale import scale
from devctl.cli.send_task import send_task
from devctl.cli.stacks import stacks
from devctl.cli.tasks import tasks
from devctl.cli.trace import trace
from devctl.cli.up import up
from devctl.cli.watch import watch

COMMANDS: tuple[Callable[..., None], ...] = (
    demo,
    up,
    watch,
    run,
    down,
    ps,
    dash,
    stacks,
    logs,
    restart,
    scale,
    build,
    tasks,
    restore,
    send_task,
    result,
    trace,
    bench,
    doctor,
    init,
)
GROUPS: tuple[typer.Typer, ...] = (queues, dead_letters, new)
"""Commands that have commands of their own; each of these, too, is one module."""


class _Root(TyperGroup):
    """devctl itself. What a command takes is read when it is called: for all of them that takes 40 ms, on every TAB."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._sources: dict[str, Callable[..., None] | typer.Typer] = {name_of(one): one for one in COMMANDS}
        self._sources |= {str(group.info.name): group for group in GROUPS}
        self._sources |= dict(plugins.commands())
        for name, source in self._sources.items():
            help_ = source.info.help if isinstance(source, typer.Typer) else source.__doc__
            self.add_command(TyperCommand(name, help=inspect.cleandoc(help_ or "")))

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Find the command that the first word names, with all that it takes."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, _whole(name, self._sources[name]) if name else command, rest


def name_of(command: Callable[..., None]) -> str:
    """Return what a command is called on the command line."""
    return command.__name__.rstrip("_").replace("_", "-")


def _whole(name: str, source: Callable[..., None] | typer.Typer) -> Any:
    """Return a command with its options and arguments, or with its commands."""
    if not isinstance(source, typer.Typer):
        command, source = source, typer.Typer(add_completion=False, rich_markup_mode=None)
        source.command(name)(command)
    return typer.main.get_command(source)


app = typer.Typer(
    name="devctl",
    help="""Start, feed, measure and explain a stack of Celery services.

    \b
    Examples:
      devctl demo                    the main job in one go
      devctl up web                  one service and what it needs
      devctl send-task --wait        a sample task, and its result
      devctl bench --workers 1,2,4   how many workers it takes
    """,
    cls=_Root,
    no_args_is_help=True,
    rich_markup_mode=None,  # Rich help costs 70 ms in every start and every TAB
    pretty_exceptions_enable=False,  # the error boundary in __main__ speaks
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root() -> None:
    pass  # makes the app a group, though typer is told of no command

"""The Typer app: every command is one module of this folder, listed here."""

from __future__ import annotations

from collections.abc import Callable

import typer

from devctl.cli.bench import bench
from devctl.cli.build import build
from devctl.cli.chaos import chaos
from devctl.cli.dead_letters import dead_letters
from devctl.cli.demo import demo
from devctl.cli.doctor import doctor
from devctl.cli.down import down
from devctl.cli.logs import logs
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
from devctl.cli.up import up
from devctl.cli.watch import watch

COMMANDS: tuple[Callable[..., None], ...] = (
    demo,
    up,
    watch,
    run,
    down,
    ps,
    stacks,
    logs,
    restart,
    scale,
    build,
    tasks,
    queues,
    restore,
    send_task,
    result,
    bench,
    chaos,
    doctor,
)
GROUPS: tuple[typer.Typer, ...] = (dead_letters,)
"""Commands that have commands of their own; each of these, too, is one module."""

app = typer.Typer(
    name="devctl",
    help="""Start, feed, measure and explain a stack of Celery services.

    \b
    Examples:
      devctl demo                    the main job in one go
      devctl up service1             one service and what it needs
      devctl send-task --wait        a sample task, and its result
      devctl bench --workers 1,2,4   how many workers it takes
    """,
    no_args_is_help=True,
    rich_markup_mode=None,  # Rich help costs 70 ms in every start and every TAB
    pretty_exceptions_enable=False,  # the error boundary in __main__ speaks
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in COMMANDS:
    app.command(name=command.__name__.rstrip("_").replace("_", "-"))(command)
for group in GROUPS:
    app.add_typer(group)

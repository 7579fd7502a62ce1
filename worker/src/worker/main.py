"""python -m worker.main: run the tasks that the worker owns, until a SIGTERM."""

import sys

from celeriac import logs
from celeriac.errors import SettingsError
from celeriac.workbench import chaos
from celeriac.workbench.bench import bench_task
from celeriac.worker.app import make_worker
from celeriac.worker.program import run_worker
from worker import config
from worker.handlers import SERVICE, check_health, handle_order


def main() -> int:
    try:
        settings = config.load()
    except SettingsError as exc:
        print(f"{SERVICE}: {exc}", file=sys.stderr)  # noqa: T201  before there are logs
        return 1
    logs.configure(SERVICE, settings.log.level, settings.log.format)
    app = make_worker(
        SERVICE,
        owns=[handle_order, check_health, bench_task, *chaos.implementations()],
        settings=settings.celery,
        retries=settings.retries,
    )
    return run_worker(app, settings.worker)


if __name__ == "__main__":
    raise SystemExit(main())

"""What devctl measures workers with, and breaks them with. `WORKER_MOUNT=celeriac.workbench` mounts it."""

from celery import Celery


def mount(app: Celery) -> None:
    """Own `tasks.bench`, and watch runs whose messages have the header `bench_run`. With CHAOS_LEDGER_URL, own
    `tasks.chaos` and `tasks.soak`, too."""
    from celeriac.observer import observe
    from celeriac.workbench import chaos, soak
    from celeriac.workbench.bench import bench_task
    from celeriac.workbench.bench_ledger import BenchLedger
    from celeriac.worker.app import own

    own(app, [bench_task, *chaos.implementations(), *soak.implementations()])
    observe(app, BenchLedger(app))

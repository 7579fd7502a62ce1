"""An app of a Django site, and a second app in the same process."""

import os
import time

from celery import Celery, shared_task

from celeriac import install

app = install(Celery("site"))
app.config_from_object("site_settings", namespace="CELERY")
other = install(Celery("other", broker=os.environ.get("PLAIN_URL"), set_as_current=False))


@shared_task
def double(x: int) -> int:
    return 2 * x


@shared_task
def naps(seconds: float) -> None:
    time.sleep(seconds)


@app.task
def sends_with_the_other() -> str:
    return str(other.send_task("elsewhere", queue="elsewhere").id)

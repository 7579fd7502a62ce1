"""A plain app whose task tells what its worker has imported."""

import os
import sys

from celery import Celery

from celeriac import install

app = install(Celery("imports", broker=os.environ["PLAIN_URL"], backend=os.environ["PLAIN_URL"]))


@app.task
def imported() -> list[str]:
    return sorted(sys.modules)

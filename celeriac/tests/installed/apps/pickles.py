"""An app whose messages are pickled."""

import os
from typing import Any

from celery import Celery

from celeriac import install

app = install(Celery("pickles", broker=os.environ["PLAIN_URL"], backend=os.environ["PLAIN_URL"]))
app.conf.update(task_serializer="pickle", result_serializer="pickle", accept_content=["pickle", "json"])


@app.task
def same(value: Any) -> Any:
    return value

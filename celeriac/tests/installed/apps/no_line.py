"""An app without the line."""

import os

from celery import Celery

app = Celery("no_line", broker=os.environ["PLAIN_URL"], backend=os.environ["PLAIN_URL"])
app.conf.worker_health_file = os.environ.get("PLAIN_HEALTH")
app.conf.worker_http_port = os.environ.get("PLAIN_HTTP_PORT")


@app.task
def pid() -> int:
    return os.getpid()


assert pid.name  # it is bound before `celeriac worker` can see the app

"""An app with an option that cannot be meant."""

import os

from celery import Celery

from celeriac import install

app = install(Celery("wrong_option", broker=os.environ["PLAIN_URL"]))
app.conf.broker_transport_options = {"lease_seconds": "60"}

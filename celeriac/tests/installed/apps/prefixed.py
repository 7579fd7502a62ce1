"""An app whose keys have a prefix."""

import os

from celery import Celery

from celeriac import install

app = install(Celery("prefixed", broker=os.environ["PLAIN_URL"]))
app.conf.broker_transport_options = {"global_keyprefix": "shop-"}

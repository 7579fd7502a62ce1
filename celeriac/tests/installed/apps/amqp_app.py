"""An app whose broker is no Redis."""

from celery import Celery

from celeriac import install

app = install(Celery("amqp_app", broker="amqp://guest:hunter2@127.0.0.1:1//"))

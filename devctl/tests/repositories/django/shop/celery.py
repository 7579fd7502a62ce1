import os

from celery import Celery
from celery.schedules import crontab

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.conf.beat_schedule = {
    "nightly": {"task": "reports.tasks.nightly", "schedule": crontab(hour=3, minute=0), "args": ("all",)},
    "every-ten-seconds": {"task": "mails.tasks.flush", "schedule": 10.0},
}

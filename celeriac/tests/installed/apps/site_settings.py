"""Settings as Django has them: names in capitals, with a prefix."""

import os

CELERY_BROKER_URL = os.environ.get("PLAIN_URL", "redis://127.0.0.1:1/0")
CELERY_RESULT_BACKEND = CELERY_BROKER_URL
CELERY_TASK_TRACK_STARTED = True
CELERY_TASK_DEFAULT_QUEUE = "site"
CELERY_BROKER_TRANSPORT_OPTIONS = {"lease_seconds": 1}
CELERY_WORKER_STOP_SECONDS = 2
DEBUG = True
INSTALLED_APPS = ["site"]

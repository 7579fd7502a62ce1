"""The Celery app of those who publish: `celery -A common_tasks.celery_app …`."""

from celeriac import make_app
from common_tasks.tasks import CONTRACTS

app = make_app("client", contracts=CONTRACTS)

import os
import time

from celery import Celery

celery = Celery(__name__)
celery.conf.broker_url = os.environ.get("CELERY_BROKER_URL", "redis://localhost:6379")
celery.conf.result_backend = os.environ.get("CELERY_RESULT_BACKEND", "redis://localhost:6379")


@celery.task(name="create_report")
def create_report(pages, title="Report"):
    """Render a report."""
    time.sleep(int(pages) * 0.01)
    return {"title": title, "pages": pages}


@celery.task
def add(x: int, y: int) -> int:
    return x + y


@celery.task(bind=True, autoretry_for=(OSError,), max_retries=2, default_retry_delay=1)
def fetch(self, url: str, *, timeout: float = 5.0, headers: dict | None = None):
    if url.startswith("fail:"):
        raise OSError(f"cannot fetch {url}")
    return {"url": url, "timeout": timeout, "tries": self.request.retries}

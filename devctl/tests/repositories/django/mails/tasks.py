from celery import shared_task


@shared_task(bind=True, max_retries=3)
def send(self, to: str, subject: str = "Hello", copies: int = 1):
    """Send one mail."""
    if to == "fail@example.org":
        raise self.retry(countdown=1)
    return f"{copies} to {to}: {subject}"


@shared_task(ignore_result=True)
def flush():
    return None

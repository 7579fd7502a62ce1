from celery import shared_task


@shared_task
def nightly(which):
    return f"report of {which}"


@shared_task(name="reports.render", acks_late=True)
def render(report_id: int, formats: list[str] | None = None):
    return {"report": report_id, "formats": formats or ["pdf"]}

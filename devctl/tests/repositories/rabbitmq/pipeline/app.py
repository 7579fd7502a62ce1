from celery import Celery

app = Celery("pipeline", include=["pipeline.images", "pipeline.mail"])
app.config_from_object("pipeline.celeryconfig")

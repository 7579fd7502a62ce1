import os

from kombu import Exchange, Queue

broker_url = os.environ["CELERY_BROKER_URL"]
result_backend = os.environ["CELERY_RESULT_BACKEND"]
task_default_queue = "images"
task_queues = (
    Queue("images", Exchange("images"), routing_key="images"),
    Queue("mail", Exchange("mail"), routing_key="mail"),
    Queue("mail.slow", Exchange("mail"), routing_key="mail.slow", max_priority=5),
)
task_routes = {
    "pipeline.mail.*": {"queue": "mail"},
    "pipeline.mail.newsletter": {"queue": "mail.slow"},
}
task_track_started = True
worker_prefetch_multiplier = 1

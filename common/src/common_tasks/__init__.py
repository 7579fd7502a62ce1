"""What the services share. Importing it loads nothing: take from the module you need."""

import os

# Celery keeps the running task per greenlet, unless it is told, before it is loaded, that there are only threads. A
# third of the time that a short task spends outside its body goes into that.
os.environ.setdefault("USE_FAST_LOCALS", "1")

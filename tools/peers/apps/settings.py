"""What every app reads: set by the harness."""

from __future__ import annotations

import os

PORT = int(os.environ.get("PEERS_PORT", "6379"))
URL = f"redis://127.0.0.1:{PORT}/0"
RESULTS = os.environ.get("PEERS_RESULTS") == "1"
THREADS = int(os.environ.get("PEERS_THREADS", "1"))
"""Tasks that one worker process runs at a time, where the app and not a command-line option says so."""

QUEUE = "orders"  # the queue of process_order; every task of this bench is in it
NOTIFICATIONS = "notifications"
RESULT_SECONDS = 24 * 3600

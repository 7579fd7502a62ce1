"""python -m service2.main: deliver notifications, until a SIGTERM."""

import sys

from celeriac import serve
from service2.handlers import DELIVERIES, handle_notification


def main() -> int:
    return serve("service2", owns=[handle_notification], http_port=8002, counters=[DELIVERIES])


if __name__ == "__main__":
    sys.exit(main())

"""python -m service2.main: deliver notifications, until a SIGTERM."""

import sys

from celeriac import serve
from service2.config import HTTP_PORT, SERVICE
from service2.handlers import DELIVERIES, handle_notification


def main() -> int:
    return serve(SERVICE, owns=[handle_notification], http_port=HTTP_PORT, counters=[DELIVERIES])


if __name__ == "__main__":
    sys.exit(main())

"""python -m worker.main: run the tasks that this service owns, until a SIGTERM."""

import sys

from celeriac import serve
from worker.config import SERVICE
from worker.handlers import check_health, handle_order


def main() -> int:
    return serve(SERVICE, owns=[handle_order, check_health])


if __name__ == "__main__":
    sys.exit(main())

"""python -m service1.main: the API of orders, until a SIGTERM."""

import sys

from celeriac.http import serve
from service1.api import create_api
from service1.config import HTTP_PORT, SERVICE


def main() -> int:
    return serve(SERVICE, create_api, HTTP_PORT)


if __name__ == "__main__":
    sys.exit(main())

"""`celeriac …`, `python -m celeriac …`"""

import sys


def main() -> None:
    from celeriac.cli import main as run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

"""Is a service well? `python -m celeriac.health` asks over HTTP where HTTP_PORT is set, else looks at a worker's file.

Little is imported, and only from the standard library: a container runs the probe every few seconds."""

import os
import socket
import sys
import time

MAX_AGE_SECONDS = 15.0
HTTP_TIMEOUT_SECONDS = 3.0

USAGE = """usage: python -m celeriac.health                    of the service with this environment:
                                                HTTP_PORT, else WORKER_HEALTH_FILE
       python -m celeriac.health file PATH [--max-age SECONDS]
       python -m celeriac.health http URL"""


def check_file(path: str, max_age_seconds: float = MAX_AGE_SECONDS) -> str | None:
    """What is wrong, or None."""
    try:
        age = time.time() - os.stat(path).st_mtime  # noqa: PTH116  pathlib would take as long as the rest of the probe
    except FileNotFoundError:
        return f"the worker does not consume yet: there is no {path}"
    if age > max_age_seconds:
        why = "the worker has lost its broker, or hangs"
        return f"{path} was touched {age:.0f} s ago, more than {max_age_seconds:g}: {why}"
    return None


def check_http(url: str) -> str | None:
    """What is wrong, or None. By hand: http.client takes three times as long to load as this to run."""
    scheme, _, rest = url.partition("://")
    address, slash, path = rest.partition("/")
    host, _, port = address.rpartition(":") if ":" in address else (address, "", "80")
    if scheme != "http" or not host or not port.isdigit():
        return f"{url} is not an http:// address"
    request = f"GET {slash + path or '/'} HTTP/1.0\r\nHost: {address}\r\n\r\n"
    try:
        with socket.create_connection((host, int(port)), HTTP_TIMEOUT_SECONDS) as connection:
            connection.sendall(request.encode())
            answer = b""
            while len(answer) < 4096 and (part := connection.recv(4096)):
                answer += part
    except (OSError, OverflowError) as exc:
        return f"{url} does not answer: {exc}"
    head, _, body = answer.decode(errors="replace").partition("\r\n\r\n")
    status = head.split(" ", 2)[1:2]
    if status != ["200"]:
        return f"{url} answered {status[0] if status else 'no HTTP'}: {body[:500]}"
    return None


def _of_the_environment() -> list[str]:
    if port := os.environ.get("HTTP_PORT"):
        return ["http", f"http://127.0.0.1:{port}/ready"]
    file = os.environ.get("WORKER_HEALTH_FILE")
    return ["file", file] if file else []


def main(arguments: list[str]) -> int:
    match arguments or _of_the_environment():
        case ["file", path]:
            problem = check_file(path)
        case ["file", path, "--max-age", seconds] if seconds.replace(".", "", 1).isdigit():
            problem = check_file(path, float(seconds))
        case ["http", url]:
            problem = check_http(url)
        case _:
            print(USAGE, file=sys.stderr)  # noqa: T201  a command
            return 2
    print(problem or "ok")  # noqa: T201  a command; the container engine keeps what it says
    return 1 if problem else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

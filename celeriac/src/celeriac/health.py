"""Is a service well? `python -m celeriac.health` asks over HTTP where HTTP_PORT is set, else looks at a worker's file.

It says `ok`, or `degraded: …` (it does less than it should, and to restart it would mend nothing), or what is wrong.
Little is imported, and only from the standard library: a container runs the probe every few seconds."""

import os
import sys
import time

MAX_AGE_SECONDS = 10.0
REBIND_SECONDS = 60.0  # Celery waits up to half of it between two attempts to connect
HTTP_TIMEOUT_SECONDS = 3.0

USAGE = """usage: python -m celeriac.health                    of the service with this environment:
                                                HTTP_PORT, else WORKER_HEALTH_FILE
       python -m celeriac.health file PATH [--max-age SECONDS]
       python -m celeriac.health http URL"""

PARTS = (
    ("unbound", "it has not been bound to its queues for {:.0f} s, and Redis answers", REBIND_SECONDS),
    ("loop", "the claim loop hangs: its last turn was {:.0f} s ago", 0.0),
    ("guard", "the guard hangs: its last turn was {:.0f} s ago, and leases are not renewed", 0.0),
    ("commit", "an outcome has waited for Redis's answer for {:.0f} s, and Redis answers others", 0.0),
    ("thread", "a task thread hangs outside of any task, for {:.0f} s", 0.0),
)

Judgement = tuple[str | None, str]  # what is wrong, or None; why it does less than it should, or ""


def judge(text: str, now: float, max_age_seconds: float = MAX_AGE_SECONDS) -> Judgement:
    """Of what `celeriac.worker.vitals` has written. Each line is a name and a value; times are those of the monotonic
    clock, which is one for all processes of a machine and stands still while that sleeps."""
    seen = [line.partition(" ")[::2] for line in text.splitlines()]
    one = dict(seen)
    if "at" not in one:
        return "this is no file of a worker's health", ""
    looked_at = float(one["at"])
    if not -1 < now - looked_at <= max_age_seconds:
        old = now - looked_at
        return f"the worker hangs: its last sign of life is {old:.0f} s old, more than {max_age_seconds:g}", ""
    if one.get("guard") == "dead":
        return "the guard has ended: leases are renewed no more", ""
    if "stopping" in one:
        return None, "it stops"
    if "away" in one:  # everything may wait for it
        return None, f"Redis has not answered for {now - float(one['away']):.0f} s; it connects again by itself"

    less = ["it connects to its queues again"] if "unbound" in one else []
    less += [value for name, value in seen if name == "degraded"]
    # Before, everything may have waited for Redis, or the whole process stood still.
    back_at = max(float(one.get("redis", 0)), float(one.get("awake", 0)))
    for name, text, most in PARTS:
        age = looked_at - max(float(one.get(name, looked_at)), back_at)
        if age > max(most, max_age_seconds):
            return text.format(age), "; ".join(less)
    return None, "; ".join(less)


def check_file(path: str, max_age_seconds: float = MAX_AGE_SECONDS) -> Judgement:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123  pathlib takes as long to load as the rest
            text = file.read()
    except FileNotFoundError:
        return f"the worker does not consume yet: there is no {path}", ""
    return judge(text, time.monotonic(), max_age_seconds)


def check_http(url: str) -> Judgement:
    """By hand: http.client takes three times as long to load as this to run."""
    import socket  # here: a third of what the probe of a file takes

    scheme, _, rest = url.partition("://")
    address, slash, path = rest.partition("/")
    host, _, port = address.rpartition(":") if ":" in address else (address, "", "80")
    if scheme != "http" or not host or not port.isdigit():
        return f"{url} is not an http:// address", ""
    request = f"GET {slash + path or '/'} HTTP/1.0\r\nHost: {address}\r\n\r\n"
    try:
        with socket.create_connection((host, int(port)), HTTP_TIMEOUT_SECONDS) as connection:
            connection.sendall(request.encode())
            answer = b""
            while len(answer) < 4096 and (part := connection.recv(4096)):
                answer += part
    except (OSError, OverflowError) as exc:
        return f"{url} does not answer: {exc}", ""
    head, _, body = answer.decode(errors="replace").partition("\r\n\r\n")
    status = head.split(" ", 2)[1:2]
    if status != ["200"]:
        return f"{url} answered {status[0] if status else 'no HTTP'}: {body[:500]}", ""
    if '"degraded"' not in body:
        return None, ""
    import json  # here: it takes as long to load as all of the rest

    try:
        return None, str(json.loads(body)["why"])
    except (ValueError, LookupError, TypeError):  # it means something else by the word
        return None, ""


def _of_the_environment() -> list[str]:
    if port := os.environ.get("HTTP_PORT"):
        return ["http", f"http://127.0.0.1:{port}/ready"]
    file = os.environ.get("WORKER_HEALTH_FILE")
    return ["file", file] if file else []


def main(arguments: list[str]) -> int:
    match arguments or _of_the_environment():
        case ["file", path]:
            problem, less = check_file(path)
        case ["file", path, "--max-age", seconds] if seconds.replace(".", "", 1).isdigit():
            problem, less = check_file(path, float(seconds))
        case ["http", url]:
            problem, less = check_http(url)
        case _:
            print(USAGE, file=sys.stderr)  # noqa: T201  a command
            return 2
    # A command; the container engine keeps what it says.
    print(problem or (f"degraded: {less}" if less else "ok"))  # noqa: T201  a command
    return 1 if problem else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

"""Becomes a service: sets its environment, folder and log, then its command takes this process over.

Run by supervisor as `python -I -S launch.py NAME` in the state folder. A file instead of supervisor's own
`environment=`, because that cannot hold every value; a log of the service's own instead of a pipe, because a pipe
breaks when the supervisor dies. The log goes on where an earlier start ended, after a line that says so.
"""

import json
import os
import sys
import time


def main(name: str) -> None:
    """Replace this process by the program called `name`."""
    with open(os.path.join("programs", name + ".json"), encoding="utf-8") as file:  # noqa: PTH118, PTH123  # pathlib costs 10 ms
        program = json.load(file)
    log = os.open(program["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    if os.fstat(log).st_size:
        now = time.time()
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
        os.write(log, f"{at}.{int(now * 1000) % 1000:03}Z devctl: started again\n".encode())
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.umask(0o022)
    try:
        os.chdir(program["folder"])
        os.execve(program["command"][0], program["command"], program["environment"])  # noqa: S606  # a program as it stands, no shell
    except OSError as failure:
        os.write(2, f"devctl: cannot start {program['command'][0]}: {failure.strerror}\n".encode())
        os._exit(127)  # what a shell says of a command that it cannot run


if __name__ == "__main__":
    main(sys.argv[1])

"""Prometheus beside the stack that runs on the local runtime: the configuration and the alert rules of monitoring/,
with the ports that the processes have here. It needs the program `prometheus` (Debian: apt-get install prometheus).

    .venv/bin/devctl up exporter --runtime local
    .venv/bin/python tools/local_prometheus.py                 http://127.0.0.1:9090, until Ctrl-C
    .venv/bin/python tools/local_prometheus.py --stack NAME --port 9091

Every five seconds it asks `devctl ps --json` for the ports, so replicas that come and go are followed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
MONITORING = ROOT / "monitoring"
LOOK_SECONDS = 5.0
START_SECONDS = 20.0
Services = Sequence[Mapping[str, Any]]
"""`services` of `devctl ps --json`."""


def container_port(job: Mapping[str, Any]) -> int:
    """The port that a job asks, as containers have it."""
    for one in job.get("dns_sd_configs", ()):
        return int(one["port"])
    return int(job["static_configs"][0]["targets"][0].rpartition(":")[2])


def targets(services: Services, job: str, port: int) -> list[str]:
    """Where the replicas of a service answer here: `127.0.0.1:53557` of `127.0.0.1:53557->8000`."""
    ports = (text for one in services if one["name"] == job for text in one["ports"])
    return [here for here, _, there in (text.partition("->") for text in ports) if there == str(port)]


class Prometheus:
    """One that asks a local stack. `read` returns what `devctl ps --json` says; `change` gets the configuration and the
    rules before they are written."""

    def __init__(
        self,
        folder: Path,
        port: int,
        read: Callable[[], Services],
        change: Callable[[dict[str, Any], dict[str, Any]], None] = lambda config, rules: None,
    ) -> None:
        self.folder, self._read = folder, read
        self.url = f"http://127.0.0.1:{port}"
        config = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
        rules = yaml.safe_load((MONITORING / "alerts.yml").read_text())
        self._jobs = {job["job_name"]: container_port(job) for job in config["scrape_configs"]}
        config["scrape_configs"] = [
            {"job_name": job, "file_sd_configs": [{"files": [self._file(job).name], "refresh_interval": "5s"}]}
            for job in self._jobs
        ]
        change(config, rules)
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        (folder / "alerts.yml").write_text(yaml.safe_dump(rules, width=1000))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return when it answers. SystemExit where it cannot."""
        program = shutil.which("prometheus")
        if program is None:
            raise SystemExit("there is no program prometheus here: apt-get install prometheus")
        self.look()
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    program,
                    f"--config.file={self.folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self.folder / 'data'}",
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                ],
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + START_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"prometheus did not start:\n{(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.05)

    def look(self) -> None:
        """Write down where the processes are now; Prometheus sees it at once."""
        services = self._read()
        for job, port in self._jobs.items():
            part = self.folder / f"{job}.part"
            part.write_text(json.dumps([{"targets": targets(services, job, port)}]))
            part.replace(self._file(job))

    def ask(self, path: str, **words: str | float) -> Any:
        """What its HTTP API answers: `query`, `query_range`, `alerts`, `targets`, … ValueError where it refuses."""
        query = urllib.parse.urlencode(words)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:  # noqa: S310  our own
                said = json.load(answer)
        except urllib.error.HTTPError as refused:
            raise ValueError(f"{words}: {refused.read().decode()}") from None
        return said["data"]

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)

    def _file(self, job: str) -> Path:
        return self.folder / f"{job}.json"

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1) as answer:  # noqa: S310  our own
                return bool(answer.status == 200)
        except OSError:
            return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", default="")
    parser.add_argument("--port", type=int, default=9090)
    given = parser.parse_args()
    devctl = [sys.executable, "-m", "devctl", "ps", "--json", "--runtime", "local"]
    devctl += ["--stack", given.stack] if given.stack else []

    def read() -> Services:
        done = subprocess.run(devctl, cwd=ROOT, check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr.strip())
        services: Services = json.loads(done.stdout)["services"]
        return services

    running = {str(one["name"]) for one in read()}
    option = f" --stack {given.stack}" if given.stack else ""
    if not running:
        raise SystemExit(f"nothing runs here: devctl up{option} && devctl up exporter{option}")
    if "exporter" not in running:
        print(f"no exporter runs, so nothing tells of queues and Redis: devctl up exporter{option}", file=sys.stderr)
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    with tempfile.TemporaryDirectory() as folder:
        prometheus = Prometheus(Path(folder), given.port, read)
        prometheus.start()
        print(f"Prometheus  {prometheus.url}/alerts", flush=True)
        try:
            while prometheus.running():
                time.sleep(LOOK_SECONDS)
                prometheus.look()
        except KeyboardInterrupt:
            pass
        finally:
            prometheus.stop()


if __name__ == "__main__":
    main()

"""A real Chromium without a screen, driven as W3C WebDriver has it: JSON over HTTP to Debian's chromedriver."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

PATIENCE_SECONDS = 15
KEYS = {"Tab": "\ue004", "Enter": "\ue007", "Escape": "\ue00c", "Up": "\ue013", "Down": "\ue015", "Shift": "\ue008"}
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # tests run as root, in containers
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
)
T = TypeVar("T")


def missing() -> str:
    """Why there is no browser here; "" where there is one."""
    lacking = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    return f"no {' and no '.join(lacking)} here (Debian: apt-get install chromium-driver)" if lacking else ""


@contextmanager
def chromium(width: int = 1280, height: int = 800) -> Iterator[Browser]:
    """A browser with a new profile, gone at the end."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            assert driver.stdout is not None
            port = next(found[1] for line in driver.stdout if (found := re.search(r"successfully on port (\d+)", line)))
            options = {
                "args": [*_OPTIONS, f"--user-data-dir={profile}", f"--window-size={width},{height}"],
                "binary": shutil.which("chromium"),
            }
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            root = f"http://127.0.0.1:{port}/session"
            session = _ask("POST", root, {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
            browser = Browser(f"{root}/{session}")
            try:
                yield browser
            finally:
                _ask("DELETE", browser.root)
        finally:
            driver.terminate()
            driver.communicate()


def _ask(method: str, url: str, body: object = None) -> Any:
    data = json.dumps({} if body is None else body).encode() if method == "POST" else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as exc:
        raise AssertionError(json.load(exc)["value"]["message"].partition("\n")[0]) from None


class Browser:
    """One window."""

    def __init__(self, root: str) -> None:
        self.root = root

    def open(self, url: str) -> None:
        _ask("POST", f"{self.root}/url", {"url": url})

    def size(self, width: int, height: int) -> None:
        """Of the page, also where it is narrower than a window can be."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.command("Emulation.setDeviceMetricsOverride", **metrics)

    def prefer(self, **features: str) -> None:
        """What the system prefers: prefer(color_scheme="dark", reduced_motion="reduce")."""
        media = [{"name": f"prefers-{name.replace('_', '-')}", "value": value} for name, value in features.items()]
        self.command("Emulation.setEmulatedMedia", features=media)

    def command(self, name: str, **params: object) -> Any:
        """One of Chromium's own (DevTools protocol)."""
        return _ask("POST", f"{self.root}/goog/cdp/execute", {"cmd": name, "params": params})

    def run(self, script: str, *arguments: object) -> Any:
        """The value of a function body; a promise is waited for."""
        return _ask("POST", f"{self.root}/execute/sync", {"script": script, "args": list(arguments)})

    def text(self, css: str) -> str:
        """What a user can read there."""
        return str(
            self.run("return [...document.querySelectorAll(arguments[0])].map(one => one.innerText).join('\\n')", css)
        )

    def click(self, css: str, text: str = "") -> None:
        """Click, as a user does, what is there or will be: the first that has this text."""
        found = self.until(lambda: self.run(_VISIBLE, css, text), f"{css} with the text {text!r}")
        _ask("POST", f"{self.root}/element/{next(iter(found.values()))}/click")

    def keys(self, *keys: str) -> None:
        """Press and release each, wherever the focus is; `Shift+Tab` holds the first."""
        actions = []
        for one in keys:
            *held, last = one.split("+")
            names = [KEYS.get(name, name) for name in (*held, last)]
            actions += [{"type": "keyDown", "value": name} for name in names]
            actions += [{"type": "keyUp", "value": name} for name in reversed(names)]
        _ask("POST", f"{self.root}/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def write(self, text: str) -> None:
        """Type it where the focus is."""
        self.keys(*text)

    def focused(self) -> str:
        """The name of what has the focus, as it is read out."""
        return str(self.run(_FOCUSED))

    def until(self, true: Callable[[], T], what: str = "", seconds: float = PATIENCE_SECONDS) -> T:
        """Wait until it is so, and return it."""
        end = time.monotonic() + seconds
        while not (value := true()):
            assert time.monotonic() < end, (
                f"in {seconds} s there was no {what or 'such thing'}; the page:\n{self.text('body')}"
            )
            time.sleep(0.05)
        return value

    def see(self, css: str, *texts: str, seconds: float = PATIENCE_SECONDS) -> str:
        """Wait until all these can be read there."""
        return (
            self.until(
                lambda: all(one in (read := self.text(css)) for one in texts) and read, f"{texts} in {css}", seconds
            )
            or ""
        )

    def picture(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(_ask("GET", f"{self.root}/screenshot")))

    def complaints(self) -> Sequence[str]:
        """What its console has of warnings and errors since the last call."""
        said = _ask("POST", f"{self.root}/se/log", {"type": "browser"})
        return [one["message"] for one in said if one["level"] in ("SEVERE", "WARNING")]


_FOCUSED = """
const at = document.activeElement;
return at.getAttribute("aria-label") || at.textContent.trim() || at.id || at.tagName
"""
_VISIBLE = """
const found = [...document.querySelectorAll(arguments[0])].find(
  one => one.checkVisibility({visibilityProperty: true}) && one.innerText.includes(arguments[1])) ?? null
found?.scrollIntoView({block: "nearest"})
return found
"""

"""Scripts that run in Redis: each is one atomic step."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis
from redis.exceptions import NoScriptError

PACKAGE = Path(__file__).parents[1]


class Script:
    """One .lua file. It is called by its hash; its text is sent if the server does not know the hash."""

    def __init__(self, path: str) -> None:
        """`path`: folder and name, without the ending: `claim/claim`."""
        self.name = path.rpartition("/")[2]
        self.text = (PACKAGE / f"{path}.lua").read_text(encoding="utf-8")
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()  # Redis's own name for it

    def __call__(self, client: redis.Redis, keys: Sequence[Any], args: Sequence[Any]) -> Any:
        try:
            return client.evalsha(self.sha, len(keys), *keys, *args)
        except NoScriptError:
            return client.eval(self.text, len(keys), *keys, *args)

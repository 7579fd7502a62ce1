"""Scripts that run in Redis: each is one atomic step."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
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

    def command(self, keys: Sequence[str], args: Sequence[Any], last: int = 1) -> bytes:
        """A call by its hash, packed for a connection. redis-py looks at each word of each call. But mostly only the
        `last` ones differ from those of the call before: so the others are packed once."""
        known = _before_last(self.sha, tuple(keys), tuple(args[:-last]), last)
        return known + b"".join([_packed(word) for word in args[-last:]])

    def __call__(self, client: redis.Redis, keys: Sequence[Any], args: Sequence[Any]) -> Any:
        try:
            return client.evalsha(self.sha, len(keys), *keys, *args)
        except NoScriptError:
            return client.eval(self.text, len(keys), *keys, *args)


@lru_cache(maxsize=256)
def _before_last(sha: str, keys: tuple[str, ...], args: tuple[Any, ...], last: int) -> bytes:
    words = ["EVALSHA", sha, len(keys), *keys, *args]
    return b"*%d\r\n" % (len(words) + last) + b"".join([_packed(word) for word in words])


def _packed(word: bytes | str | int) -> bytes:
    data = word if isinstance(word, bytes) else str(word).encode()
    return b"$%d\r\n%b\r\n" % (len(data), data)

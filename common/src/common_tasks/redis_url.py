"""Redis URLs: Celery writes them one way, redis-py reads them another."""

import re
from urllib.parse import parse_qs, urlsplit, urlunsplit


def redis_py_url(url: str) -> str:
    """Celery's spelling in redis-py's: a socket's scheme, and the certificate check; anything else as it is."""
    parts = urlsplit(url)
    if parts.scheme == "redis+socket":
        database = parse_qs(parts.query).get("virtual_host", ["0"])[0]
        return f"unix://{parts.netloc}{parts.path}?db={database}"
    if parts.scheme == "rediss":
        query = re.sub(r"(?<=ssl_cert_reqs=)(?:CERT_)?(\w+)", lambda found: found[1].lower(), parts.query)
        return urlunsplit(parts._replace(query=query))
    return url

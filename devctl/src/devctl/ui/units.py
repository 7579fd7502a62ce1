"""Times and sizes as people read them: three significant digits at most."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """`0.8s`, `12.4s`, `2m03s`."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02}s"


def milliseconds(seconds: float) -> str:
    """`0.8ms`, `12.4ms`, `240ms`, `1.3s`: for what is usually too quick for seconds."""
    if seconds >= 1:
        return duration(seconds)
    return f"{seconds * 1000:.1f}ms" if seconds < 0.1 else f"{seconds * 1000:.0f}ms"


def age(seconds: float) -> str:
    """`8s`, `12m`, `3h`, `5d`: how long something has run."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit}"
    return f"{max(0, int(seconds))}s"


def size(count: int) -> str:
    """`168 MB`, `1.2 GB`: decimal units, as disks and clouds count."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.1f} {unit}" if unit in ("GB", "TB") and value < 10 else f"{value:.0f} {unit}"

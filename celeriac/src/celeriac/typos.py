"""Variables that look like a setting which is misspelt."""

import logging
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

logger = logging.getLogger("settings")  # the logger of celeriac is silent until a service configures its logs

ALIKE = 0.8  # LEASE_SECOND and LEASE_SECONDS are 0.96; TRANSPORT and PORT, of a Kubernetes Service "celery", 0.62

_warned: set[str] = set()


def warn_of_typos(prefix: str, known: Iterable[str], environ: Mapping[str, str]) -> None:
    """Warn once for each variable in a process."""
    for name, meant in typos(prefix, known, environ).items():
        if name not in _warned:
            _warned.add(name)
            logger.warning("%s is no setting and is not used; did you mean %s?", name, meant)


def typos(prefix: str, known: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """Variable -> the setting that is probably meant. Only similar names count: Kubernetes sets variables for each
    Service, so a name that merely begins like a setting is usually no mistake."""
    rests = {name.removeprefix(prefix): name for name in known}
    found = {}
    for name in sorted(names):
        rest = name.upper().removeprefix(prefix)
        if name.upper().startswith(prefix) and rest not in rests:
            for alike in get_close_matches(rest, rests, n=1, cutoff=ALIKE):
                found[name] = rests[alike]
    return found

"""Which packages of a system a service can do without here: pure, but for a look at PATH."""

from __future__ import annotations

import re
import shutil

_MANAGERS = {"apt-get", "apt", "apk", "dnf", "microdnf", "yum"}
_BUILD = (
    r"build-essential|build-base|gcc|g\+\+|gcc-c\+\+|clang|make|cmake|automake|autoconf|libtool|pkg-?config|pkgconf"
    r"|cargo|rust|rustc|swig|musl|linux-headers.*|.*-dev|.*-devel|\.?build-.*|py3-.*|python[\d.]*(-.*)?|pipx?|uv"
)
_HANDY = (
    r"curl|wget|git|git-core|vim|nano|less|tree|htop|procps|psmisc|net-?tools|netcat.*|nc|telnet|iputils-ping|dnsutils"
    r"|bind-tools|lsof|tini|dumb-init|gosu|su-exec|sudo|bash|bash-completion|dos2unix|unzip|zip|tar|xz-utils|gnupg2?"
    r"|gpg|lsb-release|locales|tzdata|ca-certificates|software-properties-common|apt-utils|apt-transport-https"
    r"|debian-keyring|openssl|openssh-client|gettext(-base)?|media-types|shared-mime-info|mime-support|util-linux|file"
    r"|postgresql[\d.]*-client([-\d.]*)?|postgresql-client-common|mysql-client|default-mysql-client|mariadb-client"
    r"|redis-tools|redis|sqlite3?|wait-for-it|fonts-.*|ttf-.*|jq|adduser|shadow|coreutils|man-db"
)
_HARMLESS = re.compile(rf"{_BUILD}|{_HANDY}|lib.*|zlib.*|musl-.*|postgresql-libs|mariadb-connector-c", re.IGNORECASE)


def manager(words: tuple[str, ...]) -> bool:
    """Whether this command is one that manages the packages of a system."""
    return words[:1] != () and words[0].rpartition("/")[2] in _MANAGERS


def needed(words: tuple[str, ...]) -> list[str]:
    """Return what it installs that is neither for compiling, nor handy, nor a library, nor a program of this machine.

    A library that is missing here shows itself when Python loads what needs it.
    """
    verbs = [word for word in words[1:] if word in ("install", "add", "localinstall", "groupinstall")]
    if not verbs:
        return []
    names, skip = [], False
    for word in words[words.index(verbs[0]) + 1 :]:
        if skip or word.startswith("-"):
            skip = word in ("-t", "--virtual", "--repository", "-X")
            continue
        names.append(re.split(r"[=~<>@:]", word)[0])
    return [name for name in names if name and not _HARMLESS.fullmatch(name) and not shutil.which(name)]

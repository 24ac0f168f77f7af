"""Where a gallery lies: a folder, or a PostgreSQL server's URL, whose password is shown and written nowhere.

    postgresql://USER@HOST:PORT/DATABASE?gallery=NAME

The password comes from the URL, from PGPASSWORD or from ~/.pgpass. `gallery` is `gallery` where it is left out; the
other parameters are those of libpq (sslmode, host, connect_timeout, ...).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from contrastive_cxr.errors import RequestError

SCHEMES = ("postgresql", "postgres")
GALLERY = "gallery"
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,39}")
_SECRET = ("password", "sslpassword")


class StoreUrl:
    """A gallery on a PostgreSQL server; as text it has no password.

    Attributes
    ----------
    name : str
        Of the gallery in the database.
    conninfo : str
        What libpq connects with; it may hold the password, so show it to nobody.
    """

    def __init__(self, text: str) -> None:
        try:
            parts = urlsplit(text)
            _ = parts.port
            parameters = parse_qsl(parts.query, keep_blank_values=True)
        except ValueError:  # its words may repeat a part of the password
            raise RequestError(
                "the PostgreSQL URL cannot be read; write postgresql://USER@HOST:PORT/DATABASE"
            ) from None
        self.name = dict(parameters).get(GALLERY, GALLERY)
        if not _NAME.fullmatch(self.name):
            raise RequestError(
                f"gallery={self.name}: is no name of a gallery in PostgreSQL; give up to 40 letters a-z, digits and _"
            )
        others = [(name, value) for name, value in parameters if name != GALLERY]
        self.conninfo = _whole(parts, parts.netloc, urlencode(others, quote_via=quote))
        self._secrets = [value for name, value in others if name in _SECRET and value]
        user, at, host = parts.netloc.rpartition("@")
        if ":" in user:
            user, _, secret = user.partition(":")
            self._secrets += [secret, unquote(secret)]
        told = [(name, "***" if name in _SECRET else value) for name, value in parameters]
        self._shown = _whole(parts, f"{user}{at}{host}", urlencode(told, safe="/*", quote_via=quote))

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return f"StoreUrl('{self._shown}')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StoreUrl) and other.conninfo == self.conninfo and other.name == self.name

    def __hash__(self) -> int:
        return hash((self.conninfo, self.name))

    def without_secrets(self, words: str) -> str:
        """Words of a library, with the password in them replaced by `***`."""
        for secret in sorted(filter(None, self._secrets), key=len, reverse=True):
            words = words.replace(secret, "***")
        return words


def _whole(parts: SplitResult, netloc: str, query: str) -> str:
    """The URL again; `urlunsplit` drops the slashes where there is no host."""
    return f"{parts.scheme}://{netloc}{parts.path}{'?' if query else ''}{query}"


Place = Path | StoreUrl
"""Where a gallery lies."""


def is_store_url(text: str) -> bool:
    """Whether a text is the URL of a PostgreSQL server."""
    return text.partition("://")[0] in SCHEMES and "://" in text


def place_of(text: str | Place) -> Place:
    """The place that a text names.

    Raises
    ------
    RequestError
        It is a URL of PostgreSQL that cannot be read.
    """
    if isinstance(text, str):
        return StoreUrl(text) if is_store_url(text) else Path(text)
    return text


def given_place(text: str | Place) -> Place:
    """As `place_of`, for a word of this process's command: the records of a command show it without its password."""
    place = place_of(text)
    if isinstance(place, StoreUrl):
        sys.argv[:] = [hidden(word) for word in sys.argv]
    return place


def hidden(word: str) -> str:
    """A word of a command, without the password of a PostgreSQL URL in it.

    Examples
    --------
    >>> hidden("--store=postgresql://me:pw@host/db"), hidden("covid.png")
    ('--store=postgresql://me@host/db', 'covid.png')
    """
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{option}{equals}{StoreUrl(value)}" if is_store_url(value) else word

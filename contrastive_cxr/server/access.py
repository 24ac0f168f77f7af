"""Who may ask: the token, the address that is bound, and the socket."""

from __future__ import annotations

import errno
import hmac
import ipaddress
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from contrastive_cxr.errors import RequestError

VARIABLE = "CCXR_TOKEN"
SHORTEST = 16
BACKLOG = 2048


@dataclass(frozen=True)
class Access:
    """What a request has to bring.

    Attributes
    ----------
    token : as in `Authorization: Bearer TOKEN`; '' none is wanted
    hosts : names that the Host header may have; empty: any (a token is wanted then)
    """

    token: str = ""
    hosts: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        """Without the token, which must not get into a log."""
        return f"Access(token={'set' if self.token else 'none'}, hosts={sorted(self.hosts)})"

    def lets_in(self, authorization: str) -> bool:
        """Whether the header is that of the token; how long that takes does not tell how much of it is right."""
        if not self.token:
            return True
        scheme, _, given = authorization.partition(" ")
        same = hmac.compare_digest(given.strip().encode("utf-8", "replace"), self.token.encode())
        return same and scheme.lower() == "bearer"


def access_for(host: str, file: Path | None = None) -> Access:
    """The token of `CCXR_TOKEN` or of a file, which is wanted wherever other machines can reach the server.

    Raises
    ------
    RequestError
        An address that other machines reach and no token; a token that is too short or no plain text.
    """
    local = is_loopback(host)
    token = _token(file)
    if not (local or token):
        raise RequestError(
            f"--host {host}: other machines can reach it, and there is no token; set {VARIABLE} or give --token-file "
            f"with a token of at least {SHORTEST} characters, or leave --host out (127.0.0.1)"
        )
    return Access(token, frozenset({"localhost", "127.0.0.1", "::1", host.lower()}) if local else frozenset())


def is_loopback(host: str) -> bool:
    """Whether every address of a host is this machine's own.

    Raises
    ------
    RequestError
        The name has no address.
    """
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)} if host else {""}
    except (OSError, UnicodeError) as error:
        raise RequestError(f"--host {host}: has no address; give 127.0.0.1 or an address of this machine") from error
    return all(place and ipaddress.ip_address(str(place).partition("%")[0]).is_loopback for place in found)


def bound(host: str, port: int) -> socket.socket:
    """A socket at this address; `port` 0 takes one that is free.

    Raises
    ------
    RequestError
        The port is taken or may not be used, or the address is none of this machine's.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(address)
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            what = f"--port {port}: another program listens there on {host}; name another port, or 0 for a free one"
        elif error.errno == errno.EACCES:
            what = f"--port {port}: this user may not listen there; name one above 1023"
        else:
            what = f"--host {host}: cannot be bound ({error.strerror}); give an address of this machine"
        raise RequestError(what) from error
    made.set_inheritable(True)
    return made


def _token(file: Path | None) -> str:
    """The token, checked; '' where there is none. What is wrong with it is said without it."""
    where = VARIABLE if file is None else f"--token-file {file}"
    try:
        token = os.environ.get(VARIABLE, "") if file is None else file.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise RequestError(f"{where}: cannot be read; give a file that holds the token alone") from error
    if (token or file is not None) and (len(token) < SHORTEST or not token.isascii() or not token.isprintable()):
        raise RequestError(
            f"{where}: the token has {len(token)} characters; at least {SHORTEST} printable ASCII ones are wanted, "
            "such as those of: openssl rand -hex 32"
        )
    if " " in token:
        raise RequestError(f"{where}: the token has spaces in it, which no header can carry; leave them out")
    return token

"""What `ccxr search --dicomweb` is asked for, checked before a library is loaded and before a server is asked."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from contrastive_cxr.errors import nearest

INSTALL = "pip install 'contrastive_cxr[dicomweb,dicom]'"
NEEDED = ("dicomweb_client", "highdicom", "pydicom")
KINDS = ("both", "sr", "sc")
USER, PASSWORD, TOKEN = "CCXR_DICOMWEB_USER", "CCXR_DICOMWEB_PASSWORD", "CCXR_DICOMWEB_TOKEN"  # nosec B105  # names
_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
_LOGIN = "one line: USER:PASSWORD, or Bearer TOKEN"


@dataclass(frozen=True)
class Login:
    """What a server is shown: a user with a password, or a token; all '' where it wants none."""

    user: str = ""
    password: str = ""
    token: str = ""

    def __repr__(self) -> str:
        """Without what must not get into a log."""
        return f"Login({'token' if self.token else 'user and password' if self.user else 'none'})"

    def __bool__(self) -> bool:
        return bool(self.user or self.token)


@dataclass(frozen=True)
class StudyRequest:
    """A study of a server, and what is done with the result.

    Attributes
    ----------
    url : address of the DICOMweb service, such as http://pacs:8042/dicom-web
    study, series : Study Instance UID; Series Instance UIDs to stay within, empty: all
    out : new folder for the DICOM files; None writes none
    kinds : `sr` the structured report, `sc` the secondary captures, `both`
    store : whether the server gets them too
    login : never printed, never written
    """

    url: str
    study: str
    series: tuple[str, ...] = ()
    out: Path | None = None
    kinds: str = "both"
    store: bool = False
    login: Login = Login()

    @property
    def writes(self) -> bool:
        """Whether DICOM objects are made."""
        return self.out is not None or self.store

    @property
    def captures(self) -> bool:
        """Whether secondary captures are made."""
        return self.writes and self.kinds != "sr"

    @property
    def reports(self) -> bool:
        """Whether a structured report is made."""
        return self.writes and self.kinds != "sc"


def is_uid(text: str) -> bool:
    """Whether a text is a DICOM UID (PS3.5 9.1): numbers with points between them, at most 64 characters.

    Examples
    --------
    >>> is_uid("1.2.840.10008"), is_uid("1.02.3"), is_uid("../../etc"), is_uid("7")
    (True, False, False, False)
    """
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def faults_in(request: StudyRequest) -> list[str]:
    """What is wrong with a request; the server is not asked."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    faults = []
    if missing:
        faults.append(f"{', '.join(missing)}: not installed, and --dicomweb needs it; {INSTALL}")
    faults += faults_of_url(request.url)
    if not request.study:
        faults.append("--study: is missing; give the Study Instance UID of the study that is searched")
    for name, uid in (("--study", request.study), *(("--series", each) for each in request.series)):
        if uid and not is_uid(uid):
            faults.append(
                f"{name} {uid}: is no DICOM UID; give numbers with points between them, such as 1.2.840.113619.2"
            )
    if request.kinds not in KINDS:
        faults.append(f"--dicom-as {request.kinds}: is not one of {', '.join(KINDS)}{nearest(request.kinds, KINDS)}")
    if request.kinds != "both" and not request.writes:
        faults.append(f"--dicom-as {request.kinds}: nothing is written; give --dicom-out DIR or --store")
    return [*faults, *faults_of_folder(request.out)]


def faults_of_url(url: str) -> list[str]:
    """What is wrong with the address of a service. A password in it is not repeated."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return ["--dicomweb: is no URL that can be read; give one such as http://127.0.0.1:8042/dicom-web"]
    if "@" in parts.netloc:
        return [
            "--dicomweb: has a user or password in it, which would stand in logs; leave them out and set "
            f"{USER} and {PASSWORD}, or {TOKEN}, or give --dicomweb-login FILE"
        ]
    if parts.query or parts.fragment:
        return ["--dicomweb: has ? or # in it; give the address of the service alone, without what follows it"]
    if parts.scheme not in ("http", "https") or not host or not url.isprintable() or " " in url:
        return [f"--dicomweb {url}: is no http or https URL; give one such as http://127.0.0.1:8042/dicom-web"]
    if ":" in host:
        return [f"--dicomweb {url}: dicomweb-client takes no IPv6 number; give the server's name"]
    return []


def faults_of_folder(out: Path | None) -> list[str]:
    """What is wrong with the folder for the DICOM files."""
    if out is None:
        return []
    if out.is_file():
        return [f"--dicom-out {out}: is a file; name a new folder"]
    if out.is_dir() and any(out.iterdir()):
        return [f"--dicom-out {out}: is there already and is not empty; name a new folder"]
    return []


def login_of(file: Path | None, variables: Mapping[str, str] = os.environ) -> tuple[Login, list[str]]:
    """The login of a file or, without one, of the environment; and what is wrong with it, said without it."""
    if file is None:
        found = Login(variables.get(USER, ""), variables.get(PASSWORD, ""), variables.get(TOKEN, ""))
        where = f"{USER}, {PASSWORD}, {TOKEN}"
        if found.token and (found.user or found.password):
            return Login(), [f"{where}: a token and a user or password are set; set the one or the other"]
        if bool(found.user) != bool(found.password):
            return Login(), [f"{where}: one of user and password is missing; set both"]
    else:
        where = f"--dicomweb-login {file}"
        try:
            found = _of_line(file.read_text(encoding="utf-8").strip())
        except (OSError, ValueError):
            return Login(), [f"{where}: cannot be read; give a file of {_LOGIN}"]
        if not found:
            return Login(), [f"{where}: holds no login; write {_LOGIN}"]
    if not all(text.isprintable() for text in (found.user, found.password, found.token)):
        return Login(), [f"{where}: has a line break or control character in it; write {_LOGIN}"]
    if found.token and not (found.token.isascii() and " " not in found.token):
        return Login(), [
            f"{where}: the token has characters that no header carries; write printable ASCII without spaces"
        ]
    if ":" in found.user:
        return Login(), [f"{where}: the user's name has a colon in it, which HTTP does not carry"]
    return found, []


def _of_line(text: str) -> Login:
    if text.lower().startswith("bearer "):
        return Login(token=text[len("bearer ") :].strip())
    user, _, password = text.partition(":")
    return Login(user, password) if user and password else Login()

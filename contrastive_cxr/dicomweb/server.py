"""A DICOMweb server: which instances a study has, fetch one, store some; every answer has a limit of time and size."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, NamedTuple

import requests
from dicomweb_client import DICOMwebClient
from pydicom.errors import BytesLengthException, InvalidDicomError
from retrying import RetryError

from contrastive_cxr.data.dicom import reader
from contrastive_cxr.dicomweb.request import PASSWORD, TOKEN, USER, Login, is_uid
from contrastive_cxr.errors import CcxrError, RequestError, visible

CONNECT_SECONDS, SILENT_SECONDS = 10, 30
ANSWER_SECONDS = 300
"""Of one answer as a whole: a server that sends a byte now and then is never silent."""
MOST_BYTES = 2**29
ATTEMPTS, WAIT_MILLISECONDS = 3, 250
BUSY = (
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
PAGE, MOST_INSTANCES = 200, 5000
SERIES_UID, SOP_UID, MODALITY = "0020000E", "00080018", "00080060"
# What a damaged or hostile answer leads to inside dicomweb-client and pydicom, besides errors of requests.
MALFORMED = (*reader.DAMAGED, InvalidDicomError, BytesLengthException, AssertionError, NotImplementedError)


class Entry(NamedTuple):
    """An instance as the server lists it; `modality` '' where it does not say."""

    series: str
    sop: str
    modality: str


class Unreadable(Exception):
    """One instance cannot be read; the text says why."""


class _Refused(Exception):
    """An answer that is not read to its end; the text says why."""


class Server:
    """A server at an address.

    Parameters
    ----------
    url : str
        As `request.faults_of_url` lets pass.
    login : Login
    """

    def __init__(self, url: str, login: Login) -> None:
        self.url, self.login = url.rstrip("/"), login
        session = requests.Session()
        session.auth = _shown(login)  # always set, so that no ~/.netrc is sent that nobody named
        self.client = DICOMwebClient(
            self.url, session, callback=_bounded, chunk_size=MOST_BYTES, timeout=(CONNECT_SECONDS, SILENT_SECONDS)
        )
        self._patient()

    def _patient(self) -> None:
        self.client.set_http_retry_params(True, ATTEMPTS, WAIT_MILLISECONDS, BUSY)

    def entries(self, study: str) -> list[Entry]:
        """The instances of a study, in the server's order.

        Raises
        ------
        RequestError
            The server does not answer, wants a login, is no DICOMweb server, or has no such study.
        """
        with self._told():
            kinds = {
                _text(each, SERIES_UID): _text(each, MODALITY)
                for each in self._pages(self.client.search_for_series, study, SERIES_UID)
            }
            listed = self._pages(self.client.search_for_instances, study, SOP_UID)
        found = [Entry(_text(each, SERIES_UID), _text(each, SOP_UID), _text(each, MODALITY)) for each in listed]
        if not found:
            raise RequestError(f"--study {study}: {self.url} has no such study; look its UID up in the PACS")
        if not all(is_uid(each.series) and is_uid(each.sop) for each in found):
            raise RequestError(
                f"{self.url} lists instances of {study} without proper UIDs; this is the server's to mend"
            )
        return [each._replace(modality=kinds.get(each.series, "") or each.modality) for each in found]

    def fetch(self, study: str, entry: Entry) -> Any:
        """An instance as it is stored, as a pydicom data set.

        Raises
        ------
        Unreadable
            What the server sends is no DICOM object, or not this one.
        RequestError
            As of `entries`.
        """
        with self._told(f"instance {entry.sop}"):
            try:
                data = self.client.retrieve_instance(study, entry.series, entry.sop)
                sent = (str(data.StudyInstanceUID), str(data.SeriesInstanceUID), str(data.SOPInstanceUID))
            except requests.exceptions.HTTPError as error:
                if _status(error) in (401, 403):
                    raise
                raise Unreadable(f"the server answers {_status(error)} for it") from error
            except (requests.exceptions.RequestException, RetryError):
                raise
            except _Refused as error:
                raise Unreadable(str(error)) from error
            except MALFORMED as error:
                raise Unreadable("what the server sends is no readable DICOM object") from error
        if sent != (study, entry.series, entry.sop):
            raise Unreadable("the server sends another instance than the one asked for")
        return data

    def store(self, study: str, objects: Sequence[Any]) -> None:
        """Store objects in a study of the server; one attempt, since a second one may meet half of the first.

        Raises
        ------
        CcxrError
            The server took none or not all of them.
        """
        self.client.set_http_retry_params(False)
        try:
            with self._told("storing (STOW-RS)"):
                answer = self.client.store_instances(objects, study)
        except RequestError as error:
            raise CcxrError(str(error)) from error
        finally:
            self._patient()
        taken = {str(each.ReferencedSOPInstanceUID) for each in answer.get("ReferencedSOPSequence") or []}
        refused = [str(each.SOPInstanceUID) for each in objects if str(each.SOPInstanceUID) not in taken]
        if refused:
            raise CcxrError(f"{self.url} did not store {len(refused)} of {len(objects)} objects: {', '.join(refused)}")

    def _pages(self, ask: Callable[..., Any], study: str, key: str) -> list[Mapping[str, Any]]:
        """All results of a search, a page after the other; one that a page repeats ends it."""
        found: dict[str, Mapping[str, Any]] = {}
        while True:
            page = ask(study_instance_uid=study, limit=PAGE, offset=len(found))
            if not isinstance(page, list) or not all(isinstance(each, dict) for each in page):
                raise _Refused("its answer to a search is not as QIDO-RS says")
            new = {_text(each, key): each for each in page if _text(each, key) not in found}
            found |= new
            if not new:
                return list(found.values())
            if len(found) > MOST_INSTANCES:
                raise _Refused(
                    f"it lists more than {MOST_INSTANCES:,} instances of one study; so many are not searched"
                )

    @contextmanager
    def _told(self, what: str = "") -> Iterator[None]:
        """Turn what goes wrong with a server into sentences without its login."""
        at = f"{self.url}{', ' + what if what else ''}"
        try:
            yield
        except requests.exceptions.SSLError as error:
            raise RequestError(
                f"{at}: its certificate is not trusted; put the hospital's certificates into REQUESTS_CA_BUNDLE"
            ) from error
        except requests.exceptions.HTTPError as error:
            raise RequestError(f"{at} {self._of_status(_status(error))}") from error
        except RetryError as error:
            status = getattr(error.last_attempt.value, "status_code", 503)
            raise RequestError(f"{at} answers {status} {ATTEMPTS} times: it is busy; try again later") from error
        except (requests.exceptions.JSONDecodeError, _Refused, *_NOT_DICOMWEB) as error:
            why = str(error) if isinstance(error, _Refused) else "its answer is no DICOM JSON"
            raise RequestError(f"{at}: {why}; is this the address of DICOMweb, such as .../dicom-web?") from error
        except requests.exceptions.RequestException as error:
            limits = f"{CONNECT_SECONDS} s to connect, {SILENT_SECONDS} s of silence, {ATTEMPTS} attempts"
            raise RequestError(f"{at}: does not answer ({limits}); is it running, and is the address right?") from error

    def _of_status(self, status: int) -> str:
        if status in (401, 403):
            how = f"set {USER} and {PASSWORD}, or {TOKEN}, or give --dicomweb-login FILE"
            shown = "refuses the login" if self.login else "wants a login"
            return f"{shown} ({status}); {how}"
        if status == 404:
            return "answers 404: nothing is there; is this the address of DICOMweb, such as .../dicom-web?"
        return f"answers {status}: its own log says why"


_NOT_DICOMWEB = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError)


def _status(error: requests.exceptions.HTTPError) -> int:
    """The status of an answer that is an error."""
    return 0 if error.response is None else error.response.status_code


def _shown(login: Login) -> Any:
    """The authentication of every request."""
    if login.user:
        return requests.auth.HTTPBasicAuth(login.user.encode(), login.password.encode())

    def add(request: Any) -> Any:
        if login.token:
            request.headers["Authorization"] = f"Bearer {login.token}"
        return request

    return add


def _bounded(response: Any, **_: Any) -> Any:
    """Read an answer within its limits; called by requests when its head has come, before its body is read."""
    if response.is_redirect:
        raise _Refused(
            f"sends to another address ({visible(response.headers.get('location', ''))[:200]}); give that one"
        )
    begin, parts, size = time.monotonic(), [], 0
    for part in response.iter_content(2**20):
        parts.append(part)
        size += len(part)
        if size > MOST_BYTES:
            response.close()
            raise _Refused(f"its answer has more than {MOST_BYTES // 2**20} MiB")
        if time.monotonic() - begin > ANSWER_SECONDS:
            response.close()
            raise _Refused(f"its answer takes longer than {ANSWER_SECONDS} s")
    response._content = b"".join(parts)  # what `content` gives from then on
    if b"DICM" in response._content[:4096] and reader.DEFLATED in response._content[:8192]:
        raise _Refused("it is deflated, which is not read from a server")
    return response


def _text(entry: Mapping[str, Any], tag: str) -> str:
    """The first value of an attribute in DICOM JSON (PS3.18 F.2); '' where there is none."""
    element = entry.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return str(values[0]) if isinstance(values, list) and values and isinstance(values[0], str) else ""

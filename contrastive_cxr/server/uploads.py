"""The files of a request: a multipart form, read as it arrives, held in memory and never on disk."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from contrastive_cxr.errors import visible
from contrastive_cxr.server.doors import Held
from contrastive_cxr.server.limits import Limits
from contrastive_cxr.server.refusals import Refusal

FORM = b"multipart/form-data"
LONGEST_NAME = 255


class Upload(NamedTuple):
    """One file: the name that the client gave it, which is only repeated, and its content."""

    name: str
    content: bytes


class Form:
    """Files of a form, taken out of its bytes; the limits hold at every byte.

    Starlette's own reader writes files of more than a megabyte to the disk, and counts nothing of them.
    """

    def __init__(self, boundary: bytes, limits: Limits) -> None:
        self.limits = limits
        self.files: list[Upload] = []
        self.whole = False
        self._headers: dict[bytes, bytes] = {}
        self._field, self._value, self._parts, self._size, self._name = b"", b"", [b""], 0, ""
        callbacks = {
            "on_part_begin": self._begin, "on_header_field": self._on_field, "on_header_value": self._on_value,
            "on_header_end": self._on_header, "on_headers_finished": self._on_headers, "on_part_data": self._on_data,
            "on_part_end": self._on_end, "on_end": self._on_last,
        }  # fmt: skip
        self.parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]

    def write(self, chunk: bytes) -> None:
        """The next bytes of the body.

        Raises
        ------
        Refusal
            They are no multipart form, or pass a limit.
        """
        try:
            self.parser.write(chunk)
        except FormParserError as error:
            raise Refusal("malformed-request", "The body is no multipart form, or is damaged.") from error

    def _begin(self) -> None:
        if len(self.files) >= self.limits.files:
            raise Refusal("too-large", f"The request has more than {self.limits.files} files; send fewer at once.")
        self._headers, self._parts, self._size = {}, [], 0

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field, self._value = b"", b""

    def _on_headers(self) -> None:
        disposition = self._headers.get(b"content-disposition", b"").decode("latin-1")
        _, options = parse_options_header(disposition)
        name = options.get(b"filename")
        if name is None:
            field = visible(options.get(b"name", b"").decode("utf-8", "replace"))[:LONGEST_NAME]
            raise Refusal(
                "malformed-request", f"The form field '{field}' is no file; parameters are given in the address."
            )
        self._name = visible(name.decode("utf-8", "replace"))[:LONGEST_NAME] or f"file {len(self.files)}"

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._size += end - start
        if self._size > self.limits.file_bytes:
            raise Refusal(
                "too-large", f"{self._name}: has more than {self.limits.file_bytes} bytes, the limit of one file."
            )
        self._parts.append(data[start:end])

    def _on_end(self) -> None:
        self.files.append(Upload(self._name, b"".join(self._parts)))
        self._parts = []

    def _on_last(self) -> None:
        self.whole = True


async def received(request: Request, limits: Limits, held: Held) -> list[Upload]:
    """All files of a request.

    Raises
    ------
    Refusal
        No form, no file, a limit passed, too slow, or the client hung up.
    """
    form = Form(boundary_of(request), limits)
    check_length(request.headers.get("content-length", ""), limits)
    size = 0
    try:
        async with asyncio.timeout(limits.upload_seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limits.request_bytes:
                    raise too_long(limits)
                held.take(len(chunk))
                form.write(chunk)
    except TimeoutError as error:
        raise Refusal("upload-timeout", f"The request did not arrive in {limits.upload_seconds:g} s.") from error
    except ClientDisconnect as error:
        raise Refusal("client-gone") from error
    if not form.whole:
        raise Refusal("malformed-request", "The body ends before the form does.")
    if not form.files:
        raise Refusal("malformed-request", "The form holds no file; send images as files of the field 'images'.")
    return form.files


def boundary_of(request: Request) -> bytes:
    """The boundary of a form's parts."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind.lower() != FORM:
        raise Refusal("unsupported-media-type", "The body is no multipart/form-data; send images as files of a form.")
    boundary = options.get(b"boundary", b"")
    if not 0 < len(boundary) <= 70:  # RFC 2046, 5.1.1
        raise Refusal("malformed-request", "The header Content-Type names no boundary of 1 to 70 characters.")
    return boundary


def check_length(word: str, limits: Limits) -> None:
    """Refuse a body that is said to be too long before any of it is read."""
    if word.isdigit() and int(word[:20]) > limits.request_bytes:
        raise too_long(limits)


def too_long(limits: Limits) -> Refusal:
    """The refusal of a request that is too long."""
    return Refusal("too-large", f"The request has more than {limits.request_bytes} bytes; send fewer files at once.")

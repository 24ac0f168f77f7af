"""What a client is told when a request is not answered: one shape for every error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

KINDS: dict[str, tuple[int, str]] = {
    "malformed-request": (400, "The body is no multipart form, is cut short, or holds no file."),
    "unknown-host": (400, "The Host header names another machine than the one that the server is bound to."),
    "unauthorized": (401, "The token is missing or wrong."),
    "foreign-origin": (403, "A page of another origin sent the request."),
    "not-found": (404, "There is no such address."),
    "not-served": (404, "This run or gallery cannot answer that: no classifier, no embedding, or no cases."),
    "method-not-allowed": (405, "The address does not take this method."),
    "upload-timeout": (408, "The request did not arrive in time."),
    "too-large": (413, "A file, the request, the number of files or of pixels is above the limit."),
    "unsupported-media-type": (415, "The body is no multipart form, or a file is of a kind that is not read."),
    "invalid-parameter": (422, "A parameter of the query has a value that it cannot have."),
    "unreadable-image": (422, "A file is an image of a kind that is read, and is damaged or not usable."),
    "too-many-requests": (429, "This client sends more requests than the limit; Retry-After says when to try again."),
    "client-gone": (499, "The client hung up; nobody reads this."),
    "internal-error": (500, "The server failed; its log says more."),
    "busy": (503, "The server has as much to do as it takes; Retry-After says when to try again."),
    "stopping": (503, "The server finishes what it has, and ends."),
    "timeout": (504, "The answer was not ready in time; the work was dropped."),
}
"""Every kind of error with its status and what it means."""


class Error(BaseModel):
    """Why a request was not answered."""

    status: int = Field(description="the HTTP status again")
    kind: str = Field(description="a word that a program can ask for")
    message: str = Field(description="what, which value, what is right")
    faults: list[str] = Field(description="every fault, a sentence each")
    request: str = Field(description="the request's number, as in the header X-Request-Id and in the log")


class ErrorAnswer(BaseModel):
    """The body of every error."""

    error: Error


class Refusal(Exception):
    """A request that is not answered.

    Parameters
    ----------
    kind : str
        A word of `KINDS`.
    *faults : str
        A sentence each; none: the kind's own.
    retry : float, optional
        Seconds until another try makes sense: the header Retry-After.
    """

    def __init__(self, kind: str, *faults: str, retry: float | None = None) -> None:
        self.kind = kind
        self.status, words = KINDS[kind]
        self.faults: Sequence[str] = faults or (words,)
        self.retry = retry
        super().__init__("\n".join(self.faults))

    def response(self, number: str) -> JSONResponse:
        """The response to request `number`."""
        headers: dict[str, str] = {"X-Request-Id": number}
        if self.retry is not None:
            headers["Retry-After"] = str(max(1, round(self.retry + 0.5)))
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        error = Error(
            status=self.status, kind=self.kind, message=" ".join(self.faults), faults=list(self.faults), request=number
        )
        return JSONResponse({"error": error.model_dump()}, self.status, headers)


def of_status(status: int) -> str:
    """The kind of an error that the framework raised by its status alone."""
    known: Mapping[int, str] = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}
    return known.get(status, "malformed-request" if status < 500 else "internal-error")

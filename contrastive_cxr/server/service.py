"""Between HTTP and the models: files in, decoded by a few threads, then through the one thread that owns the models."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
from starlette.requests import Request

from contrastive_cxr import cores
from contrastive_cxr.data.decoding.intensity import DecodeError, TooManyPixels
from contrastive_cxr.data.files.kinds import HEAD, PICTURES, kind_of
from contrastive_cxr.errors import RequestError
from contrastive_cxr.inference import loaded_answers
from contrastive_cxr.inference.loaded import LoadedModels, Part, Picture
from contrastive_cxr.server.batcher import Batcher
from contrastive_cxr.server.doors import Doors
from contrastive_cxr.server.limits import Limits
from contrastive_cxr.server.metrics import Metrics
from contrastive_cxr.server.refusals import Refusal
from contrastive_cxr.server.uploads import Upload, received

Then = Callable[..., Any]
MOST_DECODERS = 4
ANSWERS = {
    "predict": "this run has no classifier",
    "embed": "a run over seeds or folds has no embedding of its own; name one of its runs, or a gallery",
    "search": "there are no cases to search in; make a gallery (ccxr index) and name it",
    "explain": "there is neither a classifier nor a case to compare with",
}
"""What may be asked, and why it may not be there."""


class Service:
    """Loaded models and the queue before them.

    Parameters
    ----------
    loaded : LoadedModels
    limits : Limits
    """

    def __init__(self, loaded: LoadedModels, limits: Limits) -> None:
        self.loaded, self.limits, self.metrics, self.doors = loaded, limits, Metrics(), Doors(limits)
        self.decoders = ThreadPoolExecutor(min(MOST_DECODERS, cores.threads()), "ccxr-decode")
        works = {
            "vectors": partial(loaded_answers.vectors, loaded),
            "probabilities": partial(loaded_answers.probabilities, loaded),
        }
        self.batcher = Batcher(
            works, limits.batch_images, limits.batch_seconds, limits.images,
            setup=lambda: torch.set_num_threads(cores.threads()), seen=self.metrics.batches.observe,
        )  # fmt: skip
        self.metrics.inside.set_function(lambda: self.doors.requests)
        self.metrics.held.set_function(lambda: self.doors.bytes)
        self.metrics.waiting.set_function(lambda: self.batcher.waiting)

    def start(self) -> None:
        """Start the threads."""
        self.batcher.start()

    def stop(self) -> None:
        """Let no one in, finish what is inside, end the threads."""
        self.doors.closing = True
        self.batcher.stop(self.limits.answer_seconds)
        self.decoders.shutdown(wait=False, cancel_futures=True)

    @property
    def answers(self) -> list[str]:
        """What can be asked here."""
        loaded = self.loaded
        there = {
            "predict": bool(loaded.classifiers),
            "embed": loaded.embedder is not None,
            "search": loaded.gallery is not None,
            "explain": bool(loaded.classifiers) or loaded.gallery is not None,
        }
        return [name for name, has in there.items() if has]

    def need(self, name: str) -> None:
        """Refuse what this run or gallery cannot answer."""
        if name not in self.answers:
            raise Refusal("not-served", f"/{name} is not served here: {ANSWERS[name]}.")

    async def answered(
        self, request: Request, parts: tuple[Part, ...], work: str, then: Then, frame: int | None = None
    ) -> list[Any]:
        """The answer to a request with files: one entry a file.

        Parameters
        ----------
        parts : what the files are decoded for
        work : what they pass through together with those of other requests; '' nothing
        then : makes the entries of (pictures, results of the work); one picture at a time where there is no work
        frame : which picture of files with several

        Raises
        ------
        Refusal
        """
        with self.doors.entered() as held:
            files = await received(request, self.limits, held)
            self.metrics.bytes.inc(held.bytes)
            self.metrics.images.inc(len(files))
            try:
                async with asyncio.timeout(self.limits.answer_seconds):
                    return list(await while_listening(request, self._worked(files, parts, work, then, frame)))
            except TimeoutError as error:
                raise Refusal("timeout", f"The answer took more than {self.limits.answer_seconds:g} s.") from error
            except RequestError as error:
                raise Refusal("invalid-parameter", *error.faults) from error

    async def _worked(
        self, files: list[Upload], parts: tuple[Part, ...], work: str, then: Then, frame: int | None
    ) -> list[Any]:
        pictures = await self.decoded(files, parts, frame)
        files.clear()  # the bytes are not needed any more
        if work:
            return list(await self.batcher.submit(work, pictures, lambda found: then(pictures, found)))
        jobs = [self.batcher.submit("", [one], lambda items: then(items[0])) for one in pictures]
        return list(await all_of(jobs))

    async def decoded(self, files: Sequence[Upload], parts: tuple[Part, ...], frame: int | None) -> list[Picture]:
        """The pictures of files.

        Raises
        ------
        Refusal
            With the fault of every file that is none.
        """
        loop = asyncio.get_running_loop()
        work = [
            loop.run_in_executor(
                self.decoders, self.loaded.read, file.content, file.name, parts, frame, self.limits.pixels
            )
            for file in files
        ]
        found = await asyncio.gather(*work, return_exceptions=True)
        faults = [(file, error) for file, error in zip(files, found, strict=True) if isinstance(error, BaseException)]
        for _, error in faults:
            if not isinstance(error, DecodeError):
                raise error
        if faults:
            kinds = [kind_of_fault(file, error) for file, error in faults]
            raise Refusal(kinds[0], *(f"{file.name}: {words_of(error)}." for file, error in faults))
        return [one for one in found if isinstance(one, Picture)]


async def while_listening(request: Request, work: Any) -> Any:
    """The result of a coroutine, which is cancelled if the client hangs up or the caller is cancelled.

    Raises
    ------
    Refusal
        The client hung up.
    """
    doing, listening = asyncio.ensure_future(work), asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait({doing, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise Refusal("client-gone")
        return doing.result()
    finally:
        for task in (doing, listening):
            task.cancel()
        with contextlib.suppress(BaseException):  # said already, or of a work that nobody waits for
            await asyncio.gather(doing, listening, return_exceptions=True)


async def all_of(work: Sequence[Any]) -> list[Any]:
    """The results of coroutines; where one fails the others are cancelled."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def kind_of_fault(file: Upload, error: BaseException) -> str:
    """The kind of refusal of a file that cannot be decoded."""
    if isinstance(error, TooManyPixels):
        return "too-large"
    known = kind_of(file.content[:HEAD]) in PICTURES
    return "unreadable-image" if known or not file.content else "unsupported-media-type"


def words_of(error: BaseException) -> str:
    """What is wrong with a file, with what a client can do about it."""
    said = error.reason if isinstance(error, DecodeError) else str(error)
    return said.partition("; name one, such as #frame=0")[0] + (
        "; name one by the parameter frame" if "; name one, such as #frame=0" in said else ""
    )

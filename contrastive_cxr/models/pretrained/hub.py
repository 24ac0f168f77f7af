"""The Hugging Face hub: the files of a repository, from its cache, else downloaded. None of its code is run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import contrastive_cxr.models.checkpoints.shards as shards
import contrastive_cxr.models.pretrained.packages as packages
import contrastive_cxr.models.pretrained.reach as reach
from contrastive_cxr.errors import RequestError, visible

HUB = "hf-hub:"
LIBRARY_SECONDS = 2.0
"""As long as the hub's own library waits, once the hub has answered us."""
OFFLINE = "HF_HUB_OFFLINE is set, so nothing is downloaded"


def silent() -> str:
    """Why nothing can be downloaded from the hub, in words; '' where it answers.

    It is asked once by us and once by its own library, which may trust other certificates and use other proxies. A
    download would try again for a minute, and print each try.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return OFFLINE
    return reach.silent(constants.ENDPOINT) or _refused(constants.ENDPOINT)


def _refused(address: str) -> str:
    """Why the hub's own library does not reach an address at its first try; '' where it does."""
    from huggingface_hub import get_session

    try:
        status = get_session().head(address, timeout=LIBRARY_SECONDS).status_code
    except Exception as error:  # of the HTTP library that this version of the hub's library uses
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return reach.busy(status)


@contextmanager
def from_cache() -> Iterator[None]:
    """Inside, the hub's library takes what is in its cache and does not ask the network whether there is a newer one.

    The switch is the library's own (`HF_HUB_OFFLINE`), which it reads from the environment once.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def quieten() -> None:
    """Let the hub's library speak of errors alone: it tells of every try, we tell of the end."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    from huggingface_hub.utils import logging as hub_logging

    hub_logging.set_verbosity_error()  # type: ignore[no-untyped-call]


def downloaded(word: str, what: str, files: Sequence[str], tables: Sequence[str]) -> Path:
    """The folder of a repository in the hub's cache, or the file where `word` names one; downloaded if need be.

    Parameters
    ----------
    word : str
        `hf-hub:ORG/NAME`, also `@REVISION` and `/FILE`.
    what : str
        Stands before the word in an error.
    files : sequence of str
        Names of weights, of which the first that is there is taken; of an index of parts the parts too.
    tables : sequence of str
        Configurations that are taken where they are there.

    Raises
    ------
    RequestError
        There is no such repository or file, or the hub cannot be reached.
    """
    from huggingface_hub import errors

    quieten()

    identity, revision, file = _named(word, what)
    wanted = (file,) if file else tuple(files)
    for local in (True, False):  # what is in the cache needs no network
        reason = "" if local else silent()
        try:
            if reason:
                raise OSError(reason)
            found = _had(identity, revision, wanted, local)
            whole = found is not None and _beside(found, identity, revision, () if file else tables, local)
        except (errors.RepositoryNotFoundError, errors.HFValidationError, errors.RevisionNotFoundError) as error:
            raise RequestError(
                f"{what}={word}: the hub has no {visible(identity)}{f' at {revision}' if revision else ''} that you "
                "may read; check the name, or log in where it is closed (hf auth login)"
            ) from error
        except (OSError, ValueError, RuntimeError, errors.HfHubHTTPError) as error:
            raise RequestError(_out_of_reach(f"{what}={word}", identity, reason, what)) from error
        if found is not None and whole:
            return found if file else found.parent
    raise RequestError(
        f"{what}={word}: {identity} has no file {' or '.join(wanted)}; name another: {HUB}{identity}/FILE"
    )


def _beside(found: Path, identity: str, revision: str, tables: Sequence[str], local: bool) -> bool:
    """Whether the parts that a file of weights lists are in the cache too; `tables` are taken where they are there."""
    parts = shards.names(found, HUB + identity) if shards.is_index(found) else []
    there = [_had(identity, revision, (part,), local) for part in parts]
    for table in tables:
        _had(identity, revision, (table,), local)
    return None not in there


def _out_of_reach(said: str, identity: str, reason: str, what: str) -> str:
    why = f" ({reason})" if reason else ""
    other = f"; without a network: {packages.WITHOUT_NETWORK}" if what == "model.weights" else ""
    return (
        f"{said}: the Hugging Face hub cannot be reached{why}, and {identity} is not in its cache on this machine; "
        f"check the network, or copy the repository's folder from a machine that has one and give {what}=FOLDER{other}"
    )


def _named(word: str, what: str) -> tuple[str, str, str]:
    """Repository, revision and file that a word names; '' where it names none."""
    address, _, revision = word.removeprefix(HUB).partition("@")
    organisation, _, rest = address.partition("/")
    name, _, file = rest.partition("/")
    if not organisation or not name:
        raise RequestError(f"{what}={word}: a repository of the hub is {HUB}ORG/NAME, such as {HUB}microsoft/rad-dino")
    return f"{organisation}/{name}", revision, file


def _had(identity: str, revision: str, files: Sequence[str], local: bool) -> Path | None:
    """The first of some files that a repository has, in the hub's cache; `local`: that is in the cache already."""
    import huggingface_hub
    from huggingface_hub import errors

    for file in files:
        try:
            return Path(
                huggingface_hub.hf_hub_download(identity, file, revision=revision or None, local_files_only=local)
            )
        except errors.LocalEntryNotFoundError:
            if not local:
                raise
        except errors.EntryNotFoundError:
            continue
    return None

"""An index beside its vectors: `index.faiss`, its keys where rows are gone from it, and `index.json`.

`faiss.read_index` trusts what it is given, and a made-up file can do anything to the process. So an index file is
read only where this user's own program wrote it: `index.json` carries a seal over the file's digest, made with a secret
that lies in the user's state folder and never in a gallery. Any other index is passed over, unless it is asked for, and
built again from the vectors.
"""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import contrastive_cxr.retrieval.index as indexes
from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.files import AtomicWrites, digest, read_json, write_bytes
from contrastive_cxr.retrieval.gallery_files import Digest
from contrastive_cxr.retrieval.index import Index, Kind
from contrastive_cxr.retrieval.measure import Recall
from contrastive_cxr.run.folder import read_array

NAMES = ("index.json", "index.faiss", "index-keys.npy")


class Unusable(CcxrError):
    """The index beside a gallery cannot be used; it is to be built again."""


class Record(BaseModel):
    """`index.json`: what `index.faiss` is, and of which vectors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = Field(1, description="version of this record")
    kind: Kind = Field(description="how rows are found")
    effort: Annotated[int, Field(ge=1)] = Field(description="hnsw: efSearch; ivf: nprobe")
    recall: Recall | None = Field(description="share of the truly nearest rows that it gives")
    count: Annotated[int, Field(ge=1)] = Field(description="rows of the gallery that it knows")
    gone: Annotated[int, Field(ge=0)] = Field(description="rows that it still holds and passes over")
    vectors_sha256: Digest = Field(description="digest of the vectors.npy that it was built from")
    index_sha256: Digest = Field(description="digest of index.faiss")
    keys_sha256: Digest | None = Field(description="digest of index-keys.npy; none: keys are row numbers")
    faiss: str = Field(description="version that wrote it")
    seal: str = Field("", description="by the secret of the user who wrote it; empty: nobody's")


def write(together: AtomicWrites, index: Index, recall: Recall | None, vectors_sha256: str) -> None:
    """Write the files of an index; they take their places when `together` ends."""
    place, keys_sha256 = together.place("index.faiss"), None
    indexes.write(index, place)
    if index.keys[-1] != len(index.keys) - 1:
        keys = together.place("index-keys.npy")
        with keys.open("wb") as file:
            np.save(file, index.keys, allow_pickle=False)
        keys_sha256 = digest(keys)
    record = Record(
        kind=index.kind,
        effort=index.effort,
        recall=recall,
        count=len(index.keys),
        gone=index.gone,
        vectors_sha256=vectors_sha256,
        index_sha256=digest(place),
        keys_sha256=keys_sha256,
        faiss=indexes.VERSION,
    )
    sealed = record.model_copy(update={"seal": seal(record)})
    together.place("index.json").write_text(sealed.model_dump_json(indent=2) + "\n", encoding="utf-8")


def read(
    folder: Path, kind: Kind, vectors_sha256: str, shape: tuple[int, ...], *, mapped: bool, trust: bool
) -> tuple[Index, Recall | None]:
    """The index beside a gallery.

    Parameters
    ----------
    kind, vectors_sha256 : what the gallery's record says
    shape : of the vectors, rows and dimensions
    mapped : bool
        Leave it on disk where FAISS can (inverted lists, flat vectors); such an index cannot be changed.
    trust : bool
        Read it also where another user or program wrote it. Its digests are checked, which does not make it harmless.

    Raises
    ------
    Unusable
        Missing, of other vectors or another kind, damaged, or not ours.
    """
    path = folder / "index.json"
    if not path.is_file() or not (folder / "index.faiss").is_file():
        raise Unusable("there is none")
    try:
        record = Record.model_validate(read_json(path))
    except (ValidationError, ValueError) as error:
        raise Unusable("index.json is damaged") from error
    if record.vectors_sha256 != vectors_sha256 or record.kind != kind or record.count != shape[0]:
        raise Unusable("it is of other vectors")
    if not trust and not hmac.compare_digest(record.seal, seal(record)):
        raise Unusable("another user or program wrote it")
    if digest(folder / "index.faiss") != record.index_sha256:
        raise Unusable("index.faiss is damaged")
    keys = np.arange(record.count)
    if record.keys_sha256 is not None:
        place = folder / "index-keys.npy"
        if not place.is_file() or digest(place) != record.keys_sha256:
            raise Unusable("index-keys.npy is missing or damaged")
        try:
            keys = read_array(place)
        except RequestError as error:
            raise Unusable("index-keys.npy is damaged") from error
    try:
        found = indexes.read(folder / "index.faiss", mapped, kind, shape[1])
    except (RuntimeError, MemoryError) as error:  # of another version of FAISS, or a length that lies
        raise Unusable(f"FAISS cannot read it ({str(error).partition(chr(10))[0]})") from error
    index = Index(record.kind, found, keys, record.effort)
    if not indexes.fits(index, shape) or index.gone != record.gone:
        raise Unusable("index.faiss or index-keys.npy is not what index.json says")
    return index, record.recall


def clear(folder: Path, index: Index) -> None:
    """Remove the files that an index of this kind does not have, of a former one."""
    kept = set() if index.faiss_index is None else {"index.json", "index.faiss"}
    if kept and index.keys[-1] != len(index.keys) - 1:
        kept.add("index-keys.npy")
    for name in set(NAMES) - kept:
        (folder / name).unlink(missing_ok=True)


def seal(record: Record) -> str:
    """HMAC-SHA256 over the record, the digest of the index file in it; '' where this user has no place for a secret."""
    secret = _secret()
    text = record.model_copy(update={"seal": ""}).model_dump_json()
    return hmac.new(secret, text.encode(), "sha256").hexdigest() if secret else secrets.token_hex(32)


def _secret() -> bytes:
    """32 bytes of this user, made when they are first wanted; empty where they cannot be kept."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    path = state / "contrastive_cxr" / "index.key"
    try:
        if not path.is_file():
            write_bytes(path, secrets.token_bytes(32))
            path.chmod(0o600)
        found = path.read_bytes()
    except (OSError, CcxrError):
        return b""
    return found if len(found) == 32 else b""

"""What a folder of shards says of itself in `shards.json`, and what is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contrastive_cxr.data.decoding import decode
from contrastive_cxr.data.decoding.intensity import DecodeError
from contrastive_cxr.data.files import reading
from contrastive_cxr.data.files.addresses import is_url, join
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe import schema

NAME = "shards.json"
BEGUN = "packing.json"
"""Stands in a folder as long as it is not packed to its end."""
ROWS = "rows.parquet"
FORMAT = "contrastive_cxr image shards"
VERSION = 1
LISTED = 5
DECODING = ("cache_size", "resize", "border_crop", "denoise", "equalise", "decoding")
PACK = "ccxr data pack RECIPE --out FOLDER"


class Shard(BaseModel):
    """One Parquet file."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    file: str = Field(description="below the folder")
    images: int = Field(ge=1)
    bytes: int = Field(ge=1)


class Description(BaseModel):
    """`shards.json`.

    Attributes
    ----------
    size : int
        Side of the squares, pixels.
    group : int
        Squares of a row group: what is read at once.
    images : int
        Squares in all shards.
    settings : dict
        How the files were decoded: the names of `DECODING`, `decoder` (version of the decoder) and `intensity`, as the
        recipe asked for it.
    intensity : dict
        The same with the ranges that were found.
    identity : str
        SHA-256 of settings, rows, parts, classes and contents: what the folder was packed from.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    format: str = FORMAT
    version: int = VERSION
    size: int
    group: int = Field(ge=1)
    images: int = Field(ge=0)
    settings: dict[str, Any]
    intensity: dict[str, Any]
    identity: str
    shards: tuple[Shard, ...]


def settings_of(data: schema.Data) -> dict[str, Any]:
    """What the squares of `data` depend on besides the files, as JSON holds it."""
    found = data.model_dump(mode="json", include={*DECODING, "intensity"})
    return {**found, "decoder": decode.VERSION}


def read(place: str) -> Description:
    """The description of a folder or URL of shards.

    Raises
    ------
    RequestError
        It is not there, holds something else, is of another version, or is not packed to its end.
    """
    try:
        tree = json.loads(reading.content(join(place, NAME)))
    except DecodeError as error:
        raise RequestError(_absent(place, error)) from None
    except (ValueError, RecursionError):
        raise RequestError(f"data.shards: '{join(place, NAME)}' is not JSON; pack again: {PACK}") from None
    if not isinstance(tree, dict) or tree.get("format") != FORMAT:
        raise RequestError(
            f"data.shards: '{join(place, NAME)}' is no description of image shards (its format is not '{FORMAT}'); "
            f"name a folder that this command wrote: {PACK}"
        )
    if tree.get("version") != VERSION:
        raise RequestError(
            f"data.shards: '{place}' is of version {tree.get('version')} of the format, and this ccxr reads version "
            f"{VERSION}; pack again: {PACK}"
        )
    try:
        return Description.model_validate(tree)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise RequestError(
            f"data.shards: '{join(place, NAME)}' is damaged ({where}: {error.errors()[0]['msg']}); pack again: {PACK}"
        ) from None


def _absent(place: str, error: DecodeError) -> str:
    """What to say where there is no description."""
    if not is_url(place) and _is_there(join(place, BEGUN)):
        return f"data.shards: '{place}' is not packed to its end; the same `ccxr data pack` command goes on with it"
    return f"data.shards: '{join(place, NAME)}' {error.reason}; name a folder that this command wrote: {PACK}"


def _is_there(file: str) -> bool:
    try:
        reading.stamp(file)
    except DecodeError:
        return False
    return True


def faults(found: Description, place: str, data: schema.Data) -> Iterator[str]:
    """Everything that keeps `data` from being read from these shards, without a look at its rows.

    Other decode settings; shards that are missing, or have not the size that they were written with.
    """
    asked = settings_of(data)
    differ = [
        f"data.{name} is {found.settings.get(name)} there and {asked[name]} in the recipe"
        for name in DECODING
        if found.settings.get(name) != asked[name]
    ]
    if asked["intensity"] not in (found.settings.get("intensity"), found.intensity):
        differ.append(f"data.intensity is {_short(found.intensity)} there and {_short(asked['intensity'])} here")
    if found.settings.get("decoder") != asked["decoder"]:
        differ.append(f"the decoder was version {found.settings.get('decoder')} and is {asked['decoder']} now")
    if differ:
        yield f"data.shards: '{place}' holds squares made otherwise ({'; '.join(differ)}); pack again, or set the same"
    yield from shard_faults(found, place)


def shard_faults(found: Description, place: str) -> list[str]:
    """One sentence for all shards that are missing, and one for all that are cut or changed."""
    missing, changed = [], []
    for shard in found.shards:
        try:
            size = reading.stamp(join(place, shard.file))[0]
        except DecodeError as error:
            missing.append(f"{shard.file} {error.reason}")
            continue
        if size != shard.bytes:
            changed.append(f"{shard.file} has {size:,} of {shard.bytes:,} bytes")
    cure = "copy them again, or run the same `ccxr data pack` command, which writes what is missing"
    return [
        f"data.shards: {len(each)} of {len(found.shards)} shards in '{place}' {what} ({'; '.join(islice(each, LISTED))}"
        f"{'; ...' if len(each) > LISTED else ''}); {cure}"
        for what, each in (("cannot be read", missing), ("are not whole", changed))
        if each
    ]


def _short(intensity: dict[str, Any]) -> str:
    """The settings of the intensity that are not left as they are."""
    usual = schema.Intensity().model_dump(mode="json")
    return ", ".join(f"{name} {value}" for name, value in intensity.items() if value != usual.get(name)) or "as usual"

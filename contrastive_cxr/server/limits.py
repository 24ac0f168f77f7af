"""How much one client, one request and all of them together may ask for."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from contrastive_cxr.errors import raise_faults

MIB = 2**20
MOST_PIXELS = 2**26
"""Pixels above which no picture is decoded, whatever is asked for (`data.decoding.decode.LARGEST`)."""


@dataclass(frozen=True)
class Limits:
    """Everything has a bound, so that memory has one.

    Attributes
    ----------
    file_bytes, request_bytes : of one file, and of a whole request
    held_bytes : of all uploads that are in memory at the same time
    pixels : of one picture, by its header
    files : of one request
    requests : that are being received, waiting or answered
    images : decoded ones that wait for the model
    rate, burst : requests a second of one client on average, and how many at once; rate 0: no limit
    upload_seconds : until a request has arrived
    answer_seconds : from then until its answer
    batch_images : images that pass through the network together
    batch_seconds : how long the first image of a batch waits for others
    """

    file_bytes: int = 64 * MIB
    request_bytes: int = 128 * MIB
    held_bytes: int = 512 * MIB
    pixels: int = 2**25
    files: int = 32
    requests: int = 512
    images: int = 1024
    rate: float = 50.0
    burst: int = 500
    upload_seconds: float = 30.0
    answer_seconds: float = 60.0
    batch_images: int = 16
    batch_seconds: float = 0.005

    def check(self) -> None:
        """Refuse limits that let nothing through, all of them at once.

        Raises
        ------
        RequestError
        """
        zero = ("rate", "batch_seconds")
        faults = []
        for name in (field.name for field in dataclasses.fields(self)):
            value = getattr(self, name)
            if value < 0 or (value == 0 and name not in zero) or not math.isfinite(value):
                faults.append(f"{name} = {value:g}: give {'0 or more' if name in zero else 'more than 0'}")
        if self.pixels > MOST_PIXELS:
            faults.append(f"pixels = {self.pixels}: at most {MOST_PIXELS} are decoded; give no more")
        if self.request_bytes > self.held_bytes:
            faults.append(
                f"request_bytes = {self.request_bytes} is more than held_bytes = {self.held_bytes}, so the largest "
                "request could never be taken; give a smaller one"
            )
        raise_faults(faults)

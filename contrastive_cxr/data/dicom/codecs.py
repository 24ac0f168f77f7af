"""What decoder a compressed DICOM file needs, and the size that its compressed picture declares."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image, UnidentifiedImageError

from contrastive_cxr.data.decoding.intensity import DecodeError
from contrastive_cxr.data.dicom import separate_process

EXTENDED = "1.2.840.10008.1.2.4.51"
# The package that brings a syntax's decoder; all but the last are in the extra `dicom`.
PACKAGES = {
    "1.2.840.10008.1.2.4.57": "python-gdcm",
    "1.2.840.10008.1.2.4.70": "python-gdcm",
    "1.2.840.10008.1.2.4.80": "pyjpegls",
    "1.2.840.10008.1.2.4.81": "pyjpegls",
    "1.2.840.10008.1.2.4.90": "pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.91": "pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.201": "pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.202": "pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.203": "pylibjpeg-openjpeg",
    EXTENDED: "pylibjpeg-libjpeg",
}
# Decoders in the order of trust. GDCM ends its process on damaged files of all kinds (docs/reference/inputs.md), so it
# is asked where nothing else decodes a syntax, and in a process of its own.
TRUSTED = ("pydicom", "pyjpegls", "pillow", "pylibjpeg")
JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")  # of which Pillow reads fewer kinds than OpenJPEG
FREE_OF_SIZE = (*range(0xD0, 0xD9), 0x01)  # JPEG markers without a length behind them
NO_FRAMES = (0xC4, 0xC8, 0xCC)  # among C0 to CF, which begin a picture


def check(data: Any) -> None:
    """Refuse a syntax without a decoder, and a compressed picture of another size than its file declares.

    The picture's own size is what a decoder allocates.

    Raises
    ------
    DecodeError
        The transfer syntax and the package to install; or both sizes.
    """
    syntax = data.file_meta.TransferSyntaxUID
    if not syntax.is_compressed or syntax.is_deflated:
        return
    fault = _missing(data, syntax)
    if fault:
        raise DecodeError(fault)
    _check_inner(data)


def prepared(data: Any, content: bytes) -> Any:
    """The data set, its compressed pixels unpacked or the decoder chosen that `pixel_array` uses.

    Parameters
    ----------
    data : pydicom.Dataset
        Of `content`, after `check`.

    Raises
    ------
    DecodeError
        The pixels are damaged, as a decoder of another process finds.
    """
    syntax = data.file_meta.TransferSyntaxUID
    if not syntax.is_compressed or syntax.is_deflated:
        return data
    plugin = _plugin(syntax)
    if plugin in TRUSTED:
        data.pixel_array_options(decoding_plugin=plugin)
        return data
    from pydicom import dcmread

    unpacked = separate_process.decompressed(content, plugin)
    if unpacked is None:
        raise DecodeError(f"is a DICOM file{kind(data)}, that is damaged; get it again from where it came")
    return dcmread(io.BytesIO(unpacked))


def _plugin(syntax: Any) -> str:
    """The decoder of a syntax that is trusted most among those that are installed."""
    from pydicom.pixels.decoders.base import get_decoder

    there = get_decoder(syntax).available_plugins
    order = ("pylibjpeg", *TRUSTED) if syntax in JPEG_2000 else TRUSTED
    return next((name for name in order if name in there), there[0])


def kind(data: Any) -> str:
    """`, compressed as NAME` for a sentence; '' where the pixels are not compressed."""
    syntax = data.file_meta.TransferSyntaxUID
    return f", compressed as {syntax.name}" if syntax.is_compressed and not syntax.is_deflated else ""


def _missing(data: Any, syntax: Any) -> str:
    """What is missing to decode a syntax, in words; '' where nothing is."""
    from pydicom.pixels.decoders.base import get_decoder

    named = f"is a DICOM file compressed as {syntax.name} ({syntax})"
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        return f"{named}, which has no decoder here; convert it with another program, such as gdcmconv --raw"
    package = PACKAGES.get(str(syntax), "contrastive_cxr[dicom]")
    if syntax == EXTENDED and int(data.BitsStored) > 8 and "pylibjpeg" not in decoder.available_plugins:
        return (
            f"{named} with {data.BitsStored} bits, whose decoder is not part of contrastive_cxr (its licence is GPL): "
            f"pip install {package}"
        )
    if not decoder.is_available:
        return f"{named}, whose decoder is not installed: pip install {package}"
    return ""


def _check_inner(data: Any) -> None:
    from pydicom.encaps import get_frame

    size = _size(get_frame(data.PixelData, 0, number_of_frames=max(1, int(data.get("NumberOfFrames") or 1))))
    if size is not None and size != (data.Columns, data.Rows):
        raise DecodeError(
            f"is a DICOM file that declares {data.Columns} x {data.Rows} pixels around a picture of "
            f"{size[0]} x {size[1]}; not read"
        )


def _size(content: bytes) -> tuple[int, int] | None:
    """Width and height that a compressed picture declares; None of RLE, which declares none, or where it is damaged."""
    if content.startswith(b"\xff\xd8"):
        return _jpeg_size(content)
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG2000",)) as inner:
            return inner.size
    except UnidentifiedImageError:
        return None
    except Image.DecompressionBombError as error:
        raise DecodeError("is a DICOM file around a picture that declares far more pixels; not read") from error


def _jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG of any process and of JPEG-LS, of which Pillow opens few."""
    place = 2
    while place + 9 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker == 0xFF or marker in FREE_OF_SIZE:
            place += 1 if marker == 0xFF else 2
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in NO_FRAMES):
            height, width = (int.from_bytes(content[at : at + 2], "big") for at in (place + 5, place + 7))
            return width, height
        else:
            place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return None

"""Bytes as an image, by each way of reading intensities."""

from __future__ import annotations

import io
import zlib

import numpy as np
from PIL import Image

from contrastive_cxr.data.decoding.decode import LARGEST, decode
from contrastive_cxr.recipe.schema import Data, Intensity

SETTINGS = (
    Data(),
    Data(intensity=Intensity(kind="min-max"), border_crop=0.1),
    Data(intensity=Intensity(kind="percentile"), denoise="median"),
    Data(intensity=Intensity(kind="window", low=-600, high=1500), equalise="histogram"),
    Data(equalise="clahe", border_crop=0.4),
)


def run(content: bytes) -> None:
    """Decode with one of the settings, chosen by the content itself so that an input always does the same."""
    grey, facts = decode(content, SETTINGS[zlib.crc32(content) % len(SETTINGS)])
    assert grey.dtype == np.uint8, grey.dtype
    assert grey.ndim == 2, grey.shape
    assert 0 < grey.size <= facts.width * facts.height <= LARGEST, (grey.shape, facts)
    assert facts.bytes == len(content), facts


def seeds() -> dict[str, bytes]:
    """Pictures of 9 x 7 pixels of each kind that is read, and kinds that are refused."""
    grey = Image.fromarray((np.arange(63, dtype=np.uint8) * 4).reshape(7, 9))
    found: dict[str, bytes] = {}
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        deep = Image.fromarray(np.arange(63, dtype=np.uint16).reshape(7, 9) * 1000)
        found[f"png-{mode.replace(';', '-')}"] = _file(deep if mode == "I;16" else grey.convert(mode), "PNG")
    for mode in ("1", "L", "RGB", "CMYK", "I", "F"):
        for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
            found[f"tiff-{mode}-{compression}"] = _file(grey.convert(mode), "TIFF", compression=compression)
    found["tiff-jpeg"] = _file(grey, "TIFF", compression="jpeg")
    found["tiff-two-pages"] = _file(grey, "TIFF", save_all=True, append_images=[grey])
    found["tiff-upside-down"] = _file(grey, "TIFF", tiffinfo={274: 3})
    for mode in ("L", "RGB", "CMYK"):
        found[f"jpeg-{mode}"] = _file(grey.convert(mode), "JPEG", progressive=mode == "RGB")
    turned = Image.Exif()
    turned[274] = 6
    found["jpeg-exif"] = _file(grey, "JPEG", exif=turned)
    for mode in ("1", "L", "P", "RGB"):
        found[f"bmp-{mode}"] = _file(grey.convert(mode), "BMP")
    found["gif"] = _file(grey, "GIF")
    return {**found, **_dicoms(np.asarray(grey))}


def _file(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)  # type: ignore[arg-type]
    return buffer.getvalue()


def _dicoms(grey: np.ndarray) -> dict[str, bytes]:
    """DICOM files, plain, with windows and tables, compressed; none where pydicom is missing."""
    try:
        from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
        from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless
    except ImportError:
        return {}

    def dicom(pixels: np.ndarray, syntax: str = ExplicitVRLittleEndian, **tags: object) -> bytes:
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
        data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        data.Rows, data.Columns = pixels.shape[:2]
        data.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
        data.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
        data.BitsAllocated = data.BitsStored = pixels.itemsize * 8
        data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(pixels.dtype.kind == "i")
        data.PixelData = pixels.tobytes()
        if pixels.ndim == 3:
            data.PlanarConfiguration = 0
        for name, value in tags.items():
            setattr(data, name, value)
        if syntax in (RLELossless, JPEG2000Lossless):
            # gdcm's encoder, where it is installed, would be tried first, and ends the process on so small a picture
            plugin = "pydicom" if syntax == RLELossless else ""
            data.compress(syntax, encoding_plugin=plugin, generate_instance_uid=False)
        elif syntax == ImplicitVRLittleEndian:
            meta.TransferSyntaxUID = ImplicitVRLittleEndian
        buffer = io.BytesIO()
        data.save_as(buffer, enforce_file_format=True)
        return buffer.getvalue()

    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4, 0, 16], np.array([0, 80, 160, 255], np.uint16).tobytes()
    table.ModalityLUTType = "US"
    deep = grey.astype(np.int16) * 10 - 900
    return {
        "dicom": dicom(grey),
        "dicom-implicit": dicom(grey, ImplicitVRLittleEndian),
        "dicom-window": dicom(deep, RescaleSlope=2, RescaleIntercept=-1024, WindowCenter=40, WindowWidth=400),
        "dicom-inverted": dicom(grey, PhotometricInterpretation="MONOCHROME1"),
        "dicom-table": dicom(grey, ModalityLUTSequence=[table]),
        "dicom-colour": dicom(np.stack([grey] * 3, axis=2)),
        "dicom-rle": dicom(grey, RLELossless),
        **_jpeg2000(lambda: dicom(grey, JPEG2000Lossless)),
    }


def _jpeg2000(make: object) -> dict[str, bytes]:
    """A JPEG 2000 DICOM where the encoder is installed."""
    try:
        return {"dicom-jpeg2000": make()}  # type: ignore[operator]
    except (RuntimeError, ImportError):
        return {}

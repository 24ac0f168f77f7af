"""What a DICOM file says of its numbers: functional groups, padding, empty attributes, windows (PS3.3 C.7.6, C.11)."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from contrastive_cxr.data.decoding.decode import DecodeError, decode
from contrastive_cxr.recipe.schema import Data, Intensity
from tests.data import painted
from tests.data.corpus.writers import by_pillow, dicom

pydicom = pytest.importorskip("pydicom")

RAMP = np.tile(np.linspace(0, 4095, 64).astype(np.uint16), (64, 1))
TWELVE = {"BitsStored": 12, "HighBit": 11}
HU = Data(intensity=Intensity(kind="window", low=-1000, high=400))
FULL = Data(intensity=Intensity(kind="min-max"))


def made(**tags: Any) -> bytes:
    return dicom(RAMP, **TWELVE, **tags)


def item(**tags: Any) -> Any:
    found = pydicom.Dataset()
    for name, value in tags.items():
        setattr(found, name, value)
    return found


def to_grey(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip(np.rint((values.astype(float) - low) * (255 / (high - low))), 0, 255).astype(int)


def row(content: bytes, data: Data | None = None) -> np.ndarray:
    return decode(content, data or Data()).grey[0].astype(int)


@pytest.mark.parametrize("place", ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"])
def test_rescale_and_window_of_functional_groups(place: str) -> None:
    group = item(
        PixelValueTransformationSequence=[item(RescaleSlope="1", RescaleIntercept="-1024", RescaleType="HU")],
        FrameVOILUTSequence=[item(WindowCenter="40", WindowWidth="400")],
    )
    enhanced = made(Modality="CT", NumberOfFrames=1, **{place: [group]})
    units = RAMP[0].astype(float) - 1024
    assert row(enhanced, HU).tolist() == to_grey(units, -1000, 400).tolist()
    assert row(enhanced).tolist() == to_grey(units, 40 - 0.5 - 199.5, 40 - 0.5 + 199.5).tolist()


def test_a_frames_own_group_comes_before_the_shared_and_the_files() -> None:
    own = item(FrameVOILUTSequence=[item(WindowCenter="1000", WindowWidth="101")])
    shared = item(FrameVOILUTSequence=[item(WindowCenter="3", WindowWidth="2")])
    groups = {"PerFrameFunctionalGroupsSequence": [own], "SharedFunctionalGroupsSequence": [shared]}
    facts = decode(made(WindowCenter="9", WindowWidth="9", **groups), Data()).facts
    assert (facts.grey_low, facts.grey_high) == (949.5, 1049.5)


def test_padding_is_air_under_monochrome1_and_counts_for_no_range() -> None:
    stored = np.where(np.arange(64) < 16, 0, RAMP).astype(np.uint16)
    grey = row(dicom(stored, **TWELVE, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0))
    assert not grey[:16].any()
    assert grey[16:].tolist() == (255 - to_grey(RAMP[0, 16:], 0, 4095)).tolist()
    ct = np.tile(np.linspace(-1000, 400, 64).astype(np.int16), (64, 1))
    ct[:8] = -2000
    content = dicom(ct, PixelRepresentation=1, RescaleSlope="1", RescaleIntercept="0", PixelPaddingValue=-2000)
    grey = decode(content, FULL).grey
    assert not grey[:8].any()
    assert grey[8].tolist() == to_grey(ct[8], -1000, 400).tolist()


def test_a_range_of_padding_and_one_written_without_its_sign() -> None:
    limited = row(made(PixelPaddingValue=4095, PixelPaddingRangeLimit=4000), FULL)
    inside = RAMP[0] < 4000
    assert not limited[~inside].any()
    assert limited[inside].tolist() == to_grey(RAMP[0, inside], 0, RAMP[0, inside].max()).tolist()
    signed = np.array([[-2000, -1000, 0]], np.int16)
    content = dicom(signed, PixelRepresentation=1)
    wrong = content_with(content, PixelPaddingValue=("US", 63536))
    assert row(wrong, FULL).tolist() == [0, 0, 255]


def content_with(content: bytes, **elements: tuple[str, Any]) -> bytes:
    """The file with elements of a VR of one's own."""
    data = pydicom.dcmread(io.BytesIO(content))
    for name, (kind, value) in elements.items():
        data.add_new(name, kind, value)
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def test_ct_without_a_window_is_seen_through_one_in_hu() -> None:
    units = np.array([[-2000, -1350, -600, 150, 1000]], np.int16)
    tags = {"PixelRepresentation": 1, "Modality": "CT", "RescaleSlope": "1", "RescaleIntercept": "0"}
    content = dicom(units, PixelPaddingValue=-2000, **tags)
    assert row(content).tolist() == [0, 0, 128, 255, 255]
    for word, low, high in (("mediastinum", -160, 240), ("bone", -500, 1300), ((0.0, 1000.0), -500, 500)):
        grey = row(content, Data(intensity=Intensity(ct=word)))
        assert grey[1:].tolist() == to_grey(units[0, 1:], low, high).tolist()
    other = dicom(units, **(tags | {"Modality": "MR"}))
    assert decode(other, Data()).facts.grey_high == 32767, "a window in HU is of CT alone"
    own = decode(dicom(units, WindowCenter=[40, -600], WindowWidth=[400, 1500], **tags), Data()).facts
    assert (own.grey_low, own.grey_high) == (-160, 239), "the file's own first window counts"


def test_an_attribute_without_a_value_is_an_absent_one() -> None:
    window = {"WindowCenter": "2048", "WindowWidth": "4096"}
    table = pydicom.Dataset()
    table.add_new("LUTDescriptor", "US", None)
    table.add_new("LUTData", "OW", None)
    plain = to_grey(RAMP[0], 0, 4095).tolist()
    for tags in (
        {**window, "VOILUTFunction": ""},
        {"RescaleIntercept": "", "RescaleSlope": ""},
        {**window, "VOILUTSequence": [table]},
        {"WindowCenter": "", "WindowWidth": ""},
        {"WindowCenter": "40", "WindowWidth": None},
        {"ModalityLUTSequence": [pydicom.Dataset()]},
        {"PixelPaddingValue": None, "PresentationLUTShape": "", "NumberOfFrames": None},
    ):
        assert row(made(**tags)).tolist() == plain, tags
    assert row(made(RescaleIntercept="-5", RescaleSlope=""), FULL).tolist() == plain


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({"WindowCenter": "2048", "WindowWidth": "0"}, "Window Width of 0, and one of LINEAR is at least 1"),
        ({"WindowCenter": "1", "WindowWidth": "0", "VOILUTFunction": "SIGMOID"}, "one of SIGMOID is above 0"),
        ({"WindowCenter": "1", "WindowWidth": "9", "VOILUTFunction": "CUBIC"}, "VOI LUT Function 'CUBIC'"),
        ({"RescaleSlope": "0", "RescaleIntercept": "0"}, "Rescale Slope of 0"),
        ({"WindowCenter": "9000", "WindowWidth": "100"}, r"Window Center 9000.* outside of all values .*\(0 to 4095\)"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_the_cure(tags: dict[str, str], words: str) -> None:
    with pytest.raises(DecodeError, match=f"{words}.*data.intensity.kind=min-max"):
        decode(made(**tags), Data())
    assert row(made(**tags), FULL).tolist() == to_grey(RAMP[0], 0, 4095).tolist()


@pytest.mark.filterwarnings("ignore:.*VR DS")
@pytest.mark.parametrize(("keyword", "name"), [("WindowWidth", "Window Width"), ("RescaleSlope", "Rescale Slope")])
def test_a_comma_is_named(keyword: str, name: str) -> None:
    tags = {"WindowCenter": "2048", "WindowWidth": "40.9", "RescaleIntercept": "0", "RescaleSlope": "1.25"}
    right = str(tags[keyword])
    content = made(**tags).replace(right.encode(), right.replace(".", ",").encode())
    with pytest.raises(DecodeError, match=f"has {name} '{right.replace('.', ',')}', which is no number"):
        decode(content, Data())
    assert row(content, FULL).tolist() == to_grey(RAMP[0], 0, 4095).tolist()


def test_an_inverse_shape_turns_once() -> None:
    turned = (255 - to_grey(RAMP[0], 0, 4095)).tolist()
    assert row(made(PresentationLUTShape="INVERSE")).tolist() == turned
    assert row(made(PresentationLUTShape="INVERSE", PhotometricInterpretation="MONOCHROME1")).tolist() == turned
    assert row(made(PresentationLUTShape="IDENTITY")).tolist() == to_grey(RAMP[0], 0, 4095).tolist()


def test_window_functions() -> None:
    exact = decode(made(WindowCenter="1000", WindowWidth="400", VOILUTFunction="LINEAR_EXACT"), Data()).facts
    assert (exact.grey_low, exact.grey_high) == (800, 1200)
    sigmoid = row(made(WindowCenter="1000", WindowWidth="400", VOILUTFunction="SIGMOID"))
    assert sigmoid.tolist() == np.rint(255 / (1 + np.exp(-4 * (RAMP[0] - 1000.0) / 400))).astype(int).tolist()


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90"])
def test_unused_high_bits_are_no_part_of_a_value(syntax: str) -> None:
    from PIL import Image

    marked = (RAMP | 0xA000).astype(np.uint16)
    inner = by_pillow(Image.fromarray(marked), "JPEG2000", no_jp2=True, irreversible=False)
    content = dicom(marked, syntax, None if syntax.endswith("2.1") else inner, **TWELVE)
    assert row(content).tolist() == to_grey(RAMP[0], 0, 4095).tolist()
    signed = ((np.array([[-2048, -1, 0, 2047]], np.int16) & 0x0FFF) | 0x5000).astype(np.int16)
    assert row(dicom(signed, PixelRepresentation=1, **TWELVE)).tolist() == [0, 127, 128, 255]


def test_a_run_of_before_reads_as_it_did() -> None:
    """`data.decoding` 1: what its model learned on, padding and groups and all."""
    before = Data(decoding=1, intensity=Intensity(kind="dtype"))
    stored = np.where(np.arange(64) < 16, 0, RAMP).astype(np.uint16)
    padded = dicom(stored, **TWELVE, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0)
    assert (row(padded, before)[:16] == 255).all()
    group = item(PixelValueTransformationSequence=[item(RescaleSlope="1", RescaleIntercept="-1024")])
    enhanced = made(SharedFunctionalGroupsSequence=[group])
    window = Data(decoding=1, intensity=HU.intensity)
    assert row(enhanced, window).tolist() == to_grey(RAMP[0], -1000, 400).tolist()
    assert row(made(PresentationLUTShape="INVERSE"), before).tolist() == to_grey(RAMP[0], 0, 4095).tolist()


def test_colours_of_16_bits_and_a_palette() -> None:
    rgb = np.random.default_rng(0).integers(0, 65536, (5, 4, 3), dtype=np.uint16)
    content = dicom(rgb[..., 0], SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0,
                    PixelData=rgb.tobytes())  # fmt: skip
    grey = decode(content, Data()).grey
    assert np.abs(grey - rgb @ [0.299, 0.587, 0.114] / 257).max() <= 0.51
    tables = {
        f"{colour}PaletteColorLookupTableData": np.array(values, np.uint16).tobytes()
        for colour, values in (("Red", [0, 65535]), ("Green", [0, 0]), ("Blue", [65535, 0]))
    }
    content = dicom(np.array([[0, 1, 1]], np.uint8), PhotometricInterpretation="PALETTE COLOR")
    described = {
        **{f"{colour}PaletteColorLookupTableDescriptor": ("US", [2, 0, 16]) for colour in ("Red", "Green", "Blue")},
        **{name: ("OW", value) for name, value in tables.items()},
    }
    assert row(content_with(content, **described)).tolist() == [29, 76, 76]


def test_an_empty_modality_leaves_it_to_the_kind_of_object() -> None:
    """HU from -1000 to 1000 through the lung window, -1350 to 150: (-1000 + 1350) / 1500 * 255 = 59.5 at the left."""
    units = np.tile(np.linspace(-1000, 1000, 64), (64, 1)).astype(np.int16)
    tags = {"Modality": "", "RescaleSlope": 1, "RescaleIntercept": 0}
    slice_of_ct = painted.dicom(units, ImagePositionPatient=[0, 0, 0], **tags)  # its SOP class is CT's
    row = decode(slice_of_ct, Data()).grey[0]
    assert abs(int(row[0]) - 59.5) <= 1
    assert row[-1] == 255
    assert decode(painted.dicom(units, **tags), Data()).grey.min() > 100  # of another kind: the range of BitsStored


def test_attributes_that_pixels_need_are_named_and_small_letters_are_read() -> None:
    data = pydicom.dcmread(io.BytesIO(painted.dicom(np.zeros((4, 4), np.uint8))))
    del data.PixelRepresentation
    with pytest.raises(DecodeError, match="lacks Pixel Representation, so its pixels cannot be read"):
        decode(saved(data), Data())
    data.PixelRepresentation, data.PhotometricInterpretation = 0, "monochrome1 "
    assert decode(saved(data), Data()).grey.min() == 255
    with pytest.raises(DecodeError, match=r"is a DICOM \(without preamble\) file"):
        decode(saved(data)[132:], Data())


def saved(data: Any) -> bytes:
    buffer = io.BytesIO()
    data.save_as(buffer)
    return buffer.getvalue()

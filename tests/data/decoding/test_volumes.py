"""Slices of volumes and frames of files: each the right plane, the right way up, with its file as patient."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from contrastive_cxr.data.cache import build
from contrastive_cxr.data.decoding import volumes
from contrastive_cxr.data.decoding.decode import DecodeError, decode
from contrastive_cxr.data.files.addresses import Inside
from contrastive_cxr.data.files.chosen_frames import chosen_of
from contrastive_cxr.data.sources import read
from contrastive_cxr.errors import RequestError
from contrastive_cxr.recipe.schema import Data, FrameRange, Intensity, Source
from tests.data.painted import dicom, nifti, picture, put, series, shades

nibabel = pytest.importorskip("nibabel")
nrrd = pytest.importorskip("nrrd")
pytest.importorskip("pydicom")
HU = Data(intensity=Intensity(kind="window", low=-1000, high=1000))


def body(shape: tuple[int, int, int] = (4, 5, 6)) -> NDArray[np.int16]:
    """HU [x to the left, y to the back, z to the head], every voxel another number."""
    return (np.arange(np.prod(shape)).reshape(shape) * 10 - 1000).astype(np.int16)


def seen(volume: NDArray[np.int16], axis: str, number: int) -> list[list[int]]:
    """The picture of a slice as a reader of CT sees it, voxel by voxel; -1000..1000 HU as 0..255."""
    x, y, z = volume.shape
    at = {
        "axial": lambda row, column: volume[column, row, number],
        "coronal": lambda row, column: volume[column, number, z - 1 - row],
        "sagittal": lambda row, column: volume[number, column, z - 1 - row],
    }[axis]
    rows, columns = {"axial": (y, x), "coronal": (z, x), "sagittal": (z, y)}[axis]
    return [[round((int(at(r, c)) + 1000) * 255 / 2000) for c in range(columns)] for r in range(rows)]


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("turn", [(-1, -1, 1), (1, 1, 1), (1, -1, -1)])
def test_a_slice_is_the_plane_that_a_reader_sees(tmp_path: Path, axis: str, turn: tuple[int, int, int]) -> None:
    """However the file stores its axes, the picture is the same."""
    volume = body()
    wanted = (-1, -1, 1)
    stored = volume[tuple(slice(None, None, 1 if a == b else -1) for a, b in zip(turn, wanted, strict=True))]
    file = put(tmp_path / "v.nii.gz", nifti(np.ascontiguousarray(stored), turn))
    for number in (0, 2, 3):
        assert decode(f"{file}#{axis}={number}", HU).grey.tolist() == seen(volume, axis, number)


def test_axes_in_another_order_are_put_in_order(tmp_path: Path) -> None:
    volume = body()
    affine = np.zeros((4, 4))
    affine[2, 0], affine[0, 1], affine[1, 2], affine[3, 3] = 2, -1, -1, 1  # stored as [z, x, y]
    image = nibabel.Nifti1Image(np.ascontiguousarray(volume.transpose(2, 0, 1)), affine)
    file = put(tmp_path / "v.nii", bytes(image.to_bytes()))
    assert decode(f"{file}#axial=5", HU).grey.tolist() == seen(volume, "axial", 5)


def test_a_nifti_slice_is_the_slice_of_the_dicom_series(tmp_path: Path) -> None:
    volume = body()
    file = put(tmp_path / "v.nii.gz", nifti(volume))
    for number, content in enumerate(series(volume, "p", "1.2.3")):
        assert decode(content, HU).grey.tolist() == decode(f"{file}#axial={number}", HU).grey.tolist()


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize(("space", "turn"), [("left-posterior-superior", 1), ("right-anterior-superior", -1)])
def test_nrrd_slices(tmp_path: Path, encoding: str, space: str, turn: int) -> None:
    volume = body()
    header = {"space": space, "space directions": np.diag([turn, turn, 2.0]), "encoding": encoding}
    nrrd.write(str(tmp_path / "v.nrrd"), volume, header)
    for axis in ("axial", "coronal", "sagittal"):
        assert decode(f"{tmp_path}/v.nrrd#{axis}=1", HU).grey.tolist() == seen(volume, axis, 1)


def test_a_ct_that_states_no_window_is_shown_in_the_lung_window(tmp_path: Path) -> None:
    values = np.full((2, 2, 2), -600, np.int16)
    values[0, 0, 0], values[1, 0, 0], values[0, 1, 0] = -2000, -1350, 150
    file = put(tmp_path / "v.nii", nifti(values, zipped=False))
    assert decode(f"{file}#axial=0", Data()).grey.tolist() == [[0, 0], [255, 128]]


def test_volumes_become_slices_of_one_patient_each(tmp_path: Path) -> None:
    for name in ("sick/a", "sick/b", "well/c"):
        put(tmp_path / "ct" / f"{name}.nii.gz", nifti(body()))
    half = FrameRange(start=25, stop=75, unit="percent")
    manifest = read(Source(root=tmp_path / "ct", frames=half), cache_dir=tmp_path / "cache")
    numbers = [number for number in range(6) if 6 * 0.25 - 1 < number < 6 * 0.75]
    assert list(manifest.rows["path"]) == [
        f"{name}.nii.gz#axial={number}" for name in ("sick/a", "sick/b", "well/c") for number in numbers
    ]
    assert list(manifest.rows["patient"]) == [path.split("#")[0] for path in manifest.rows["path"]]
    assert manifest.notes[-1].endswith("hold several pictures, of which data.frames chooses 12")
    data = Data(root=tmp_path / "ct", cache_dir=tmp_path / "cache", cache_size=16, intensity=HU.intensity)
    cached = build(manifest, data)
    assert list(cached.facts["error"]) == [""] * 12
    assert cached.facts["digest"].nunique() == 4, "the three volumes are copies, their slices are not"
    again = build(manifest, data)
    assert again.rows_decoded == 0


def test_the_axis_is_chosen(tmp_path: Path) -> None:
    put(tmp_path / "a/v.nii.gz", nifti(body()))
    rows = read(Source(root=tmp_path, frames="middle", axis="sagittal"), cache_dir=tmp_path / "cache").rows
    assert list(rows["path"]) == ["a/v.nii.gz#sagittal=2"]


def test_volumes_whose_slices_nobody_chose_are_refused_with_the_line_to_write(tmp_path: Path) -> None:
    put(tmp_path / "a/v.nii.gz", nifti(body()))
    with pytest.raises(RequestError, match=r"1 volumes of .* hold several slices \(a/v.nii.gz\).*data.frames=all"):
        read(Source(root=tmp_path), cache_dir=tmp_path / "cache")
    with pytest.raises(DecodeError, match=r"volume of 6 axial slices; name one, such as #axial=3"):
        decode(tmp_path / "a/v.nii.gz", Data())
    with pytest.raises(RequestError, match="names no picture of 1 files"):
        read(Source(root=tmp_path, frames=6), cache_dir=tmp_path / "cache")


def refused(content: bytes) -> str:
    with pytest.raises(DecodeError) as caught:
        volumes.read(content)
    return caught.value.reason


def test_volumes_that_are_refused() -> None:
    none = nibabel.Nifti1Image(body(), None)
    assert "without orientation" in refused(none.to_bytes())
    whole = nifti(body(), zipped=False)
    assert "truncated or damaged" in refused(whole[:400])
    assert "truncated or damaged" in refused(nifti(body())[:60])
    assert "three dimensions" in refused(nifti(np.zeros((2, 2, 2, 3), np.int16), zipped=False))
    assert "NaN" in refused(nifti(np.full((2, 2, 2), np.nan, np.float32), zipped=False))
    assert "without orientation" in refused(
        b"NRRD0004\ntype: short\ndimension: 3\nsizes: 1 1 1\nencoding: raw\nendian: little\n\n\0\0"
    )
    aside = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 1 1 1\nencoding: raw\ndata file: /etc/passwd\n\n"
    assert "in another file" in refused(aside)


def test_a_slice_that_is_not_there(tmp_path: Path) -> None:
    file = put(tmp_path / "v.nii", nifti(body(), zipped=False))
    with pytest.raises(DecodeError, match="has 6 axial slices, 0 to 5; there is no slice 6"):
        decode(f"{file}#axial=6", Data())
    with pytest.raises(DecodeError, match="whose slices are"):
        decode(f"{file}#frame=0", Data())
    png = put(tmp_path / "x.png", picture(0))
    with pytest.raises(DecodeError, match="is no volume"):
        decode(f"{png}#axial=0", Data())


def tiff(count: int) -> bytes:
    buffer = io.BytesIO()
    pages = [Image.fromarray(shades(seed)) for seed in range(count)]
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:])
    return buffer.getvalue()


def test_frames_of_tiff_and_dicom_are_rows(tmp_path: Path) -> None:
    put(tmp_path / "a/pages.tif", tiff(4))
    frames = np.stack([shades(seed) for seed in range(3)])
    put(tmp_path / "a/loop.dcm", dicom(frames, PatientID="p1"))
    put(tmp_path / "a/one.png", picture(9))
    source = Source(root=tmp_path, frames=FrameRange(start=1, step=2), patient_ids="plain")
    rows = read(source, cache_dir=tmp_path / "cache").rows
    assert rows[["path", "patient"]].values.tolist() == [
        ["a/loop.dcm#frame=1", "p1"],
        ["a/one.png", ""],
        ["a/pages.tif#frame=1", "a/pages.tif"],
        ["a/pages.tif#frame=3", "a/pages.tif"],
    ]
    for name, count in (("loop.dcm", 3), ("pages.tif", 4)):
        for number in range(count):
            assert np.array_equal(decode(f"{tmp_path}/a/{name}#frame={number}", Data()).grey, shades(number))
        with pytest.raises(DecodeError, match=f"no (frame|picture) {count}"):
            decode(f"{tmp_path}/a/{name}#frame={count}", Data())


def test_each_frame_keeps_its_own_rescale_and_position() -> None:
    """The functional group of the frame stays in the file that is made of it, and no other."""
    import pydicom
    from pydicom.dataset import Dataset

    from contrastive_cxr.data.dicom.frames import alone

    groups = []
    for slope in (1.0, 2.0):
        transformed, group = Dataset(), Dataset()
        transformed.RescaleSlope, transformed.RescaleIntercept = slope, 0.0
        group.PixelValueTransformationSequence = [transformed]
        groups.append(group)
    content = dicom(np.stack([shades(1), shades(2)]), PerFrameFunctionalGroupsSequence=groups)
    found = pydicom.dcmread(io.BytesIO(alone(content, 1)))
    (group,) = found.PerFrameFunctionalGroupsSequence
    assert group.PixelValueTransformationSequence[0].RescaleSlope == 2.0
    assert np.array_equal(found.pixel_array, shades(2))


@pytest.mark.parametrize("name", ["SC_rgb_rle_2frame.dcm", "rtdose_expb.dcm", "examples_ybr_color.dcm"])
def test_frames_of_files_that_pydicom_ships_are_its_own_pixels(name: str) -> None:
    import pydicom
    from pydicom.data import get_testdata_file
    from pydicom.pixels import pixel_array

    from contrastive_cxr.data.dicom.frames import alone

    path = str(get_testdata_file(name))
    for number in (0, 1):
        mine = pydicom.dcmread(io.BytesIO(alone(Path(path).read_bytes(), number))).pixel_array
        assert np.array_equal(mine, pixel_array(path, index=number))


def test_a_series_is_chosen_from_by_place_in_the_body(tmp_path: Path) -> None:
    """File names and InstanceNumber run against the direction from the feet, and two series lie in one folder."""
    for name, uid in (("one", "1.2.3"), ("two", "1.2.4")):
        for place, content in enumerate(series(body(), f"patient {name}", uid)):
            put(tmp_path / f"sick/{name}-{9 - place}", content)
    put(tmp_path / "sick/front", dicom(shades(0), PatientID="patient three", SeriesInstanceUID="1.2.5"))
    source = Source(root=tmp_path, frames=FrameRange(start=1, stop=3), patient_ids="plain", tags=("InstanceNumber",))
    manifest = read(source, cache_dir=tmp_path / "cache")
    assert manifest.rows[["path", "patient", "InstanceNumber"]].values.tolist() == [
        ["sick/front", "patient three", ""],
        ["sick/one-7", "patient one", "4"],
        ["sick/one-8", "patient one", "5"],
        ["sick/two-7", "patient two", "4"],
        ["sick/two-8", "patient two", "5"],
    ]
    assert "2 DICOM series of 12 slices, of which data.frames chooses 4" in manifest.notes


@pytest.mark.parametrize("count", [1, 2, 7, 100])
def test_ranges_are_those_of_python(count: int) -> None:
    everything = list(range(count))
    assert chosen_of("all", count) == everything
    assert chosen_of(FrameRange(start=1, stop=5, step=2), count) == everything[1:5:2]
    assert chosen_of(FrameRange(start=3), count) == everything[3:]
    assert chosen_of(FrameRange(unit="percent"), count) == everything
    assert chosen_of("middle", count) == [everything[len(everything) // 2]]


def test_an_address_in_a_table_names_a_slice(tmp_path: Path) -> None:
    put(tmp_path / "v.nii.gz", nifti(body()))
    (tmp_path / "labels.csv").write_text("file,label,patient\nv.nii.gz#axial=2,sick,7\n")
    manifest = read(Source(source="csv", csv=Path("labels.csv"), root=tmp_path), cache_dir=tmp_path / "cache")
    assert manifest.rows[["path", "patient"]].values.tolist() == [["v.nii.gz#axial=2", "7"]]
    assert build(manifest, Data(root=tmp_path, cache_dir=tmp_path / "cache")).slots.tolist() == [0]


def test_inside_is_written_as_it_is_read() -> None:
    assert str(Inside("axial", 3)) == "#axial=3"

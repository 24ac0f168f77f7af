"""The public sets that were read from descriptions: a miniature tree laid out as each page says, and what is read."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from contrastive_cxr.data import manifest as manifests
from contrastive_cxr.data.sources import read
from contrastive_cxr.recipe import public_sets
from contrastive_cxr.recipe.schema import Source
from contrastive_cxr.tasks import Task
from tests.data.painted import picture, put


class Small(NamedTuple):
    """Images and tables of a set in small, and the rows of its page's first task: path, class, patient, split."""

    images: tuple[str, ...]
    tables: dict[str, str]
    rows: tuple[str, ...]
    said: str = ""


SETS = {
    "mimic-cxr-jpg": Small(
        ("files/p10/p10000032/s50414267/a-1.jpg", "files/p10/p10000032/s53189527/b-2.jpg",
         "files/p11/p11000011/s51029426/c-3.jpg", "files/p11/p11000183/s51967845/d-4.jpg"),
        {
            "mimic-cxr-2.0.0-metadata.csv.gz": "dicom_id,subject_id,study_id,ViewPosition\na-1,10000032,50414267,PA\n"
            "b-2,10000032,53189527,LATERAL\nc-3,11000011,51029426,AP\nd-4,11000183,51967845,AP\n",
            "mimic-cxr-2.0.0-split.csv.gz": "dicom_id,study_id,subject_id,split\nd-4,51967845,11000183,test\n"
            "c-3,51029426,11000011,validate\nb-2,53189527,10000032,train\na-1,50414267,10000032,train\n",
            "mimic-cxr-2.0.0-chexpert.csv.gz": "subject_id,study_id,No Finding,Pneumonia\n10000032,50414267,1.0,\n"
            "10000032,53189527,,1.0\n11000011,51029426,,-1.0\n",
        },
        ("files/p10/p10000032/s50414267/a-1.jpg | without | 10000032 | train",
         "files/p10/p10000032/s53189527/b-2.jpg | pneumonia | 10000032 | train"),
        "1 rows without one ('11000183'/'51967845') are left out",
    ),
    "bimcv": Small(
        tuple(f"{sub}/{ses}/mod-rx/{sub}_{ses}_run-1_bp-chest_vp-{view}.png" for sub, ses, view in (
            ("sub-S03044", "ses-E07985", "pa_cr"), ("sub-S03044", "ses-E07985", "ll_cr"),
            ("sub-S03045", "ses-E06000", "ap_dx"), ("sub-S03046", "ses-E06111", "ap_dx"))),
        {"derivatives/labels/labels_covid19_posi.tsv": "\tPatientID\tReportID\tReport\tLabels\n"
         "0\tsub-S03044\tses-E07985\ttexto\t\"['COVID 19'\t 'pneumonia']\"\n"
         "1\tsub-S03045\tses-E06000\ttexto\t['normal']\n"},
        ("sub-S03044/ses-E07985/mod-rx/sub-S03044_ses-E07985_run-1_bp-chest_vp-ll_cr.png | abnormal | sub-S03044 |",
         "sub-S03044/ses-E07985/mod-rx/sub-S03044_ses-E07985_run-1_bp-chest_vp-pa_cr.png | abnormal | sub-S03044 |",
         "sub-S03045/ses-E06000/mod-rx/sub-S03045_ses-E06000_run-1_bp-chest_vp-ap_dx.png | normal | sub-S03045 |"),
        "1 rows without one ('ses-E06111') are left out",
    ),
    "covid-ctset": Small(
        ("covid1/patient1/SR_2/IM00001.tif", "covid1/patient1/SR_3/IM00001.tif", "normal2/patient146/SR_2/1.tif"),
        {"Patient_details.csv": "Patient ID,SEX,AGE,Date,COVID-19 Infection\npatient1,F,053Y,20200407,Positive\n"
         "patient3,M,066Y,20200418,Positive\npatient146,F,055Y,20200323,Negative\n"},
        ("covid1/patient1/SR_2/IM00001.tif | covid | patient1 |",
         "covid1/patient1/SR_3/IM00001.tif | covid | patient1 |",
         "normal2/patient146/SR_2/1.tif | normal | patient146 |"),
        "Patient_details.csv: 1 rows are of no row of",
    ),
    "covidx": Small(
        ("train/a.png", "train/b.jpg", "val/c.png", "test/a.png"),
        {"train.txt": "1 a.png negative rsna\n2 b.jpg positive cohen\n", "val.txt": "3 c.png positive bimcv\n",
         "test.txt": "4 a.png positive ricord\n"},
        ("test/a.png | positive | 4 | test", "train/a.png | negative | 1 | train", "train/b.jpg | positive | 2 | train",
         "val/c.png | positive | 3 | val"),
        "train.txt: cells are separated by spaces",
    ),
    "covid-chestxray": Small(
        ("images/a.png", "images/b.png", "images/c.png"),
        {"metadata.csv": "patientid,finding,view,modality,folder,filename\n1,Pneumonia/Viral/COVID-19,PA,X-ray,images,"
         "a.png\n2,Pneumonia,PA,X-ray,images,b.png\n3,Unknown,PA,X-ray,images,c.png\n"
         "4,No Finding,Axial,CT,volumes,d\n"},
        ("images/a.png | covid | 1 |", "images/b.png | other | 2 |"),
        "1 rows with the label 'Unknown' are left out",
    ),
    "coronahack": Small(
        tuple(f"{'/'.join(['Coronahack-Chest-XRay-Dataset'] * 2)}/{each}" for each in ("train/a.jpeg", "test/b.jpeg")),
        {"Chest_xray_Corona_Metadata.csv": ",X_ray_image_name,Label,Dataset_type,Label_2_Virus_category,"
         "Label_1_Virus_category\n0,a.jpeg,Normal,TRAIN,,\n1,b.jpeg,Pnemonia,TEST,COVID-19,Virus\n"},
        ("Coronahack-Chest-XRay-Dataset/Coronahack-Chest-XRay-Dataset/test/b.jpeg | pneumonia |  | test",
         "Coronahack-Chest-XRay-Dataset/Coronahack-Chest-XRay-Dataset/train/a.jpeg | normal |  | train"),
    ),
    "covid-radiography": Small(
        ("COVID/images/COVID-1.png", "COVID/masks/COVID-1.png", "Normal/images/Normal-1.png",
         "Lung_Opacity/images/Lung_Opacity-1.png", "Viral Pneumonia/images/Viral Pneumonia-1.png"),
        {},
        ("COVID/images/COVID-1.png | covid |  |", "Lung_Opacity/images/Lung_Opacity-1.png | opacity |  |",
         "Normal/images/Normal-1.png | normal |  |", "Viral Pneumonia/images/Viral Pneumonia-1.png | viral |  |"),
    ),
    "covid-qu-ex": Small(
        ("Train/COVID-19/images/covid_1.png", "Train/COVID-19/lung masks/covid_1.png",
         "Val/Normal/images/Normal (1).png", "Test/Non-COVID/images/non_COVID (1).png"),
        {},
        ("Test/Non-COVID/images/non_COVID (1).png | non-covid |  | test",
         "Train/COVID-19/images/covid_1.png | covid |  | train", "Val/Normal/images/Normal (1).png | normal |  | val"),
    ),
    "kaggle-pneumonia": Small(
        ("train/NORMAL/IM-0115-0001.jpeg", "test/PNEUMONIA/person1_virus_6.jpeg",
         "val/NORMAL/NORMAL2-IM-1427-0001.jpeg"),
        {},
        ("test/PNEUMONIA/person1_virus_6.jpeg | pneumonia |  | test",
         "train/NORMAL/IM-0115-0001.jpeg | normal |  | train",
         "val/NORMAL/NORMAL2-IM-1427-0001.jpeg | normal |  | val"),
    ),
    "covid-ct": Small(
        ("CT_COVID/2020.01.24-p27.png", "CT_NonCOVID/0.jpg", "CT_NonCOVID/1.png"),
        {"Data-split/COVID/trainCT_COVID.txt": "2020.01.24-p27.png\n",
         "Data-split/NonCOVID/testCT_NonCOVID.txt": "0.png\n"},
        ("CT_COVID/2020.01.24-p27.png | covid |  | train", "CT_NonCOVID/0.jpg | noncovid |  | test"),
        "1 images of",
    ),
    "sars-cov-2-ct": Small(
        ("COVID/Covid (1).png", "non-COVID/Non-Covid (1).png"), {},
        ("COVID/Covid (1).png | covid |  |", "non-COVID/Non-Covid (1).png | non-covid |  |"),
    ),
    "iq-oth-nccd": Small(
        ("Bengin cases/Bengin case (1).jpg", "Malignant cases/Malignant case (1).jpg",
         "Normal cases/Normal case (1).jpg"),
        {},
        ("Bengin cases/Bengin case (1).jpg | benign |  |", "Malignant cases/Malignant case (1).jpg | malignant |  |",
         "Normal cases/Normal case (1).jpg | normal |  |"),
    ),
}  # fmt: skip


def test_every_set_that_was_described_has_its_miniature() -> None:
    assert set(SETS) == {name for name in public_sets.names() if public_sets.page(name).read == "description"}


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_read_as_its_page_says(name: str, tmp_path: Path) -> None:
    small, page = SETS[name], public_sets.page(name)
    for image in small.images:
        put(tmp_path / image, picture(0))
    for table, text in small.tables.items():
        put(tmp_path / table, text.encode())
    found = read(Source.model_validate(page.data | {"root": tmp_path}), cache_dir=tmp_path / "cache")
    task = Task.model_validate(next(iter(page.tasks.values())))
    rows, numbers = manifests.select(found, task, all_classes=False)
    words = np.array(task.names, dtype=object)[numbers]
    got = zip(rows.column("path"), words, rows.column("patient"), rows.column("split"), strict=True)
    assert [" | ".join(row).rstrip() for row in got] == list(small.rows)
    assert small.said in "\n".join(found.notes)

"""Whether a gallery holds images of the searched study's own patient."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from contrastive_cxr.data.cache_files import cache_folder
from contrastive_cxr.data.dicom.headers import KEY_VARIABLE, hashed, patient_key
from contrastive_cxr.dicomweb.study import Instance
from contrastive_cxr.errors import CcxrError


def own_patients(images: Sequence[Instance], rows: Any) -> tuple[list[str], str]:
    """For each image the patient of the gallery that it is of ('' where none is), and a note where none is known."""
    known = {str(name) for name in rows["patient"]} - {""}
    key = b""
    if os.environ.get(KEY_VARIABLE) or (cache_folder(None) / "patient.key").is_file():
        with suppress(CcxrError, OSError):
            key = patient_key(cache_folder(None))
    found = []
    for image in images:
        names = [image.patient, hashed(image.patient, key) if key else ""]
        found.append(next((name for name in names if name in known), ""))
    if known and not any(found):
        return found, (
            "No patient of the gallery is known to be the study's own, by PatientID or its hash: if the gallery has "
            "this patient under another name, the neighbours may be the patient's own images."
        )
    return found, ""

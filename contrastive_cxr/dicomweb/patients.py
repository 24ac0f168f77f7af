"""Whether a gallery holds images of the searched study's own patient."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

from contrastive_cxr.data.cache_files import cache_folder
from contrastive_cxr.data.dicom.headers import KEY_VARIABLE, hashed, patient_key
from contrastive_cxr.dicomweb.study import Instance
from contrastive_cxr.errors import CcxrError
from contrastive_cxr.retrieval import Searched


def own_patients(images: Sequence[Instance], gallery: Searched) -> tuple[list[str], str]:
    """For each image the patient of the gallery that it is of ('' where none is), and a note where none is known."""
    key = b""
    if os.environ.get(KEY_VARIABLE) or (cache_folder(None) / "patient.key").is_file():
        with suppress(CcxrError, OSError):
            key = patient_key(cache_folder(None))
    names = [(image.patient, hashed(image.patient, key) if key else "") for image in images]
    rows = gallery.find("patient", {name for pair in names for name in pair if name})
    known = {name for name, held in rows.items() if held}
    found = [next((name for name in pair if name in known), "") for pair in names]
    if not any(found) and gallery.count("patient", "") < len(gallery):
        return found, (
            "No patient of the gallery is known to be the study's own, by PatientID or its hash: if the gallery has "
            "this patient under another name, the neighbours may be the patient's own images."
        )
    return found, ""

"""DICOM through pydicom: headers, frames, grey values, compressed pixels. `reader.py` decodes one file."""

"""Search a study of a DICOMweb server, and write what was found as DICOM objects of its patient."""

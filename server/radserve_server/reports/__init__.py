"""Answers written back: DICOM SR and FHIR."""

"""From a file's bytes to what the model sees, against plain pydicom."""

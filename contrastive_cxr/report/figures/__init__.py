"""The figures of the report pages, each as the data address of a picture."""

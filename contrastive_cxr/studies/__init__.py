"""Several runs beside each other: sweeps and comparisons. Open `sweep.py` first."""

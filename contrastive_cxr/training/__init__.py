"""Training runs: one task, a cascade, folds and seeds; trials and the dry run. Open `run.py` first, then `train.py`."""

"""Reading run folders: the recorded recipe and rows, the provenance of inputs, the results.

Open `recorded.py` first.
"""

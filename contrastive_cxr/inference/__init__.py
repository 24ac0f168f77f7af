"""Using a run's models: predict, encode, index, search, explain.

Open `predict.py` first.
"""

"""Scoring a run: its models predict, and the report is made from the predictions.

Open `evaluate.py` first (it scores a run's own part), then `external.py` (it scores a run again, or on new images).
"""

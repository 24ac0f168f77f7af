"""Scoring a run: its models predict, the predictions become the facts of the report.

Open `evaluate.py` first (a run's own scored part), then `external.py` (a run scored again, or on new images).
"""

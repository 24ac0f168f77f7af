"""Intervals, tests and weighted statistics that the scores are made with. Open `intervals.py` first."""

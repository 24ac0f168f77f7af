"""Arrays in, values out: scores, neighbours, intervals and blind baselines. No torch, no files.

Open `scores.py` first.
"""

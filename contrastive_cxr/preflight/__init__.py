"""Checks before anything is trained or written: data, model, metrics, disk.

Open `data_checks.py` first (without torch), then `model_checks.py`.
"""

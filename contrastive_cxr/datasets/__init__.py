"""Questions about a set of images before any training: a first look, and the audit of copies, leaks and shortcuts.

Open `look.py` first.
"""

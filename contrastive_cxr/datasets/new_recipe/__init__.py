"""`ccxr init`: a recipe for images that nobody has described yet, with the reason for each guess.

Open `propose.py` first.
"""

"""Files of weights that other people wrote: read as plain tensors, matched to a backbone by names and shapes.

Open `unwrap.py` first, then `matching.py`.
"""

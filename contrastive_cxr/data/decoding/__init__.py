"""One image file becomes one grey uint8 picture: decoding, intensity ranges, filters, slices of volumes.

Open `decode.py` first.
"""

"""Where image files are: folders, archives and URLs, what they hold, and how their bytes are read.

Open `addresses.py` first: an image has an address, which is text.
"""

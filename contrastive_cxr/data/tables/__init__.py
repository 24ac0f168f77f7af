"""People's tables as they are: any separator and encoding, which column is what, which file a name means.

Open `table_rows.py` first.
"""

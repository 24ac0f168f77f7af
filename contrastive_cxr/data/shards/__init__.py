"""Image shards: the decoded squares in Parquet files that are read from their beginning to their end.

Open `pack.py` first (it writes a folder of shards), then `description.py` (what the folder says of itself),
`opening.py` (the rows of a recipe in it), `order.py` (which rows make a batch where some shards alone are in memory)
and `stream.py` (the squares of the steps of an epoch).
"""

"""From files to batches: sources, manifest, split, decoded cache, statistics."""

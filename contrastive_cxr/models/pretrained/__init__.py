"""Where pretrained weights come from: packages, caches, hubs, files. Open `foreign.py` first."""

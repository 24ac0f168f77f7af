"""A run: its folder, logs, checkpoints, seeds and tracker. Importing this room does not import torch."""

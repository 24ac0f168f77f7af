"""Backbones by name: torchvision's, timm's and our own small ones, each on one grey channel.

Open `catalogue.py` first.
"""

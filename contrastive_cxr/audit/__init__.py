"""The audit of a set of images before training: copies, leaks and shortcuts."""

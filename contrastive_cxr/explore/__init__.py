"""The page that shows a gallery as a map, and the cases on it: what `ccxr explore` serves."""

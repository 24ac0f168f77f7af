"""Recipes as text: YAML, recipes of earlier versions, faults in sentences."""

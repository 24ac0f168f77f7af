"""What the fields of a recipe have to be to each other. Open `fields.py` first."""

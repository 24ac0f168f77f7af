"""The facts of `report.json`, from arrays. Open `report_json.py` first."""

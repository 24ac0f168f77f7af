"""The HTML pages, made from facts and arrays by the templates beside them. Open `page.py` first."""

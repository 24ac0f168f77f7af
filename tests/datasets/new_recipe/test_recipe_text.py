from __future__ import annotations

from contrastive_cxr.datasets.new_recipe import recipe_text
from contrastive_cxr.recipe.text import yaml_text


def test_the_text_is_the_recipe_and_has_the_reasons() -> None:
    tree = {
        "name": "mine",
        "data": {"root": "a: b", "columns": {"file": "{x}/{y}", "label": "l"}, "join": [{"root": "r"}]},
        "task": {"classes": {"no": ["0", "nein"], "#1": ["ja"]}},
        "embed": None,
    }
    reasons = {"data.columns.file": "it names\n# files", "task.classes": "word " * 60, "data.nothing": "is not said"}
    text = recipe_text.write(["head \x1b[2J"], tree, reasons)
    assert yaml_text.parse(text) == tree
    assert "    # it names\\n# files\n    file: '{x}/{y}'\n" in text
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= recipe_text.WIDTH
    assert text.count("word") == 60
    assert "is not said" not in text

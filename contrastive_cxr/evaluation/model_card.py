"""Write the model card of a run again, with texts that its author adds after training; no model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contrastive_cxr import recipe as recipes
from contrastive_cxr import report
from contrastive_cxr.errors import RequestError, raise_faults
from contrastive_cxr.run import folder as folders
from contrastive_cxr.run_folder.recorded import recipe_of


def write_card(run: Path, words: Sequence[str] = ()) -> Path:
    """`model-card.md` and `report.html` of a run and of its external tests, with new texts.

    Parameters
    ----------
    run : Path
        An evaluated run.
    words : sequence of str
        `card.key=value`; they are kept in the run's recipe. They change no number, so the run can still be resumed.

    Returns
    -------
    Path
        The card.

    Raises
    ------
    RequestError
        There is no run, it was not evaluated, or a setting is not of the section `card`; nothing is written then.
    """
    raise_faults(
        f"{word}: the card takes texts of its own section alone, such as card.limits='children only'"
        for word in words
        if not word.startswith(("card.", "card="))
    )
    recipe = recipe_of(run, words)
    if not (run / "report.json").is_file():
        raise RequestError(f"{run} has no report.json; evaluate the run first, with ccxr evaluate {run}")
    with folders.held(run):
        if words:
            folders.write_text(run / "recipe.yaml", recipes.dump(recipe))
        report.write(run)
        beside = {path for name in ("external-*", "*-gallery") for path in run.glob(f"{name}/report.json")}
        for path in sorted(beside):
            report.write(path.parent, run)
    return run / "model-card.md"

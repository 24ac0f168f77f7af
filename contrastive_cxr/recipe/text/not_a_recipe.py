"""What somebody means who names a folder, a table or an archive where a recipe is wanted, and the command for that."""

from __future__ import annotations

import shlex
from pathlib import Path

from contrastive_cxr.run_layout import PHASES, kind_of, pool_parts

_RECIPE = "recipe.yaml"
_ENDINGS = (".yaml", ".yml")
_LISTED = 5


def of_folder(folder: Path) -> str:
    """The fault of a folder in the place of a recipe, with the commands that do what may be meant.

    Parameters
    ----------
    folder : Path
        A folder: of a run, of one of its phases, of recipes, or of anything else, which is taken for images.

    Returns
    -------
    str
        One sentence, the commands whole so that they can be copied.

    Examples
    --------
    >>> of_folder(Path("/"))
    "'/' is a folder, and a recipe is a YAML file; to write a recipe for the images in the folder: ccxr init /"
    """
    run = folder.parent if folder.name in PHASES and not (folder / _RECIPE).is_file() else folder
    if (run / _RECIPE).is_file():
        return _of_run(folder, run)
    images = f"to write a recipe for the images in the folder: ccxr init {_quoted(folder)}"
    try:
        recipes = sorted(path for path in folder.iterdir() if path.suffix in _ENDINGS and path.is_file())
    except OSError:
        recipes = []
    if recipes:
        names = ", ".join(path.name for path in recipes[:_LISTED]) + (" ..." if len(recipes) > _LISTED else "")
        images = f"it holds {names}: name one of these files, such as {recipes[0]}; {images}"
    return f"'{folder}' is a folder, and a recipe is a YAML file; {images}"


def cure_of_file(file: Path) -> str:
    """What to do instead, behind the fault of a file that is no recipe; empty where its name is that of a recipe.

    Examples
    --------
    >>> cure_of_file(Path("labels.csv"))
    '; to write a recipe for a table or an archive of images: ccxr init labels.csv'
    >>> cure_of_file(Path("mine.yaml"))
    ''
    """
    if file.suffix.lower() in _ENDINGS:
        return ""
    return f"; to write a recipe for a table or an archive of images: ccxr init {_quoted(file)}"


def _of_run(folder: Path, run: Path) -> str:
    what = "is a run folder" if folder == run else f"is a phase of the run folder '{run}'"
    command = f"ccxr run {_quoted(run / _RECIPE)}{_pooled(run)}"
    return (
        f"'{folder}' {what}, not a recipe; its recipe is {run / _RECIPE}. To go on with the run where it is "
        f"unfinished: {command} --out {_quoted(run)} --resume; to begin another run like it: {command} --out NEW_FOLDER"
    )


def _pooled(run: Path) -> str:
    """The option of a run over folds or seeds, as its `parts.json` has them; empty for any other run."""
    parts = pool_parts(run)
    kind = kind_of(parts)
    return f" --{kind} {len(parts)}" if parts and kind != "runs" else ""


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))

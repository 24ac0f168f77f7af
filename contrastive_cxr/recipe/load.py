"""Read a recipe: a file or a shipped name, with overrides, every fault at once."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

import contrastive_cxr.recipe.checks.fields as fields
import contrastive_cxr.recipe.public_sets as public_sets
import contrastive_cxr.recipe.text.earlier as earlier
import contrastive_cxr.recipe.text.fault_sentences as fault_sentences
import contrastive_cxr.recipe.text.not_a_recipe as not_a_recipe
import contrastive_cxr.recipe.text.yaml_text as yaml_text
import contrastive_cxr.shipped as shipped
from contrastive_cxr import tasks
from contrastive_cxr.errors import RequestError, nearest, raise_faults
from contrastive_cxr.recipe.schema import Embed, Finetune, Pretrain, Recipe

logger = logging.getLogger(__name__)
_TASK_PLACES = (("task",), ("cascade", "stage1"), ("cascade", "stage2"))
# Where a set's name or a mapping over one stands, and the name that counts where none is given.
_AUGMENTS = {
    (phase, field): str(model.model_fields[field].default)
    for phase, model in (("pretrain", Pretrain), ("embed", Embed), ("finetune", Finetune))
    for field in ("augment", "positive_augment")
    if field in model.model_fields
}


# A pattern over columns, such as {folder}/{filename}: no YAML without quotes, which a shell takes away.
_PATTERN = re.compile(r"(?:\{[^{}:,]+\}[^{}]*)+")


def load(reference: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read, override and check a recipe.

    Parameters
    ----------
    reference : str | Path
        A YAML file, or the name of a shipped recipe.
    overrides : Sequence[str]
        `section.key=value` each; the value is YAML, and `null` takes a section out.

    Returns
    -------
    Recipe
        Consistent in itself; whether the data fit it is checked by who reads them.

    Raises
    ------
    RequestError
        With one sentence for every fault.

    Examples
    --------
    >>> load("phantom", ["pretrain.epochs=1"]).pretrain.epochs
    1
    """
    tree = _read(_find(reference))
    earlier.keep_meaning(tree)
    told, faults = earlier.rename(tree)
    told = [] if earlier.is_recorded(tree) else told
    faults += [fault for text in overrides for fault in _override(tree, text, told)]
    again = earlier.rename(tree)  # of overrides that give a whole section
    told, faults = told + again[0], faults + again[1]
    for sentence in dict.fromkeys(told):
        logger.warning("recipe: %s", sentence)
    _expand_tasks(tree)
    _expand_public_sets(tree)
    _name_sets(tree)
    _name_kind(tree)
    try:
        # Strict JSON: a list is a tuple and text a path, but '3' is no number and true no 1.
        recipe = Recipe.model_validate_json(json.dumps(tree, default=str), strict=True)
    except ValidationError as error:
        raise RequestError(*faults, *fault_sentences.from_validation(error)) from None
    raise_faults(faults + fields.faults(recipe))
    return recipe


def _find(reference: str | Path) -> Path:
    path = Path(reference).expanduser()
    if path.is_file():
        return path
    known = shipped.names()
    if str(reference) in known:
        return shipped.path(str(reference))
    if path.is_dir():
        raise RequestError(not_a_recipe.of_folder(path))
    name = str(reference).removesuffix(".yaml")
    is_path = path.suffix in (".yaml", ".yml") or path.is_absolute() or str(reference).startswith(".")
    if is_path and not nearest(name, known):
        meant = nearest(path.name, _recipes_beside(path))
        raise RequestError(
            f"recipe '{reference}': there is no such file{meant}; relative paths begin in {Path.cwd()}; "
            "ccxr init FOLDER writes a recipe, ccxr recipes lists the shipped ones"
        )
    raise RequestError(
        f"recipe '{reference}' is neither a file nor a shipped recipe{nearest(name, known)}; "
        f"shipped are {', '.join(known)}"
    )


def _recipes_beside(path: Path) -> list[str]:
    return [file.name for file in path.parent.glob("*.y*ml")]


def _read(path: Path) -> dict[str, object]:
    cure = not_a_recipe.cure_of_file(path)
    try:
        with path.open(encoding="utf-8") as file:
            tree = yaml_text.parse(file.read(yaml_text.LONGEST + 1))
    except yaml.YAMLError as error:
        raise RequestError(f"recipe {path} is not YAML: {yaml_text.explain(error)}{cure}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"recipe {path} cannot be read: {error}{cure}") from None
    if not isinstance(tree, dict):
        raise RequestError(
            f"recipe {path} holds {fault_sentences.show(tree)}, not sections; start with `task:` and `data:`{cure}"
        )
    return tree


def _expand_tasks(tree: dict[str, object]) -> None:
    """Put the shipped tasks in the place of their names; an unknown name stays, and validation finds it."""
    for *parents, key in _TASK_PLACES:
        section: object = tree
        for parent in parents:
            section = section.get(parent) if isinstance(section, dict) else None
        name = section.get(key) if isinstance(section, dict) else None
        if not isinstance(section, dict) or not isinstance(name, str):
            continue
        if name in tasks.SHIPPED:
            section[key] = tasks.SHIPPED[name].model_dump(mode="json")
        else:
            section[key] = public_sets.task(name) or name


def _expand_public_sets(tree: dict[str, object]) -> None:
    """Put the settings of a public set in the place of its name, in `data.source` and in each source of `data.join`."""
    data = tree.get("data")
    if not isinstance(data, dict):
        return
    tree["data"] = data = public_sets.expanded(data)
    if isinstance(data.get("join"), list):
        data["join"] = [public_sets.expanded(each) if isinstance(each, dict) else each for each in data["join"]]


def _name_sets(tree: dict[str, object]) -> None:
    """Give a mapping of augmentation that names no set the one that its phase has by itself."""
    for (phase, field), name in _AUGMENTS.items():
        section = tree.get(phase)
        choice = section.get(field) if isinstance(section, dict) else None
        if isinstance(section, dict) and isinstance(choice, dict):
            section[field] = {"set": name} | choice


def _name_kind(tree: dict[str, object]) -> None:
    """Let `data.intensity: WORD` stand for its kind."""
    data = tree.get("data")
    if isinstance(data, dict) and isinstance(data.get("intensity"), str):
        data["intensity"] = {"kind": data["intensity"]}


def _override(tree: dict[str, object], text: str, told: list[str]) -> list[str]:
    """Set one `section.key=value` in `tree`; return the fault where that cannot be done.

    `told` gets a sentence where the setting is given by an earlier name.
    """
    dotted, equals, raw = text.partition("=")
    given = dotted.strip().split(".")
    keys = earlier.current(given)
    if keys != given:
        told.append(f"{'.'.join(given)} is called {'.'.join(keys)} now; the earlier name is read as before")
    if not equals or not all(keys):
        return [f"'{text}' is not an override; write section.key=value, such as pretrain.epochs=20"]
    try:
        value = yaml_text.parse(raw)
    except yaml.YAMLError as error:
        if _PATTERN.fullmatch(raw) is None:
            return [f"'{text}': the value is not YAML: {yaml_text.explain(error)}; put text with : # [ or {{ in quotes"]
        value = raw
    _expand_tasks(tree)  # so that task=ct and task.positive=noncovid can follow one another
    place: object = tree
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(place, list) and key.isdecimal() and int(key) < len(place):
            if last:
                place[int(key)] = value
            place = place[int(key)]
        elif isinstance(place, dict):
            if last:
                place[key] = value
            elif place.get(key) is None:
                place[key] = {}
            elif tuple(keys[: depth + 1]) in _AUGMENTS and isinstance(place[key], str):
                place[key] = {"set": place[key]}  # a range over the recipe's own set
            place = place[key]
        else:
            above = ".".join(keys[:depth])
            return [f"'{text}': {above} is {fault_sentences.show(place)} and has no '{key}'; set {above} itself"]
    return []

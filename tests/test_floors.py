"""Imports only go down, and each heavy library stays in its room: read from the source of every file."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "contrastive_cxr"
FILES = sorted(PACKAGE.rglob("*.py"))

FLOORS = {
    "cli": 10,
    "studies": 9,
    "sklearn": 9,
    "doctor": 9,
    "explore": 9,
    "training": 8,
    "export": 8,
    "server": 8,
    "dicomweb": 8,
    "inference": 7,
    "evaluation": 6,
    "preflight": 5,
    "datasets": 5,
    "run_folder": 4,
    "phases": 3,
    "retrieval": 3,
    "report": 3,
    "audit": 3,
    "explain": 3,
    "engine": 2,
    "distributed": 2,
    "data": 1,
    "augment": 1,
    "models": 1,
    "objectives": 1,
    "metrics": 1,
    "run": 1,
    "alerts": 0,
    "errors": 0,
    "findings": 0,
    "html_templates": 0,
    "files": 0,
    "locks": 0,
    "shipped": 0,
    "space": 0,
    "cores": 0,
    "spread": 0,
    "tasks": 0,
    "status_line": 0,
    "terminal": 0,
    "recipe": 0,
    "run_layout": 0,
}
# The two doors of the package stand above all rooms; their imports are lazy or nothing but the command.
DOORS = ("__init__", "__main__")
# On the ground floor alone, siblings see each other: a recipe holds a task and both speak through errors.
GROUND = {
    "recipe": {"tasks", "errors", "shipped", "run_layout"},
    "shipped": {"errors"},
    "tasks": {"errors", "findings"},
    "findings": set[str](),
    "html_templates": set[str](),
    "files": {"errors", "space"},
    "locks": {"errors", "files", "space"},
    "space": {"errors"},
    "cores": set[str](),
    "status_line": set[str](),
    "terminal": {"alerts", "status_line"},
    "alerts": {"status_line"},
    "errors": set[str](),
    "run_layout": set[str](),
    "spread": {"errors"},
}

# Library: the places, as beginnings of paths inside the package, that may import it.
HEAVY = {
    "kornia": ("augment/",),
    "pytorch_metric_learning": ("objectives/",),
    "faiss": ("metrics/neighbours.py", "retrieval/index.py", "retrieval/stores/training.py", "audit/candidates.py"),
    "wandb": ("run/wandb_run.py", "run/wandb_media.py", "run/wandb_records.py"),
    "tensorboard": ("run/tensorboard_events.py",),
    "torchvision": ("models/backbones/torchvision_nets.py",),
    "timm": ("models/backbones/timm_nets.py",),
    "lightning": ("engine/",),
    "lightning_fabric": ("engine/",),
    "pydicom": ("data/dicom/", "dicomweb/"),  # dicomweb writes objects and gets data sets; data/dicom reads pixels
    "highdicom": ("dicomweb/",),
    "dicomweb_client": ("dicomweb/",),
    "nibabel": ("data/decoding/volumes.py",),
    "nrrd": ("data/decoding/volumes.py",),
    "fsspec": ("data/files/remote.py",),
    "pytorch_grad_cam": ("explain/gradcam.py",),
    "matplotlib": ("report/", "augment/"),
    "typer": ("cli/",),
    "huggingface_hub": (
        "models/pretrained/hub.py",
        "models/backbones/timm_nets.py",
        "doctor/facts.py",
        "retrieval/hub.py",
    ),
    "onnx": ("export/",),
    "onnxruntime": ("export/",),
    "fastapi": ("server/", "explore/"),
    "starlette": ("server/",),
    "openTSNE": ("explore/layout.py",),
    "uvicorn": ("server/",),
    "python_multipart": ("server/",),
    "prometheus_client": ("server/",),
    "pyarrow": (
        "run/parquet.py",
        "data/tables/table_files.py",
        "data/shards/parquet_files.py",
        "retrieval/stores/lance_view.py",
    ),
    "ray": ("distributed/",),
    "lance": ("retrieval/stores/lance_library.py",),
    "psycopg": ("retrieval/stores/",),
    "pgvector": ("retrieval/stores/postgres_connection.py",),
}
WITHOUT_TORCH = (
    "recipe/", "tasks.py", "errors.py", "files.py", "locks.py", "space.py", "cores.py", "spread.py", "metrics/",
    "__init__.py", "__main__.py", "cli/__init__.py",
)  # fmt: skip


def imports(source: str, module: str, is_package: bool) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that `source` imports, inside functions too.

    `from a import b` gives `a.b`, since b may be a module.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            base = parts[: len(parts) - node.level + is_package] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def room_of(module: str) -> str:
    """The room of `contrastive_cxr.room...`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def climbs(source: str, module: str, is_package: bool) -> list[str]:
    """One sentence for each import that does not go down."""
    here, found = room_of(module), []
    if here in DOORS:
        return []
    for line, name in imports(source, module, is_package):
        if name.split(".")[0] != PACKAGE.name or name == f"{PACKAGE.name}.__version__":
            continue
        there = room_of(name)
        below = there in FLOORS and FLOORS[there] < FLOORS[here]
        if there != here and not below and there not in GROUND.get(here, ()):
            found.append(f"{module}:{line} ({here}) imports {name}; imports only go down")
    return found


def module_name(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def imports_of(file: Path) -> list[tuple[int, str]]:
    """`imports` of a file of the package; each is parsed once."""
    return list(imports(file.read_text(), module_name(file), file.name == "__init__.py"))


def places_that_import(library: str) -> list[str]:
    """`path:line` of each import of `library`, path relative to the package."""
    return [
        f"{file.relative_to(PACKAGE).as_posix()}:{line}"
        for file in FILES
        for line, name in imports_of(file)
        if name.split(".")[0] == library
    ]


def test_every_room_has_a_floor() -> None:
    rooms = {file.relative_to(PACKAGE).parts[0].removesuffix(".py") for file in FILES}
    unknown = rooms - set(FLOORS) - set(DOORS)
    assert not unknown, f"rooms without a floor: {sorted(unknown)}; give them one here and in docs/architecture.md"


def test_imports_only_go_down() -> None:
    found = [line for file in FILES for line in climbs(file.read_text(), module_name(file), file.name == "__init__.py")]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("library", HEAVY)
def test_heavy_library_stays_in_its_room(library: str) -> None:
    strays = [place for place in places_that_import(library) if not place.startswith(HEAVY[library])]
    assert not strays, f"{library} is imported outside {HEAVY[library]}: {strays}"


def test_torch_stays_out_of_the_rooms_without_it() -> None:
    inside = [place for place in places_that_import("torch") if place.startswith(WITHOUT_TORCH)]
    of_data = [place for place in places_that_import("torch") if place.startswith("data/")]
    strays = inside + [place for place in of_data if not place.startswith("data/batches.py")]
    assert not strays, f"torch is imported in {strays}"


@pytest.mark.parametrize("module", ["contrastive_cxr", "contrastive_cxr.recipe"])
def test_torch_is_not_imported_by(module: str) -> None:
    code = f"import sys, {module}; print([name for name in ('torch', 'numpy', 'pandas') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=True)
    assert done.stdout.strip() == "[]", f"import {module} brings in {done.stdout.strip()}"


@pytest.mark.parametrize(
    ("module", "source", "count"),
    [
        ("contrastive_cxr.data.cache", "from contrastive_cxr.engine import fit", 1),  # up
        ("contrastive_cxr.data.cache", "def f():\n    import contrastive_cxr.models.network", 1),  # a sibling, lazily
        ("contrastive_cxr.data.cache", "from contrastive_cxr import engine, recipe", 1),  # by the package
        ("contrastive_cxr.data.cache", "from ..engine import fit", 1),  # relative
        ("contrastive_cxr.data.cache", "from contrastive_cxr import EmbeddingModel", 1),  # through the door
        (
            "contrastive_cxr.data.cache",
            "from contrastive_cxr.data.decoding.decode import decode\nfrom . import split",
            0,
        ),
        ("contrastive_cxr.engine.loop", "from contrastive_cxr.data.batches import Images\nimport torch", 0),
        ("contrastive_cxr.tasks", "from contrastive_cxr.recipe import schema", 1),
        (
            "contrastive_cxr.recipe.load",
            "from contrastive_cxr import tasks\nfrom contrastive_cxr.errors import nearest",
            0,
        ),
    ],
)
def test_the_check_itself_on(module: str, source: str, count: int) -> None:
    assert len(climbs(source, module, is_package=False)) == count

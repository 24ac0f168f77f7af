"""Commands that train."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from contrastive_cxr import terminal
from contrastive_cxr.cli.info import recipe_names
from contrastive_cxr.cli.resume import Choice, Resume
from contrastive_cxr.cli.show import after_run, look_at, print_batches, print_next, print_plan, print_scores, say, tell
from contrastive_cxr.errors import RequestError
from contrastive_cxr.run_layout import PHASES

if TYPE_CHECKING:
    from contrastive_cxr.recipe.schema import Recipe
    from contrastive_cxr.run_layout import PhaseName

RecipeArgument = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE", help="A recipe file, or a shipped name (ccxr recipes).", autocompletion=recipe_names
    ),
]
Overrides = Annotated[
    list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Changes, such as data.root=DIR embed.epochs=5.")
]
Out = Annotated[Path | None, typer.Option(help="Run folder to write; default runs/<recipe name>.")]
From = Annotated[Path | None, typer.Option("--from", help="Run or phase folder that this phase starts from.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, print the plan, train nothing.")]


def quickstart(
    out: Annotated[Path, typer.Option(help="Run folder to write.")] = Path("runs/quickstart"),
    overwrite: Overwrite = False,
) -> None:
    """Try everything on painted phantoms.

    The three phases, then a report to look at: a few minutes on two cores, without an image of a patient.
    """
    load("phantom", None, out, overwrite=overwrite)
    load_torch()
    from contrastive_cxr.training.run import quickstart as run_quickstart

    page = run_quickstart(out, overwrite=overwrite)
    print_scores(out)
    say(f"Report: {page.resolve()}")
    print_next(look_at(page), *after_run(out), ("own images", "ccxr init FOLDER"))


def run(
    reference: RecipeArgument,
    overrides: Overrides = None,
    out: Out = None,
    resume: Resume = None,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    folds: Annotated[int | None, typer.Option(min=2, help="Run K folds and pool them.")] = None,
    seeds: Annotated[int | None, typer.Option(min=2, help="Run N seeds and pool them.")] = None,
    parallel: Annotated[
        int, typer.Option(min=1, metavar="N", help="Seeds or folds at once, as processes that share the cores.")
    ] = 1,
    overfit: Annotated[
        int | None, typer.Option(min=2, help="Only check that N images can be learned by heart.")
    ] = None,
    find_batch: Annotated[
        bool, typer.Option("--find-batch", help="Only find the largest batch of each phase that fits here.")
    ] = False,
) -> None:
    """Run the recipe's phases in a row, then score and report."""
    if folds and seeds:
        raise typer.BadParameter("give --folds or --seeds, not both")
    if parallel > 1 and not (folds or seeds):
        raise typer.BadParameter(f"--parallel {parallel} is for seeds or folds; give --seeds N or --folds K too")
    writes = overfit is None and not dry_run and not find_batch
    recipe, target = load(reference, overrides, out, writes=writes, resume=resume is not None, overwrite=overwrite)
    command = again(
        "run",
        reference,
        overrides,
        {"--out": out, "--folds": folds, "--seeds": seeds, "--parallel": parallel if parallel > 1 else None},
    )
    if overfit is not None:
        load_torch()
        from contrastive_cxr.training.overfit import overfit as run_overfit

        outcomes = run_overfit(recipe, overfit)
        for outcome in outcomes:
            say(outcome.words(overfit))
        learned = all(outcome.learned for outcome in outcomes)
        if learned:
            print_next(("train", command))
        raise typer.Exit(0 if learned else 1)
    if find_batch:
        load_torch()
        from contrastive_cxr.training.find_batch import find_batch as run_find_batch

        batches = run_find_batch(recipe, tell)
        print_batches(batches)
        return print_next(("train", f"{command} {' '.join(f'{each.setting}={each.value}' for each in batches)}"))
    if dry_run:
        load_torch()
        from contrastive_cxr.training.dry_run import plan

        print_plan(plan(recipe, out=target, timed=True), folds or seeds or 1)
        if not terminal.is_verbose():
            print_next(("train", command))
        return None
    from contrastive_cxr.training.finished import is_finished

    if resume is Choice.auto and is_finished(recipe, target, folds=folds, seeds=seeds):
        return finished(target)
    load_torch()
    flags: dict[str, Any] = {"resume": resume is not None, "overwrite": overwrite}
    if folds:
        from contrastive_cxr.training.cross_validation import run_folds

        run_folds(recipe, target, folds, parallel=parallel, **flags)
    elif seeds:
        from contrastive_cxr.training.cross_validation import run_seeds

        run_seeds(recipe, target, seeds, parallel=parallel, **flags)
    else:
        from contrastive_cxr.training.run import run as run_recipe

        run_recipe(recipe, target, **flags)
    finished(target)
    return None


def phase_command(name: PhaseName, text: str) -> Callable[..., None]:
    """The command that trains one phase, with its help."""

    def command(
        reference: RecipeArgument,
        overrides: Overrides = None,
        origin: From = None,
        out: Out = None,
        resume: Resume = None,
        overwrite: Overwrite = False,
        dry_run: DryRun = False,
    ) -> None:
        one_phase(name, reference, overrides, origin, out, resume, overwrite, dry_run)

    command.__name__, command.__doc__ = name, text
    return command


pretrain = phase_command("pretrain", "Phase 1: fine-tune the backbone on the labels.")
embed = phase_command(
    "embed",
    "Phase 2: train the embedding (to use one: ccxr encode).\n\n"
    "A contrastive loss draws images of the same class, or two augmentations of one image, together.",
)
finetune = phase_command("finetune", "Phase 3: train a classifier head on the embedding.")


def one_phase(
    name: PhaseName,
    reference: str,
    overrides: list[str] | None,
    origin: Path | None,
    out: Path | None,
    resume: Choice | None,
    overwrite: bool,
    dry_run: bool,
) -> None:
    """Run one phase of a recipe into its own run folder."""
    goes_on = resume is not None
    recipe, target = load(
        reference, overrides, out, phase=name, writes=not dry_run, resume=goes_on, overwrite=overwrite
    )
    if dry_run:
        load_torch()
        from contrastive_cxr.training.dry_run import plan

        print_plan(plan(recipe, (name,), target, origin, timed=True))
        if not terminal.is_verbose():
            print_next(("train", again(name, reference, overrides, {"--from": origin, "--out": out})))
        return
    from contrastive_cxr.training.finished import is_finished

    if not (resume is Choice.auto and is_finished(recipe, target, phase=name)):
        load_torch()
        from contrastive_cxr.training.run import run as run_recipe

        run_recipe(recipe, target, only=(name,), origin=origin, resume=goes_on, overwrite=overwrite)
    later = [phase for phase in recipe.phases if PHASES.index(phase) > PHASES.index(name)][:1]
    finished(target, *((phase, again(phase, reference, overrides, {"--from": target})) for phase in later))


def load(
    reference: str,
    overrides: list[str] | None,
    out: Path | None,
    *,
    phase: str | None = None,
    writes: bool = True,
    resume: bool = False,
    overwrite: bool = False,
) -> tuple[Recipe, Path]:
    """Read the recipe, check data and folder, and say which folder is written; torch is not imported before."""
    from contrastive_cxr import recipe as recipes

    with terminal.Stages("starting", 1, first="checking recipe, folders and tables"):
        return _load(recipes.load(reference, overrides or []), reference, out, phase, writes, resume, overwrite)


def _load(
    recipe: Recipe, reference: str, out: Path | None, phase: str | None, writes: bool, resume: bool, overwrite: bool
) -> tuple[Recipe, Path]:
    if phase is not None and getattr(recipe, phase) is None:
        raise RequestError(f"{reference} has no {phase} phase; add a section '{phase}:', or choose another recipe")
    target = out or default_out(recipe.name if phase is None else f"{recipe.name}-{phase}")
    from contrastive_cxr.preflight.data_checks import check_data_and_folder

    check_data_and_folder(recipe, target if writes else None, resume=resume, overwrite=overwrite)
    return recipe, target


def default_out(name: str) -> Path:
    """`runs/<name>`, the name's slashes as dashes."""
    return Path("runs") / name.replace("/", "-")


def load_torch() -> None:
    """Import PyTorch and what trains with it, and say so: it takes seconds."""
    with terminal.Stages("starting", 1, first="loading PyTorch"):
        import contrastive_cxr.training.run  # noqa: F401


def finished(out: Path, *steps: tuple[str, str]) -> None:
    """The last words of a training command; `steps` are what may be done next beside using the run."""
    page = out / "report.html"
    if not page.is_file():
        say(f"Done, without a report: there are no labels to score. Run folder: {out.resolve()}")
        return print_next(*steps, *after_run(out))
    print_scores(out)
    say(f"Report: {page.resolve()}")
    return print_next(look_at(page), *steps, *after_run(out))


def again(name: str, reference: str, overrides: Sequence[str] | None, options: Mapping[str, Path | int | None]) -> str:
    """The command that trains a recipe with the same settings; options without a value are left out."""
    words = [word for option, value in options.items() if value is not None for word in (option, str(value))]
    return shlex.join(["ccxr", name, reference, *(overrides or []), *words])

"""A task: a label map over a manifest. No torch, no image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field, model_validator

from contrastive_cxr.errors import nearest
from contrastive_cxr.findings import ANY, NONE, Findings, classes_of, plain


class Task(BaseModel):
    """Which values of which columns become which class.

    Columns that make a hierarchy are joined by `/`, empty ones at the end left out. `a/b/*` is `a/b` and all below it,
    `*` any value; of the patterns that take a value the most specific one counts. With `findings` a class names
    findings instead, `none` is an image without one, and `*` one with any.

    Examples
    --------
    >>> task = Task(name="ct", classes={"noncovid": ["CT_NonCOVID"], "covid": ["CT_COVID"]}, positive="covid")
    >>> task.encode("CT_COVID")
    1
    >>> task = Task(columns=["type", "agent"], classes={"well": ["normal"], "ill": ["sick/*"]}, drop=["sick/fungal"])
    >>> task.encode(task.value({"type": "sick", "agent": "viral"})), task.encode("sick/fungal")
    (1, -1)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field("task", description="the task's name, in reports")
    columns: tuple[str, ...] = Field(("label",), min_length=1, description="manifest columns, joined by /")
    classes: dict[str, tuple[str, ...]] = Field(
        description="class name: the values that become it; a/b/* is a/b and all below it, * any value"
    )
    drop: tuple[str, ...] = Field((), description="values whose rows are left out")
    findings: Findings | None = Field(
        None, description="classes by findings in columns, or listed in a cell, in the place of columns"
    )
    positive: str | None = Field(None, description="the positive class; none: the last")

    @model_validator(mode="after")
    def _consistent(self) -> Task:
        values = [value for group in self.classes.values() for value in group] + list(self.drop)
        plain = [joined(value.split("/")) for value in values]
        twice = sorted({value for value, read in zip(values, plain, strict=True) if plain.count(read) > 1})
        stars = sorted({value for value in values if "*" in value.removesuffix("/*") and value != "*"})
        self._check_findings()
        if not self.classes:
            raise ValueError("classes is empty; name at least one class and its labels")
        empty = [name for name, group in self.classes.items() if not group]
        if empty:
            raise ValueError(f"classes {empty} have no label; name the labels that become them")
        if twice:
            raise ValueError(f"labels {twice} are mapped twice; each label belongs to one class or to drop")
        if stars:
            raise ValueError(f"labels {stars}: a star stands alone or as the last part, such as pneumonia/viral/*")
        if self.positive is not None and self.positive not in self.classes:
            meant = nearest(self.positive, self.classes)
            raise ValueError(f"positive '{self.positive}' is not one of the classes {', '.join(self.classes)}{meant}")
        return self

    def _check_findings(self) -> None:
        """Refuse findings that no column is named after, where each column is one."""
        if self.findings is None or self.findings.separator is not None:
            return
        known = {*self.findings.columns, NONE, ANY}
        strange = [name for names in (*self.classes.values(), self.drop) for name in names if name not in known]
        if strange:
            raise ValueError(
                f"the classes name the findings {strange}, which are not in task.findings.columns "
                f"{list(self.findings.columns)}; name them there too"
            )

    @property
    def read_columns(self) -> tuple[str, ...]:
        """The columns of the data that the classes are made from."""
        return self.columns if self.findings is None else self.findings.columns

    @property
    def names(self) -> tuple[str, ...]:
        """The classes, in the order of their numbers."""
        return tuple(self.classes)

    @property
    def positive_index(self) -> int:
        """Number of the positive class."""
        return len(self.classes) - 1 if self.positive is None else self.names.index(self.positive)

    def value(self, row: Mapping[str, object]) -> str:
        """The row's label as the map reads it: its columns' values joined by `/`, empty ones at the end left out; with
        `findings` those of the row, as `Findings.value` writes them."""
        return self.of_cells([str(row[column]) for column in self.read_columns])

    def of_cells(self, cells: Sequence[str]) -> str:
        """As `value`, of the cells of `read_columns`."""
        return joined(cells) if self.findings is None else self.findings.value(cells)

    def encode(self, value: str) -> int | None:
        """Class number of a label, -1 where its rows are left out, None where the map does not know it, or where an
        image has findings of several classes and `findings.several` refuses that."""
        if self.findings is not None:
            return self._encode_findings(value, self.findings)
        found = [
            (depth, number)
            for number, patterns in enumerate((self.drop, *self.classes.values()), start=-1)
            for pattern in patterns
            if (depth := specificity(pattern, value)) is not None
        ]
        return max(found)[1] if found else None

    def _encode_findings(self, value: str, findings: Findings) -> int | None:
        numbers = classes_of(value, findings, self.classes, self.drop)
        if numbers is None or len(numbers) == 1:
            return None if numbers is None else numbers[0]
        return {"refuse": None, "leave-out": -1, "first": numbers[0]}[findings.several]


def joined(values: Sequence[str]) -> str:
    """Values of a hierarchy's columns as one label, joined by `/`; spaces around them, empty ones at the end left out.

    Examples
    --------
    >>> joined(["pneumonia", "viral ", ""]), joined(["normal", "", ""])
    ('pneumonia/viral', 'normal')
    """
    return "/".join(value.strip() for value in values).rstrip("/")


def specificity(pattern: str, value: str) -> int | None:
    """How closely `pattern` names `value`, None where it does not: `*` 0, `a/*` 1, `a/b/*` 2, most the value itself."""
    pattern, value = joined(pattern.split("/")), joined(value.split("/"))
    parts = value.count("/") + 1
    if pattern == value or plain(pattern) == plain(value):
        return parts + 1
    if pattern == "*":
        return 0
    above = pattern.removesuffix("/*")
    if above != pattern and f"{value}/".startswith(f"{above}/"):
        return above.count("/") + 1
    return None


def unknown_labels(task: Task, values: Sequence[str]) -> list[str]:
    """The distinct labels among `values` that `task` neither maps nor drops, sorted."""
    return sorted({value for value in values if task.encode(value) is None})


def _flat_and_stages() -> dict[str, Task]:
    """The X-ray tasks; labels are class folders, read with and without the folder around them."""
    covid, other = ("covid", "infected/covid"), ("non-covid", "infected/non-covid")
    return {
        "xray/three-class": Task(
            name="xray/three-class",
            classes={"normal": ("normal",), "covid": covid, "non-covid": other},
            positive="covid",
        ),
        "xray/infected": Task(
            name="xray/infected", classes={"normal": ("normal",), "infected": covid + other}, positive="infected"
        ),
        "xray/covid": Task(
            name="xray/covid", classes={"non-covid": other, "covid": covid}, drop=("normal",), positive="covid"
        ),
    }


SHIPPED: dict[str, Task] = {
    "ct": Task(
        name="ct",
        classes={"noncovid": ("noncovid", "CT_NonCOVID", "NonCOVID"), "covid": ("covid", "CT_COVID", "COVID")},
        positive="covid",
    ),
    **_flat_and_stages(),
    "unlabelled": Task(name="unlabelled", classes={"image": ("*",)}),
    "phantom": Task(
        name="phantom",
        classes={"normal": ("normal",), "nodule": ("nodule",), "opacity": ("opacity",)},
        positive="opacity",
    ),
    "phantom/lesion": Task(
        name="phantom/lesion", classes={"normal": ("normal",), "lesion": ("nodule", "opacity")}, positive="lesion"
    ),
    "phantom/opacity": Task(
        name="phantom/opacity",
        classes={"nodule": ("nodule",), "opacity": ("opacity",)},
        drop=("normal",),
        positive="opacity",
    ),
}

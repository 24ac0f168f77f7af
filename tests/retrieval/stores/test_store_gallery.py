"""What both stores promise: the answers of the gallery in a folder, from Lance files and from PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np
import pandas as pd
import pytest

from contrastive_cxr.data.files.store_urls import StoreUrl
from contrastive_cxr.errors import CcxrError, RequestError
from contrastive_cxr.retrieval import Gallery, StoreGallery, open_gallery
from contrastive_cxr.retrieval.gallery_files import About
from contrastive_cxr.retrieval.index import Kind
from contrastive_cxr.retrieval.stores.filling import fill
from contrastive_cxr.retrieval.stores.lance_store import LanceStore
from contrastive_cxr.retrieval.stores.postgres_store import PostgresStore
from contrastive_cxr.retrieval.stores.record import KINDS
from contrastive_cxr.retrieval.stores.store import Store
from tests.retrieval import clusters

COUNT, MODEL = 600, "a" * 64
New = Callable[[], Store]


def filled(store: Store, vectors: Any, rows: pd.DataFrame, kind: Kind = "exact") -> StoreGallery:
    fill(store, About(MODEL, {"resize": "pad"}, "", kind), vectors.shape[1], rows, lambda a, b: vectors[a:b])
    again = open_gallery(store.folder if isinstance(store, LanceStore) else store.url)  # type: ignore[attr-defined]
    assert isinstance(again, StoreGallery)
    return again


def made(new_store: New, word: str) -> StoreGallery:
    store = new_store()
    kind: Kind = "exact" if word == "exact" else KINDS[store.kind_of_store][1]
    return filled(store, clusters.vectors(COUNT, 0), clusters.rows(COUNT), kind)


@pytest.fixture(scope="module", params=["exact", "indexed"])
def gallery(request: pytest.FixtureRequest, new_store: New) -> StoreGallery:
    """Of each kind; it is only read."""
    return made(new_store, request.param)


@pytest.fixture
def changing(new_store: New) -> StoreGallery:
    """With an index, to be changed."""
    return made(new_store, "indexed")


def place_of(gallery: StoreGallery) -> Path | StoreUrl:
    store = gallery.store
    return store.folder if isinstance(store, LanceStore) else store.url  # type: ignore[attr-defined]


def allowed(where: dict[str, Any] | None = None, patient: str = "") -> Any:
    rows = clusters.rows(COUNT)
    fits = np.ones(COUNT, bool)
    for column, values in (where or {}).items():
        fits &= rows[column].isin([values] if isinstance(values, str) else values).to_numpy()
    return fits & ((rows["patient"] != patient).to_numpy() | (patient == ""))


@pytest.mark.parametrize("together", [3, 12])  # a search each, and one pass for all
@pytest.mark.parametrize(
    "where", [None, {"label": "class 1"}, {"label": ["class 1", "class 2"], "site": "north"}, {"split": "val"}]
)
def test_search_is_brute_force(gallery: StoreGallery, where: Any, together: int) -> None:
    known, queries, ids = clusters.vectors(COUNT, 0), clusters.vectors(together, 1), clusters.rows(COUNT)["id"]
    result = gallery.search(queries, 7, where=where)
    hits = 0
    for place, query in enumerate(queries):
        right = clusters.slow(known, query.astype(float), allowed(where), 7)
        found = result.ids[place].tolist()
        hits += len(set(found) & set(ids.iloc[right]))
        gaps = np.sqrt(((known[(np.array(found) - 7) // 2].astype(float) - query) ** 2).sum(1))
        np.testing.assert_allclose(result.distances[place], gaps, atol=1e-6)
        assert (np.diff(result.distances[place]) >= 0).all()
        assert set(found) <= set(ids[allowed(where)])
    assert hits >= (0.9 if gallery.record.kind == "ivf-pq" and where is None else 1) * 7 * together
    assert result.positions.tolist() == result.ids.tolist()


def test_own_patients_are_passed_over_and_k_is_filled(gallery: StoreGallery) -> None:
    known, rows = clusters.vectors(COUNT, 0), clusters.rows(COUNT)
    queries, patients = known[[1, 2, 3, 5]], ["P0", "", "nobody", "P1"]
    result = gallery.search(queries, 5, patients)
    assert result.counts.tolist() == [5, 5, 5, 5]
    for place, (query, patient) in enumerate(zip(queries, patients, strict=True)):
        right = clusters.slow(known, query.astype(float), allowed(patient=patient), 1)
        assert result.ids[place, 0] == rows["id"].iloc[right[0]]
        assert patient not in set(result.patients[place].tolist()) - {""}


@pytest.mark.parametrize("together", [2, 9])
def test_a_patient_of_most_rows_is_still_passed_over(new_store: New, together: int) -> None:
    store, vectors = new_store(), clusters.vectors(300, 0)
    rows = clusters.rows(300).assign(patient=["P" if number < 280 else "Q" for number in range(300)])
    made = filled(store, vectors, rows, KINDS[store.kind_of_store][1])
    result = made.search(vectors[:together], 10, ["P"] * together)
    assert result.counts.tolist() == [10] * together
    fits = np.arange(300) >= 280
    for place in range(together):
        assert result.positions[place].tolist() == [
            7 + 2 * row for row in clusters.slow(vectors, vectors[place].astype(float), fits, 10)
        ]


def test_fewer_rows_than_k_are_masked(gallery: StoreGallery) -> None:
    query = clusters.vectors(1, 3)
    few = {"site": "south", "patient": ["P90", "P91"]}
    result = gallery.search(query, 50, where=few)
    assert result.counts.tolist() == [int(allowed(few).sum())]
    assert result.asked == 50
    none = gallery.search(query, 5, ["P90"], where={"patient": "P90"})
    assert none.counts.tolist() == [0]
    assert gallery.search(np.zeros((0, 16), np.float32), 5).ids.shape == (0, 5)


def test_what_the_gallery_says_is_what_the_folder_says(gallery: StoreGallery) -> None:
    folder = Gallery.build(clusters.vectors(COUNT, 0), clusters.rows(COUNT), MODEL, kind="exact")
    assert gallery.familiar is not None
    assert folder.familiar is not None
    assert gallery.familiar.n == folder.familiar.n
    np.testing.assert_allclose(gallery.familiar.quantiles, folder.familiar.quantiles, atol=1e-6)
    assert gallery.labels() == folder.labels()
    assert gallery.columns == folder.columns
    assert len(gallery) == COUNT
    if gallery.record.kind != "exact":
        assert gallery.recall is not None
        assert gallery.recall.value >= 0.95
        assert (gallery.recall.k, gallery.recall.n, gallery.record.measured) == (10, COUNT, COUNT)


def test_rows_and_vectors_by_id(gallery: StoreGallery) -> None:
    rows, known = clusters.rows(COUNT), clusters.vectors(COUNT, 0)
    wanted = [107, 7, 55, 107]
    pd.testing.assert_frame_equal(
        gallery.take(wanted),
        rows.iloc[[50, 0, 24, 50]].reset_index(drop=True)[list(gallery.columns)],
        check_dtype=False,
    )
    assert (gallery.take_vectors(wanted) == known[[50, 0, 24, 50]]).all()
    own = rows["id"][rows["patient"] == "P1"].tolist()
    assert gallery.find("patient", ["P1", "nobody"]) == {"P1": own, "nobody": []}
    assert gallery.find("nothing", ["x"]) == {"x": []}
    assert gallery.count("label", "class 0") == int((rows["label"] == "class 0").sum())
    with pytest.raises(CcxrError, match="row 8 was taken out of the gallery meanwhile"):
        gallery.take([7, 8])


def test_files_are_found(new_store: New, tmp_path: Path) -> None:
    rows = pd.DataFrame({"root": [str(tmp_path), "s3://bucket", ""], "path": ["a/1.png", "2.png", ""], "label": "x"})
    made = filled(new_store(), clusters.vectors(3, 0), rows)
    link = tmp_path / "link"
    (tmp_path / "a").mkdir()
    link.symlink_to(tmp_path / "a")
    files = [
        str(tmp_path / "a" / ".." / "a" / "1.png"),
        str(link / "1.png"),
        "s3://bucket/2.png",
        str(tmp_path / "2.png"),
    ]
    assert made.at_files(files) == [0, 0, 1, None]
    assert made.at_places(["", str(tmp_path / "a/1.png")]) == [None, 0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"k": 0}, "k=0"),
        ({"exclude_patients": ["P1"]}, "1 patients for 2 queries"),
        ({"model_digest": "b" * 64}, "the gallery is of model aaaaaaaaaaaa"),
        ({"where": {"labl": "x"}}, r"where labl: no such column \(did you mean 'label'\?\)"),
        ({"where": {"label": "class 9"}}, r"no row has it.*'class 0', 'class 1', 'class 2'"),
        ({"where": {"label": "it's; DROP TABLE"}}, "no row has it"),
        ({"where": {"patient": "P1", "site": "south"}}, "no row of the gallery fits all of it"),
    ],
)
def test_bad_requests_are_refused(gallery: StoreGallery, options: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said):
        gallery.search(clusters.vectors(2, 1), **options)


def test_queries_of_another_size_or_length_are_refused(gallery: StoreGallery) -> None:
    with pytest.raises(RequestError, match="queries have 8 dimensions, the gallery 16"):
        gallery.search(clusters.vectors(2, 1, width=8))
    with pytest.raises(RequestError, match="has length 2"):
        gallery.search(2 * clusters.vectors(2, 1))
    with pytest.raises(RequestError, match="read with resize=pad"):
        gallery.check_model(MODEL, {"resize": "crop"})


def test_rows_are_added_and_removed(changing: StoreGallery) -> None:
    new = -clusters.vectors(30, 5)
    before = changing.version
    changing.add(new, pd.DataFrame({"label": ["new"] * 30, "patient": "N"}), MODEL)
    last = 7 + 2 * (COUNT - 1)
    found = changing.search(new[:3], 1)
    assert found.ids[:, 0].tolist() == [last + 1, last + 2, last + 3]
    np.testing.assert_allclose(found.distances[:, 0], 0, atol=1e-6)
    assert changing.version != before
    assert changing.search(new[:1], 30, where={"label": "new"}).counts.tolist() == [30]
    changing.remove([last + 1, 7])
    assert len(changing) == COUNT + 28
    assert last + 1 not in changing.search(new[:1], COUNT + 28).ids[0].tolist()
    changing.rebuild()
    assert changing.record.measured == COUNT + 28
    assert last + 1 not in changing.search(new[:1], 40).ids[0].tolist()
    assert changing.search(new[2:3], 1).ids.tolist() == [[last + 3]]


def test_what_cannot_be_added_or_removed_is_refused(gallery: StoreGallery) -> None:
    one = clusters.vectors(1, 5)
    cases: list[tuple[str, Callable[[], None]]] = [
        ("1 ids are in the gallery already, such as 7", lambda: gallery.add(one, pd.DataFrame({"id": [7]}))),
        ("the rows have sex, the gallery id", lambda: gallery.add(one, pd.DataFrame({"sex": ["F"]}))),
        ("2 rows; give one row a vector", lambda: gallery.add(one, pd.DataFrame({"label": ["a", "b"]}))),
        ("vectors have 8 dimensions", lambda: gallery.add(clusters.vectors(1, 5, 8), pd.DataFrame({"label": ["a"]}))),
        ("the gallery is of model", lambda: gallery.add(one, pd.DataFrame({"label": ["a"]}), "b" * 64)),
        ("1 ids are not in the gallery, such as 8", lambda: gallery.remove([7, 8])),
        ("no row would be left", lambda: gallery.remove(clusters.rows(COUNT)["id"].tolist())),
        ("is exact or", lambda: gallery.rebuild("ivf")),
    ]
    for said, work in cases:
        with pytest.raises(RequestError, match=said):
            work()
    assert len(gallery) == COUNT


def test_two_galleries_are_merged(new_store: New) -> None:
    vectors, rows = clusters.vectors(60, 0), clusters.rows(60)
    left, right = filled(new_store(), vectors[:40], rows[:40]), filled(new_store(), vectors[40:], rows[40:])
    left.merge(right)
    assert len(left) == 60
    assert left.search(vectors[50:51], 1).paths.tolist() == [["50.png"]]
    with pytest.raises(RequestError, match="20 images are in both galleries"):
        left.merge(right)


def test_the_vote_of_a_store_is_that_of_the_folder(gallery: StoreGallery) -> None:
    folder = Gallery.build(clusters.vectors(COUNT, 0), clusters.rows(COUNT), MODEL, kind="exact")
    queries, names = clusters.vectors(6, 2), ["class 0", "class 1", "class 2"]
    expected = folder.classify(queries, names, 20, where={"site": "south"})
    np.testing.assert_allclose(gallery.classify(queries, names, 20, where={"site": "south"}), expected, atol=1e-6)
    with pytest.raises(RequestError, match="'class 7' is no label"):
        gallery.classify(queries, ["class 7"])


def test_a_filling_that_stopped_goes_on(new_store: New, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contrastive_cxr.retrieval.stores.filling.BLOCK", 100)
    vectors, rows, asked = clusters.vectors(350, 0), clusters.rows(350), []

    def some(first: int, end: int) -> Any:
        asked.append(first)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return vectors[first:end]

    store = new_store()
    with pytest.raises(KeyboardInterrupt):
        fill(store, About(MODEL), 16, rows, some, together=1)
    place = store.folder if isinstance(store, LanceStore) else store.url  # type: ignore[attr-defined]
    with pytest.raises(RequestError, match="its gallery is unfinished; run the same ccxr index again"):
        open_gallery(place)
    with pytest.raises(RequestError, match="unfinished gallery of other images"):
        fill(store, About("b" * 64), 16, rows, some)
    again = LanceStore(store.folder) if isinstance(store, LanceStore) else PostgresStore(place)  # type: ignore[arg-type]
    fill(again, About(MODEL), 16, rows, some, together=1)
    assert asked == [0, 100, 200, 200, 300]  # the third block anew, the first two not
    made = open_gallery(place)
    assert len(made) == 350
    assert made.search(vectors[:350:50], 1).ids[:, 0].tolist() == rows["id"].iloc[::50].tolist()
    with pytest.raises(RequestError, match="holds a gallery already"):
        fill(again, About(MODEL), 16, rows, some)


@pytest.mark.parametrize("name", ["vector", "_place", "_rowid", "a.b", 'a"b', "a`b", "Label", "x" * 61])
def test_names_that_a_store_cannot_hold_are_refused(new_store: New, name: str) -> None:
    with pytest.raises(RequestError, match=r"no name for a column of a store"):
        filled(new_store(), clusters.vectors(3, 0), clusters.rows(3).assign(**{name: "x"}))


def test_odd_names_and_values_are_kept(new_store: New) -> None:
    rows = clusters.rows(4).assign(**{"Größe (cm) %s {}": ["it's", 'a"b', "\\", "%s {}"], "sex; --": ""})
    made = filled(new_store(), clusters.vectors(4, 0), rows)
    name = "Größe (cm) %s {}"
    for value in rows[name]:
        found = made.search(clusters.vectors(1, 1), 3, where={name: value})
        assert made.take(found.ids[0].compressed())[name].tolist() == [value]


def test_a_second_writer_is_refused_by_name(changing: StoreGallery) -> None:
    one, place = clusters.vectors(1, 5), place_of(changing)
    with ExitStack() as held:
        if isinstance(place, Path):
            held.enter_context(other_process(place))
        else:
            held.enter_context(PostgresStore(place).writing())  # a connection of its own
        assert changing.search(one, 1).counts.tolist() == [1]  # readers go on
        with pytest.raises(RequestError, match=r"is in use by process|another process is writing"):
            changing.add(one, pd.DataFrame({"label": ["a"]}))
    changing.add(one, pd.DataFrame({"label": ["a"]}))
    assert len(changing) == COUNT + 1


@contextmanager
def other_process(folder: Path) -> Iterator[None]:
    """A process that holds a folder."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom contrastive_cxr import locks\n"
        f"with locks.held(Path({str(folder)!r}) / locks.NAME, 'it'):\n"
        "    print('held', flush=True)\n    sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=PIPE, stdout=PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "held\n"
        try:
            yield
        finally:
            running.communicate("")


@pytest.mark.parametrize("seconds", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_searches_while_rows_are_added_are_of_one_version(new_store: New, seconds: int) -> None:
    """Each addition of 20 rows lies nearer to the probe than the one before: an answer shows whole additions alone."""
    gallery = filled(new_store(), clusters.vectors(COUNT, 0), clusters.rows(COUNT))
    probe = np.eye(16, dtype=np.float32)[3]
    torn: list[list[str]] = []
    errors: list[BaseException] = []
    seen: list[set[str]] = [set() for _ in range(4)]
    over = threading.Event()
    place = place_of(gallery)

    def reading(number: int) -> None:
        try:
            reader = open_gallery(place)
            while not over.is_set():
                labels = [label for label in reader.search(probe, 50).labels[0].tolist() if label.startswith("add")]
                first = int(labels[0][3:]) if labels else -1
                right = [f"add{each}" for each in range(first, -1, -1) for _ in range(20)][:50]
                torn.extend([labels] if labels != right else [])
                seen[number].add(labels[0] if labels else "")
        except BaseException as error:
            errors.append(error)

    readers = [threading.Thread(target=reading, args=(number,)) for number in range(4)]
    for each in readers:
        each.start()
    rng, end, added = np.random.default_rng(0), time.monotonic() + seconds, 0
    while time.monotonic() < end or added < 5:
        away = rng.normal(size=(20, 16)) * (np.arange(16) != 3)
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        angle = 0.3 / (1 + added)
        batch = (np.cos(angle) * probe + np.sin(angle) * away).astype(np.float32)
        gallery.add(batch, pd.DataFrame({"label": [f"add{added}"] * 20}))
        added += 1
        time.sleep(0.05)
    over.set()
    for each in readers:
        each.join()
    assert not errors
    assert not torn
    assert all(len(each) > 1 for each in seen)
    assert len(gallery) == COUNT + 20 * added

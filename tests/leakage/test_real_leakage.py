"""What the leak checks find in data sets that people report on."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from llara.data import CandidateConfig, Dataset, SplitConfig, draw_candidates, load_dataset, split_dataset
from llara.ingest import LogColumns, ShapeConfig, import_log, import_rows
from llara.ingest.sources.lastfm import SOURCES
from llara.ingest.sources.llara_release import SOURCES as RELEASED
from llara.ingest.sources.reading import import_source
from llara.leakage import LeakageFinding, check_leakage

Findings = dict[str, LeakageFinding]
Import = Callable[..., Dataset]


def check(dataset: Dataset, method: str) -> Findings:
    split = split_dataset(dataset, SplitConfig(method=method))  # type: ignore[arg-type]
    candidates = [
        draw_candidates(
            split.test,
            CandidateConfig(),
            num_items=dataset.catalog.num_items,
            train_sequences=split.train_sequences,
            all_sequences=dataset.log.sequences,
            draw=draw,
        )
        for draw in range(5)
    ]
    return {finding.name: finding for finding in check_leakage(dataset, split, candidates=candidates)}


def leaks(findings: Findings) -> list[str]:
    return [name for name, finding in findings.items() if finding.level == "leak"]


@pytest.fixture
def tidy(real_data: Path, tmp_path: Path) -> Import:
    """Import a tidy folder: released rows, or a log in the order of its positions or times."""

    def make(name: str, *, padding: int | None = None, rows: bool = False, **options: object) -> Dataset:
        source, folder = real_data / name, tmp_path / name
        if rows:
            import_rows(source / "rows.parquet", folder, items=source / "items.parquet", padding=padding)
            return load_dataset(folder)
        log = pl.read_parquet(source / "interactions.parquet")
        columns = LogColumns()
        if "timestamp" not in log.columns:
            columns = LogColumns(time=None)
            log = log.sort("user_id", "position").filter(
                pl.col("item_id").is_null().cum_sum().over("user_id") == 0  # up to the gap of MovieLens-1M
            )
        else:
            log = log.filter(pl.col("timestamp") >= 0)
        log.select(pl.exclude("sas_item_id")).write_parquet(tmp_path / f"{name}.parquet")
        import_log(tmp_path / f"{name}.parquet", folder, items=source / "items.parquet", columns=columns, **options)  # type: ignore[arg-type]
        return load_dataset(folder)

    return make


def test_released_lastfm_is_ordered_by_artist_and_has_no_other_leak(tidy: Import) -> None:
    found = check(tidy("lastfm", rows=True, padding=4606), "rows")
    assert leaks(found) == ["item-order"]
    assert found["item-order"].numbers["order"] == "items column 'hetrec_item_id'"
    assert found["item-order"].numbers["share"] == 1.0


def test_released_steam_has_no_leak(tidy: Import) -> None:
    found = check(tidy("steam", rows=True, padding=3581), "rows")
    assert leaks(found) == []
    assert found["near-duplicate-rows"].level == "ok"


@pytest.mark.parametrize("method", ["users", "leave-one-out", "time"])
def test_movielens_100k_has_no_leak(tidy: Import, method: str) -> None:
    dataset = tidy("movielens_100k", shape=ShapeConfig(min_rating=3))
    found = check(dataset, method)
    assert leaks(found) == []
    assert found["duplicate-titles"].numbers["repeated_titles"] == 18
    assert 0.49 < found["item-order"].numbers["tied_share"] < 0.51  # type: ignore[operator]
    if method == "users":
        assert found["future-training"].numbers["later_than_median_target"] == pytest.approx(0.0168, abs=0.0001)
        assert found["touched-candidates"].numbers["touched_negatives"] == 400


@pytest.mark.parametrize(("name", "near"), [("amazon_beauty", 26), ("amazon_games", 21), ("movielens_1m", 0)])
def test_twins_in_real_logs_stay_below_what_is_refused(tidy: Import, name: str, near: int) -> None:
    found = check(tidy(name), "users")
    assert leaks(found) == []
    assert found["near-duplicate-rows"].numbers["exact_or_near"] == near


def test_published_tags_of_lastfm_tell_what_held_out_users_chose(tidy: Import) -> None:
    found = check(tidy("lastfm_hetrec", drop_unknown_items=True), "users")
    assert leaks(found) == ["item-order", "metadata"]
    assert "with equal times" in found["item-order"].message
    told = found["metadata"].numbers["found"]
    assert isinstance(told, list)
    assert {entry["column"] for entry in told} == {"tags", "tag_counts"}
    assert (told[0]["with_value"], told[0]["touched"]) == (420, 420)


def test_tags_of_training_users_tell_nothing(real_data: Path, tmp_path: Path) -> None:
    (source,) = SOURCES
    raw = real_data / "raw" / "lastfm-hetrec"
    import_source(source, raw, tmp_path / "lastfm", shape=ShapeConfig(ties="shuffle"))
    dataset = load_dataset(tmp_path / "lastfm")
    found = check(dataset, "users")
    assert leaks(found) == []
    assert "'tags': counted from" in found["metadata"].message
    assert leaks(check(dataset, "leave-one-out")) == ["metadata"], "there, the tags' users are judged as well"


def test_the_releases_own_lastfm_files_show_no_number_and_are_found_all_the_same(
    real_data: Path, tmp_path: Path
) -> None:
    source = next(source for source in RELEASED if source.name == "llara-lastfm")
    import_source(source, real_data / "raw" / "llara-release" / "lastfm", tmp_path / "lastfm")
    found = check(load_dataset(tmp_path / "lastfm"), "rows")
    assert leaks(found) == ["item-order"]
    assert found["item-order"].numbers["agreeing_share"] == 1.0
    assert found["item-order"].numbers["share"] < 0.9  # type: ignore[operator]

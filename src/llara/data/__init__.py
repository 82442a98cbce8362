"""Dataset folders, catalogs, logs, splits, examples and candidate sets. Nothing in here needs torch."""

from llara.data.candidates import (
    CandidateConfig,
    CandidateSet,
    draw_candidates,
    popularity_weights,
    read_candidates,
    sample_candidates,
    write_candidates,
)
from llara.data.catalog import Catalog, item_order
from llara.data.describing import Description, Distribution, describe_dataset, plot_description
from llara.data.examples import Examples, SplitName, examples_at, last_examples, prefix_examples
from llara.data.files import new_folder, sha256_of, write_atomically, write_parquet
from llara.data.folder import Dataset, DatasetInfo, load_dataset, write_dataset
from llara.data.identifiers import Id
from llara.data.log import InteractionLog
from llara.data.nouns import Noun
from llara.data.released_rows import ReleasedRows
from llara.data.sequences import IntArray, Sequences
from llara.data.splits import (
    Split,
    SplitConfig,
    SplitMethod,
    held_out_examples,
    split_by_time,
    split_dataset,
    split_leave_one_out,
    split_rows,
    split_users,
)
from llara.data.tables import Table
from llara.data.times import TimeUnit, UnclearTimeUnitError

__all__ = [
    "CandidateConfig",
    "CandidateSet",
    "Catalog",
    "Dataset",
    "DatasetInfo",
    "Description",
    "Distribution",
    "Examples",
    "Id",
    "IntArray",
    "InteractionLog",
    "Noun",
    "ReleasedRows",
    "Sequences",
    "Split",
    "SplitConfig",
    "SplitMethod",
    "SplitName",
    "Table",
    "TimeUnit",
    "UnclearTimeUnitError",
    "describe_dataset",
    "draw_candidates",
    "examples_at",
    "held_out_examples",
    "item_order",
    "last_examples",
    "load_dataset",
    "new_folder",
    "plot_description",
    "popularity_weights",
    "prefix_examples",
    "read_candidates",
    "sample_candidates",
    "sha256_of",
    "split_by_time",
    "split_dataset",
    "split_leave_one_out",
    "split_rows",
    "split_users",
    "write_atomically",
    "write_candidates",
    "write_dataset",
    "write_parquet",
]

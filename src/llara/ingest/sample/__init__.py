"""The bundled sample: real public-domain books, simulated readers (docs/sample.md says which is which)."""

from llara.ingest.sample.books import SUBJECTS, load_books
from llara.ingest.sample.readers import ReaderConfig, hidden_circles, make_sample, simulate_readers

__all__ = ["SUBJECTS", "ReaderConfig", "hidden_circles", "load_books", "make_sample", "simulate_readers"]

"""From other people's files to a dataset folder: logs, released rows, known data sets, the bundled sample."""

from llara.ingest.logs import LogColumns, import_log
from llara.ingest.readers import read_table
from llara.ingest.released import import_rows
from llara.ingest.shaping import ShapeConfig
from llara.ingest.text_files import TextFormat

__all__ = ["LogColumns", "ShapeConfig", "TextFormat", "import_log", "import_rows", "read_table"]

"""The command line: every command, with `--help`, `--json`, and exit codes 0 (done), 1 (our fault), 2 (the input's)."""

from llara.cli.app import app, main

__all__ = ["app", "main"]

"""Terms of what is downloaded: shown, and accepted before anything else happens."""

import sys

import typer

from llara.cli import console
from llara.errors import ConfigError


def accept_terms(name: str, *, title: str, homepage: str, terms: str, accepted: bool, ask: bool) -> None:
    """Show whose it is and on which terms, and go on only if they are accepted, here or by an option.

    Raises:
        ConfigError: If they are not accepted and nobody can be asked.
    """
    console.say(f"{title}\n{homepage}\nTerms: {terms}")
    if accepted:
        return
    if not (ask and sys.stdin.isatty()):
        raise ConfigError(
            f"the terms of {name!r} must be accepted before anything is downloaded: {terms} "
            "Pass --accept-license if you do."
        )
    if not typer.confirm("Do you accept them?", err=True):
        raise typer.Exit(2)

"""Options that several commands share."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout; logs stay on stderr.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there already.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, such as train.epochs=2; repeatable."),
]
AcceptLicense = Annotated[
    bool, typer.Option("--accept-license", help="Accept the publisher's terms, which are shown otherwise.")
]

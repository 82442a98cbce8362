"""How a plan looks on a terminal."""

import math

from rich.table import Table

from llara.cli import console
from llara.run.plan import Plan


def show_plan(plan: Plan) -> None:
    """The plan as a table on stdout, what is uncertain marked."""
    table = Table("stage", "what", "time", "may be off by", title=f"plan for {plan.device}", title_justify="left")
    for stage in plan.stages:
        table.add_row(
            stage.name,
            stage.amount,
            ("at most " if stage.is_limit else "") + duration(stage.seconds),
            share(stage.uncertainty),
        )
    table.add_section()
    limits = any(stage.is_limit for stage in plan.stages)
    table.add_row("whole run", "", ("at most " if limits else "") + duration(plan.seconds), share(plan.uncertainty))
    console.out.print(table)
    memory = f"memory: about {plan.peak_bytes / 1e9:.1f} GB"
    if plan.peak_gpu_bytes is not None:
        memory += f", on the GPU {plan.peak_gpu_bytes / 1e9:.1f} GB"
    console.out.print(memory, highlight=False)


def share(uncertainty: float) -> str:
    """A share as a person reads it; empty where it is not worth a word."""
    return f"{uncertainty:.0%}" if uncertainty >= 0.005 else ""


def duration(seconds: float) -> str:
    """Seconds as a person says them: "40 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"

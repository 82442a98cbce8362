"""How a checked backbone looks on a terminal."""

from rich.table import Table
from rich.text import Text

from llara.cli import console
from llara.model.selftest import WHAT
from llara.run.backbones.check import CheckedBackbone
from llara.run.backbones.prompts import PromptCost, Spread

_LONGEST_FRAME = 200


def show_checked_backbone(checked: CheckedBackbone) -> None:
    """Facts, the self-test, prompts, and what to set."""
    table = Table(title=Text(checked.path), show_header=False, title_justify="left")
    for name, value in {**_facts(checked), **_self_test(checked)}.items():
        table.add_row(name, Text(value))
    if checked.prompts is not None:
        table.add_section()
        for name, value in _prompts(checked.prompts).items():
            table.add_row(name, Text(value))
    console.out.print(table)
    advice = Table("set", "why", title="what to set", title_justify="left")
    for entry in checked.advice:
        advice.add_row(Text(entry.setting), Text(entry.why))
    console.out.print(advice)
    if not checked.usable:
        console.say("This model cannot be used: see the self-test. Choose another backbone.")
    elif checked.prompts is None:
        console.say("--data FOLDER measures what the prompts of a data set take: tokens and memory.")


def _facts(checked: CheckedBackbone) -> dict[str, str]:
    model, tokenizer = checked.model, checked.tokenizer
    special = ", ".join(f"{name.removesuffix('_token')} {token}" for name, token in tokenizer.special.items())
    positions = "any number of" if model.positions is None else f"{model.positions:,}"
    training = 16 * model.num_trained / 1e6  # weight, gradient and two moments in float32
    facts = {
        "architecture": f"{model.architecture}, {model.layers} layers of width {model.width}",
        "size": f"{_millions(model.num_weights)}, {model.weight_bytes / 1e6:,.0f} MB in {model.held_in}",
        "trained by LoRA": f"{_millions(model.num_trained)}, {training:,.0f} MB with what training keeps",
        "reads": f"{positions} tokens",
        "tokenizer": f"{tokenizer.kind}, {tokenizer.vocabulary:,} tokens; {special}",
        "chat template": "none",
    }
    if tokenizer.has_chat_template:
        frame = " ".join(tokenizer.frame.split())[:_LONGEST_FRAME]
        facts["chat template"] = f"yes; {tokenizer.frame_tokens} tokens around each prompt: {frame}"
    return facts


def _millions(count: int) -> str:
    return f"{count / 1e6:,.1f} million weights" if count >= 1e6 else f"{count:,} weights"


def _self_test(checked: CheckedBackbone) -> dict[str, str]:
    if not checked.faults:
        return {"self-test": "passed: training and scores are those of plain forward passes"}
    uses = ", ".join(use for use, works in checked.uses.items() if works) or "nothing"
    reasons = "; ".join(f"{WHAT[way]}: {reason}" for way, reason in checked.faults.items())
    return {"self-test": f"exact for {uses}. {reasons}"}


def _prompts(prompts: PromptCost) -> dict[str, str]:
    what = f"{prompts.history_length} items and {prompts.candidates} candidates"
    return {
        "prompts of": f"{prompts.data}, {what}",
        "tokens a prompt": _spread(prompts.prompt_tokens),
        "tokens a title": _spread(prompts.title_tokens),
        "memory a row": f"{prompts.row_bytes / 1e6:,.0f} MB in training, at {prompts.row_tokens} tokens",
    }


def _spread(spread: Spread) -> str:
    return f"half have at most {spread.median}, 95 % at most {spread.most}, the longest {spread.largest}"

"""What to set for a pretrained model: rules of thumb, each with the number that it follows from."""

from collections.abc import Collection
from dataclasses import dataclass

from llara.run.backbones.prompts import PromptCost

_LONG_FRAME = 12
_LONG_TITLE = 12
_ROOM = 4e9
"""Bytes for the rows of a micro-batch; on most machines as much is free."""
_LARGEST_MICRO_BATCH = 16


@dataclass(frozen=True)
class Advice:
    """A setting and why.

    Attributes:
        setting: KEY=VALUE, as after `--set`.
        why: The reason.
    """

    setting: str
    why: str


def advise(
    path: str, *, prompts: PromptCost | None, positions: int | None, frame_tokens: int, faults: Collection[str]
) -> tuple[Advice, ...]:
    """Settings for a run with this model.

    Args:
        path: As `backbone.path`.
        prompts: What prompts cost, where it is known.
        positions: Most tokens that the model reads.
        frame_tokens: Tokens that the chat template puts around a prompt.
        faults: Ways of reading that are not exact.
    """
    found = [
        Advice(f"backbone.path={path}", "this model"),
        Advice("backbone.tuning=lora", "its weights stay; leave out practice and part_vectors, which are for nano"),
    ]
    if "tree" in faults:
        found.append(Advice("train.objective.name=listwise", "exact answers are not confirmed for it"))
    if frame_tokens > _LONG_FRAME:
        why = f"saves {frame_tokens} tokens a prompt that the chat template adds"
        found.append(Advice("prompt.chat_template=never", why))
    if prompts is not None:
        found += _about_prompts(prompts, positions)
    return tuple(found)


def _about_prompts(prompts: PromptCost, positions: int | None) -> list[Advice]:
    found = []
    titles = prompts.title_tokens
    too_long = positions is not None and prompts.prompt_tokens.largest > positions
    if titles.most > _LONG_TITLE or too_long:
        why = f"titles have up to {titles.largest} tokens, {titles.median} in the middle"
        if too_long:
            why = f"prompts have up to {prompts.prompt_tokens.largest} tokens, the model reads {positions}; {why}"
        found.append(Advice(f"prompt.max_title_tokens={max(8, round(1.25 * titles.median))}", why))
    fits = [size for size in (1, 2, 4, 8, 16) if size * prompts.row_bytes <= _ROOM or size == 1]
    micro = min(_LARGEST_MICRO_BATCH, max(fits))
    why = f"its rows keep {micro * prompts.row_bytes / 1e9:.1f} GB"
    return [*found, Advice(f"train.micro_batch_size={micro}", why)]

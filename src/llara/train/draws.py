"""What training prompts show: candidates and wording of each row, drawn anew each epoch."""

from dataclasses import dataclass

import numpy as np

from llara.data import CandidateSet, Examples, IntArray, sample_candidates
from llara.prompt import PromptEncoder

_CANDIDATE_STREAM = 0x7EA1
_TEMPLATE_STREAM = 0x3A6E


@dataclass(frozen=True, eq=False)
class Draws:
    """Candidates, wordings and lengths of training prompts: pure functions of (seed, epoch, row).

    Attributes:
        examples: Training histories and targets.
        encoder: Wordings, titles and tokenizer.
        num_negatives: Negatives beside the target.
        answers: Whether the prompts carry the target's answer, which adds to their length.
        seed: Seed of all draws.
    """

    examples: Examples
    encoder: PromptEncoder
    num_negatives: int
    answers: bool
    seed: int

    def drawn(self, rows: IntArray, epoch: int) -> tuple[CandidateSet, list[int]]:
        """Candidates and number of the wording of some rows in an epoch."""
        candidates = sample_candidates(
            self.examples.select(rows),
            num_items=self.encoder.num_items,
            num_negatives=self.num_negatives,
            seed=self.seed + _CANDIDATE_STREAM,
            draw=epoch,
            row_numbers=rows,
        )
        seeds = ([self.seed, _TEMPLATE_STREAM, epoch, int(row)] for row in rows)
        return candidates, [int(np.random.default_rng(seed).integers(1 << 30)) for seed in seeds]

    def lengths(self, rows: IntArray, epoch: int) -> IntArray:
        """Tokens of the prompts of some rows in an epoch, with their answers, [n]."""
        examples = self.examples.select(rows)
        candidates, templates = self.drawn(rows, epoch)
        lengths = self.encoder.prompt_lengths(examples.histories(), candidates.items.tolist(), templates)
        if self.answers:
            lengths += np.array([len(self.encoder.answer_tokens(int(target))) - 1 for target in examples.target])
        return lengths

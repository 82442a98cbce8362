"""Beyond the paper: besides the next item, the recommender's own judgment of all items is something to learn."""

from torch import Tensor

from llara.model import LlaraOutput, scores_after_items
from llara.prompt import PromptBatch
from llara.recommender import Recommender


def teacher_of(recommender: Recommender) -> Recommender:
    """Whose judgment is learned: the recommender's, or that of a fusion's first member.

    The other members of a fusion may be counts, which know their own training users by heart, and its weights are
    fitted on users that no member knows.
    """
    return recommender.parts[0] if recommender.parts else recommender


def softened(
    losses: Tensor, output: LlaraOutput, batch: PromptBatch, *, recommender: Recommender, share: float
) -> Tensor:
    """Losses of histories alone, of which a share is the cross-entropy with the recommender's softmax, [M].

    Both softmaxes are over the items that were drawn for the step, or the whole catalog. Targets of text-only rows keep
    their losses: they know nothing of the recommender.

    Args:
        losses: Of each target, in nats, [M].
        output: With `sequence`, [M, S].
        batch: Histories with what follows each item, on the same device.
        recommender: Who is asked, see `teacher_of`.
        share: In [0, 1).

    Source:
        Hinton et al., "Distilling the Knowledge in a Neural Network" (arXiv:1503.02531), at temperature 1.
    """
    assert output.sequence is not None
    scored = None if output.items is None else output.items.indices[: output.items.num_drawn]
    judged = scores_after_items(teacher_of(recommender), batch, scored)
    own = output.sequence.float()
    # Without what was added because it is a target, and without padding.
    own, judged = (own[:, 1:], judged[:, 1:]) if scored is None else (own[:, : len(scored)], judged)
    soft = -(judged.softmax(dim=1) * own.log_softmax(dim=1)).sum(dim=1)
    rows = (batch.next_items != 0).nonzero()[:, 0]
    weight = share * batch.hybrid[rows].float()
    mixed: Tensor = (1 - weight) * losses + weight * soft
    return mixed

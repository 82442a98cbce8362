"""The sequence head: the state at each item of a history, compared with a vector of every item of the catalog."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from llara.prompt import PromptBatch
from llara.recommender import Recommender


class SequenceHead(nn.Module):
    """Scores of all items from states of the language model, as sequential recommenders have them.

    An item's vector is the sum of three parts: its recommender vector, projected; the vector of its text, projected;
    and a learned one, which begins at zero. Text-only prompts are compared without the first. An item that no training
    user has chosen has its text's part alone: its recommender vector and its learned part have only ever been told that
    it is not the answer.

    Args:
        item_table: The recommender's item vectors, row 0 padding, [num_items + 1, R].
        texts: A vector of each item's text, row 0 padding, [num_items + 1, V]; see `llara.model.text_vectors`.
        state_width: Width D of the language model's states.
        width: Width K in which states and items are compared.
        seed: Seed of the initial weights.
        learns_prior: Whether the weight of the scores that stand under the head is learned.
    """

    behavior: Tensor
    texts: Tensor
    is_known: Tensor

    def __init__(
        self, item_table: Tensor, texts: Tensor, *, state_width: int, width: int, seed: int, learns_prior: bool
    ) -> None:
        super().__init__()
        self.register_buffer("behavior", standardized(item_table), persistent=False)
        self.register_buffer("texts", standardized(texts))
        self.register_buffer("is_known", torch.ones(len(texts)))
        self.of_state = _unset_linear(state_width, width, bias=True)
        self.of_behavior = _unset_linear(item_table.shape[1], width, bias=False)
        self.of_text = _unset_linear(texts.shape[1], width, bias=False)
        self.prior_weight = nn.Parameter(torch.ones(()), requires_grad=learns_prior)
        self.learned = nn.Parameter(torch.zeros(len(texts), width))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            # Vectors of about length 1, and states that compare with them all nearly alike: training begins at what
            # stands under the head, such as the recommender's own scores.
            for part in (self.of_behavior, self.of_text):
                part.weight.normal_(std=(part.in_features * width) ** -0.5, generator=generator)
            self.of_state.weight.normal_(std=0.02, generator=generator)
            self.of_state.bias.zero_()

    def know(self, is_known: Tensor) -> None:
        """Say which items have been chosen by a training user, bool [num_items + 1]."""
        self.is_known.copy_(is_known.to(self.is_known))

    def take_items(self, item_table: Tensor) -> None:
        """Compare with another recommender's item vectors of the same width from now on."""
        self.behavior = standardized(item_table).to(self.behavior)

    def item_vectors(self) -> tuple[Tensor, Tensor]:
        """Vectors of all items, row 0 padding, [num_items + 1, K] each: of text and learned part, and of behavior."""
        known = self.is_known[:, None]
        return self.of_text(self.texts) + known * self.learned, known * self.of_behavior(self.behavior)

    def forward(self, states: Tensor, hybrid: Tensor, items: Tensor | None = None) -> Tensor:
        """Scores of items, higher is better; in float32 whatever the states are.

        Args:
            states: Final states of the language model, [M, D].
            hybrid: Whether a state is that of a hybrid prompt: others are compared with what text tells and with the
                learned part, and know nothing of the recommender, bool [M].
            items: Indices of the items to score, [S]; None: of all, padding with -inf.

        Returns:
            [M, S] or [M, num_items + 1].
        """
        with torch.autocast(states.device.type, enabled=False):
            queries = self.of_state(functional.layer_norm(states.float(), states.shape[-1:]))
            vectors = torch.cat(self.item_vectors(), dim=1)  # [num_items + 1, 2 K]
            both = torch.cat([queries, queries * hybrid[:, None]], dim=1)  # [M, 2 K]
            if items is not None:
                scores: Tensor = both @ vectors[items].T
                return scores
            scores = both @ vectors.T
            scores[:, 0] = float("-inf")
            return scores


@torch.no_grad()
def scores_after_items(recommender: Recommender, batch: PromptBatch, items: Tensor | None) -> Tensor:
    """A recommender's scores where the head has some, after each item that is followed or the last of each row, [M, S].

    Args:
        recommender: On the batch's device.
        batch: Histories alone.
        items: Indices of the items to score, [S]; None: all, padding with -inf, [M, num_items + 1].
    """
    history = batch.history_items
    with torch.autocast(history.device.type, enabled=False):  # its scores are those that it has by itself
        if batch.next_items.shape[1] == 0:
            of_all = recommender.score_all(history).float()
            return of_all if items is None else of_all[:, items]
        found = recommender.score_each(history, items).float()
    return found[(batch.next_items != 0)[history != 0]]


def standardized(table: Tensor) -> Tensor:
    """Columns with mean 0 and deviation 1 over the items, row 0 zero; a constant column becomes 0."""
    items = table[1:].float()
    scaled = (items - items.mean(0)) / items.std(0, unbiased=False).clamp_min(1e-6)
    return torch.cat([scaled.new_zeros(1, scaled.shape[1]), scaled])


def _unset_linear(inputs: int, outputs: int, *, bias: bool) -> nn.Linear:
    """A layer whose weights are yet to be drawn, so that making it takes no random number from others."""
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs, bias=bias)  # type: ignore[no-untyped-call]
    return layer

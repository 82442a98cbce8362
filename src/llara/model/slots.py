"""Kinds of slots: who provides the vector of a prompt position. A new kind: one class, one `register_slot_kind`."""

from typing import Protocol

import torch
from torch import Tensor, nn

from llara.errors import ConfigError
from llara.model.projector import Projector
from llara.prompt.slots import ITEM, add_slot_field
from llara.prompt.templates import FIELDS
from llara.recommender import Recommender


class SlotHost(Protocol):
    """What a kind may use of the network that it serves.

    Attributes:
        item_table: The recommender's item vectors, row 0 padding, [num_items + 1, R].
        recommender: Frozen.
        projector: From item vectors to the backbone's width.
        slots: What the kinds made by `build`, by name.
        width: Width D of the backbone.
        seed: Seed of the initial weights.
    """

    item_table: Tensor
    recommender: Recommender
    projector: Projector
    slots: nn.ModuleDict

    @property
    def width(self) -> int:  # noqa: D102 - said above
        ...

    @property
    def seed(self) -> int:  # noqa: D102 - said above
        ...


class SlotKind(Protocol):
    """One kind of slot."""

    name: str

    def build(self, host: SlotHost) -> nn.Module | None:
        """Weights of its own, which are trained and saved as `slots.NAME`; None: it has none."""
        ...

    def vectors(self, host: SlotHost, keys: Tensor, histories: Tensor) -> Tensor:
        """The vectors of some slots.

        Args:
            host: The network.
            keys: What each slot is about, such as item indices, [S].
            histories: The history of each slot's row: item indices, oldest first, 0 at the end, [S, L].

        Returns:
            [S, D].
        """
        ...


class ItemSlot:
    """An item: its projected vector of the recommender's table."""

    name = ITEM

    def build(self, host: SlotHost) -> None:
        """Nothing beside the network's projector."""

    def vectors(self, host: SlotHost, keys: Tensor, histories: Tensor) -> Tensor:
        """Each item is projected once."""
        items, place = torch.unique(keys, return_inverse=True)
        projected: Tensor = host.projector(host.item_table[items])[place]
        return projected


class UserSlot:
    """The user as the recommender sees them: its state after the history, projected by weights of its own."""

    name = "user"

    def build(self, host: SlotHost) -> nn.Module:
        """A projector, standardized by the items' vectors, which states are compared with."""
        return Projector(host.item_table, host.width, target_norm=host.projector.target_norm, seed=host.seed)

    def vectors(self, host: SlotHost, keys: Tensor, histories: Tensor) -> Tensor:
        """States depend on the history alone."""
        with torch.no_grad(), torch.autocast(histories.device.type, enabled=False):
            states = host.recommender.encode(histories).to(host.item_table.dtype)
        projected: Tensor = host.slots[self.name](states)
        return projected


SLOT_KINDS: dict[str, SlotKind] = {ITEM: ItemSlot()}


def register_slot_kind(kind: SlotKind) -> None:
    """Let templates name `{NAME}`; models made afterwards have its vectors there.

    Raises:
        ConfigError: If the name is taken or is no name.
    """
    if kind.name in SLOT_KINDS or kind.name in FIELDS or not kind.name.isidentifier():
        raise ConfigError(f"slot kind '{kind.name}': the name is taken or no identifier. Choose another.")
    SLOT_KINDS[kind.name] = kind
    add_slot_field(kind.name)


register_slot_kind(UserSlot())

"""Answers as a trie: what several of them have in common at their beginning is read once."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class AnswerTrie:
    """Nodes read tokens, edges predict them.

    Node 0 is the prompt's last token; every further node reads one token after its parent. Nodes are in preorder, so a
    subtree is a stretch of nodes. End tokens are predicted, never read.

    Attributes:
        tokens: Token that each node after the first reads, [N - 1].
        depths: How far each of them is from node 0, [N - 1].
        ends: First node that is no longer below each of them, [N - 1].
        edge_nodes: Node of each edge, [E].
        edge_tokens: Token of each edge, [E].
        paths: Edges from node 0 to each answer's end, one list per answer.
    """

    tokens: list[int]
    depths: list[int]
    ends: list[int]
    edge_nodes: list[int]
    edge_tokens: list[int]
    paths: list[list[int]]


def build_trie(answers: Sequence[Sequence[int]]) -> AnswerTrie:
    """The trie of some answers.

    Args:
        answers: Token ids, each with its end token.
    """
    tokens: list[int] = []
    depths: list[int] = []
    ends: list[int] = []
    edge_nodes: list[int] = []
    edge_tokens: list[int] = []
    paths: list[list[int]] = [[] for _ in answers]
    nodes, edges, previous = [0], [], ()  # type: list[int], list[int], Sequence[int]
    for place in sorted(range(len(answers)), key=lambda number: tuple(answers[number])):
        answer = answers[place]
        shared = _shared_length(previous, answer)
        _close(nodes, min(shared, len(answer) - 1), ends, len(tokens) + 1)
        del edges[shared:]
        for depth in range(len(nodes), len(answer)):
            nodes.append(len(tokens) + 1)
            tokens.append(answer[depth - 1])
            depths.append(depth)
            ends.append(0)
        for depth in range(shared, len(answer)):
            edges.append(len(edge_nodes))
            edge_nodes.append(nodes[depth])
            edge_tokens.append(answer[depth])
        paths[place] = list(edges)
        previous = answer
    _close(nodes, 0, ends, len(tokens) + 1)
    return AnswerTrie(tokens, depths, ends, edge_nodes, edge_tokens, paths)


def _shared_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two answers have in common at their beginning."""
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return place
    return min(len(one), len(other))


def _close(nodes: list[int], depth: int, ends: list[int], following: int) -> None:
    """Leave the open nodes deeper than `depth`: what follows is not below them."""
    for node in nodes[depth + 1 :]:
        ends[node - 1] = following
    del nodes[depth + 1 :]

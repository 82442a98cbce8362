"""The trie of answers: every answer is spelled by its path, nothing is read twice, subtrees are stretches."""

from hypothesis import given
from hypothesis import strategies as st

from llara.prompt.trie import build_trie

END = 2
ANSWERS = st.lists(st.lists(st.integers(3, 6), max_size=5).map(lambda tokens: [*tokens, END]), min_size=1, max_size=8)


def ancestors(node: int, ends: list[int]) -> list[int]:
    """Nodes above a node and itself, without node 0, by the stretches that hold it."""
    return [other for other in range(1, node + 1) if node < ends[other - 1]]


@given(ANSWERS)
def test_each_path_spells_its_answer_and_reads_what_it_predicted(answers: list[list[int]]) -> None:
    trie = build_trie(answers)
    for answer, path in zip(answers, trie.paths, strict=True):
        assert [trie.edge_tokens[edge] for edge in path] == answer
        for depth, edge in enumerate(path):
            node = trie.edge_nodes[edge]
            above = ancestors(node, trie.ends) if node else []
            assert [trie.tokens[other - 1] for other in above] == answer[:depth]
            assert [trie.depths[other - 1] for other in above] == list(range(1, depth + 1))


@given(ANSWERS)
def test_what_answers_share_is_read_and_predicted_once(answers: list[list[int]]) -> None:
    trie = build_trie(answers)
    assert len(trie.tokens) == len({tuple(answer[:depth]) for answer in answers for depth in range(1, len(answer))})
    predicted = {(tuple(answer[:depth]), answer[depth]) for answer in answers for depth in range(len(answer))}
    assert len(trie.edge_tokens) == len(predicted)


def test_a_trie_worked_by_hand() -> None:
    trie = build_trie([[10, 11, END], [10, END], [10, 11, END], [9, END]])
    assert trie.tokens == [9, 10, 11]
    assert trie.depths == [1, 1, 2]
    assert trie.ends == [2, 4, 4]
    assert list(zip(trie.edge_nodes, trie.edge_tokens, strict=True)) == [
        (0, 9), (1, END), (0, 10), (2, END), (2, 11), (3, END),
    ]  # fmt: skip
    assert trie.paths == [[2, 4, 5], [2, 3], [2, 4, 5], [0, 1]]

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from llara.errors import ConfigError
from llara.model import Llara, LlaraOutput
from llara.prompt import EncodedPrompt, PromptBatch, collate
from llara.train import ObjectiveConfig, answer_losses, listwise_losses, register_objective
from llara.train.objectives import Answer, Listwise

LOG_PROBS = torch.tensor([-1.0, -2.0, -6.0, -0.5])  # three answer tokens of the first example, one of the second
SCORES = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, float("-inf")]])  # the second example has two candidates
COLUMNS = torch.tensor([1, 0])
FIRST_LISTWISE = math.log(math.exp(1) + math.exp(2) + 1) - 2


@pytest.fixture
def batch() -> PromptBatch:
    prompts = [
        EncodedPrompt([1, 2, 3], [], [], [0, 1, 2], [1, 2, 3], history_items=[4], parts=[2, 2, 2]),
        EncodedPrompt([1, 2], [], [], [0, 1], [1, 2], history_items=[4], parts=[2, 2]),
    ]
    return collate(prompts, hybrid=[True, False], filler=0, answers=[[7, 8, 9], [4]])


@pytest.fixture
def output() -> LlaraOutput:
    return LlaraOutput(answer_log_probs=LOG_PROBS, listwise=SCORES)


def test_answer_loss_is_the_mean_over_the_examples_own_tokens(output: LlaraOutput, batch: PromptBatch) -> None:
    torch.testing.assert_close(answer_losses(output, batch), torch.tensor([3.0, 0.5]))


def test_listwise_loss_is_the_softmax_over_the_rows_own_candidates(output: LlaraOutput) -> None:
    torch.testing.assert_close(listwise_losses(output, COLUMNS), torch.tensor([FIRST_LISTWISE, math.log(2)]))


def test_the_sum_weighs_both(output: LlaraOutput, batch: PromptBatch) -> None:
    config = ObjectiveConfig(name="sum", answer_weight=2.0, listwise_weight=0.5)
    expected = torch.tensor([2 * 3.0 + 0.5 * FIRST_LISTWISE, 2 * 0.5 + 0.5 * math.log(2)])
    torch.testing.assert_close(config.losses(output, batch, COLUMNS), expected)


def test_the_name_picks_the_loss_and_what_the_model_must_compute(output: LlaraOutput, batch: PromptBatch) -> None:
    answer, listwise, both = (ObjectiveConfig(name=name) for name in ("answer", "listwise", "sum"))
    torch.testing.assert_close(answer.losses(output, batch, COLUMNS), answer_losses(output, batch))
    torch.testing.assert_close(listwise.losses(output, batch, COLUMNS), listwise_losses(output, COLUMNS))
    assert [(config.needs_answers, config.trains) for config in (answer, listwise, both)] == [
        (True, ("answer",)),
        (False, ("listwise",)),
        (True, ("listwise", "answer")),
    ]


def gradients(llara: Llara, hybrid: list[bool]) -> dict[str, Tensor]:
    """Gradients of the summed loss over as many rows as `hybrid` has."""
    rows = [([3, 8, 20], [1, 2, 9, 4]), ([11, 5], [5, 19, 2, 1])][: len(hybrid)]
    prompts = [llara.encode_prompt(history, candidates) for history, candidates in rows]
    answers = [llara.encoder.answer_tokens(candidates[0]) for _, candidates in rows]
    batch = collate(prompts, hybrid=hybrid, filler=llara.encoder.filler, answers=answers)
    llara.zero_grad()
    targets = torch.zeros(len(rows), dtype=torch.long)
    loss = ObjectiveConfig(name="sum").losses(llara(batch), batch, targets).sum()
    torch.autograd.backward(loss)
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in llara.named_parameters()
        if p.requires_grad
    }


def test_text_only_rows_teach_the_placeholder_and_never_the_projector(tiny_llara: Callable[..., Llara]) -> None:
    found = gradients(tiny_llara(), [False, False])
    assert all(not gradient.any() for name, gradient in found.items() if name.startswith("projector."))
    assert found["placeholder"].any()
    assert found["head.weight"].any()


def test_hybrid_rows_teach_the_projector_and_never_the_placeholder(tiny_llara: Callable[..., Llara]) -> None:
    found = gradients(tiny_llara(), [True, True])
    assert all(gradient.any() for name, gradient in found.items() if name.startswith("projector."))
    assert not found["placeholder"].any()


def test_a_text_only_row_beside_a_hybrid_one_adds_nothing_to_the_projector(tiny_llara: Callable[..., Llara]) -> None:
    llara = tiny_llara()
    alone, mixed = gradients(llara, [True]), gradients(llara, [True, False])
    for name in ("projector.first.weight", "projector.second.weight"):
        torch.testing.assert_close(mixed[name], alone[name], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(mixed["head.weight"], alone["head.weight"])


@pytest.mark.parametrize(("key", "value"), [("name", "pairwise"), ("answer_weight", 0.0), ("listwise_weight", -1.0)])
def test_a_wrong_objective_is_refused_by_its_full_key(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"train\.objective\.{key} must be .*{value}"):
        ObjectiveConfig(**{key: value})  # type: ignore[arg-type]


def test_a_mistyped_objective_is_told_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"of answer, listwise, sequence, sum.*'liswise'\. Did you mean 'listwise'\?"):
        ObjectiveConfig(name="liswise")


def test_settings_that_are_not_the_objectives_own_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"train\.objective\.settings do not fit the objective 'listwise'"):
        ObjectiveConfig(name="listwise", settings={"margin": 0.5})


def test_a_name_that_is_taken_is_not_replaced() -> None:
    with pytest.raises(ConfigError, match="an objective 'answer' exists already"):
        register_objective("answer", lambda _: Listwise())
    assert isinstance(ObjectiveConfig(name="answer").build(), Answer)

"""RecBole's SASRec with its default settings; one JSON object with the ranks of all test targets into a file.

Runs in an environment of its own, without llara: see benchmarks/recbole_comparison.py.

python benchmarks/recbole_sasrec.py FOLDER OUTPUT --max-minutes 30
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from recbole import __version__ as recbole_version
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.dataloader import FullSortEvalDataLoader, TrainDataLoader
from recbole.data.dataset import SequentialDataset
from recbole.model.sequential_recommender import SASRec
from recbole.trainer import Trainer
from recbole.utils import init_seed

_SETTINGS = {
    "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
    "train_neg_sample_args": None,  # the loss is a softmax over all items
    "eval_args": {"split": {"LS": "valid_and_test"}, "group_by": "user", "order": "TO", "mode": "full"},
    "metrics": ["NDCG", "Hit"],
    "valid_metric": "NDCG@10",
    "use_gpu": False,
    "show_progress": False,
}


class _TimeIsUpError(Exception):
    pass


def main() -> None:
    """Fit, load the best epoch, rank."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="holds log/log.inter")
    parser.add_argument("output", type=Path)
    parser.add_argument("--max-minutes", type=float, default=30.0, help="no further epoch begins after them")
    parser.add_argument("--seed", type=int, default=2020)
    options = parser.parse_args()
    sys.argv = sys.argv[:1]  # RecBole reads it as well
    settings = {**_SETTINGS, "data_path": str(options.folder), "seed": options.seed}
    settings["checkpoint_dir"] = str(options.folder / "saved")
    config = Config(model="SASRec", dataset="log", config_dict=settings)
    init_seed(config["seed"], config["reproducibility"])
    dataset = create_dataset(config)
    train_data, valid_data, test_data = data_preparation(config, dataset)
    init_seed(config["seed"], config["reproducibility"])
    model = SASRec(config, train_data.dataset)
    trainer = Trainer(config, model)
    epochs = _fit(trainer, train_data, valid_data, max_seconds=60 * options.max_minutes)
    checkpoint = torch.load(trainer.saved_model_file, weights_only=False)
    model.load_state_dict(checkpoint["state_dict"])
    found = trainer.evaluate(test_data, load_best_model=False)
    names = ("train_batch_size", "learning_rate", "MAX_ITEM_LIST_LENGTH", "hidden_size", "n_layers", "n_heads")
    report = {
        "version": recbole_version,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "settings": {name: config[name] for name in (*names, "hidden_dropout_prob", "stopping_step")},
        "epochs": epochs,
        "best_epoch": 1 + max(range(len(epochs)), key=lambda place: epochs[place]["valid_ndcg"]),
        "its_own_ndcg": float(found["ndcg@10"]),
        "targets": _ranked(model, dataset, test_data),
    }
    options.output.write_text(json.dumps(report), encoding="utf-8")


def _fit(
    trainer: Trainer, train_data: TrainDataLoader, valid_data: FullSortEvalDataLoader, *, max_seconds: float
) -> list[dict[str, float]]:
    """Fit until RecBole stops by itself or the time is up; one record per epoch."""
    epochs: list[dict[str, float]] = []
    started = time.perf_counter()

    def follow(_: int, score: float) -> None:
        epochs.append({"seconds": time.perf_counter() - started, "valid_ndcg": float(score)})
        print(f"epoch {len(epochs)}: {epochs[-1]}", file=sys.stderr, flush=True)
        if epochs[-1]["seconds"] > max_seconds:
            raise _TimeIsUpError

    try:
        trainer.fit(train_data, valid_data, saved=True, show_progress=False, callback_fn=follow)
    except _TimeIsUpError:
        print("the time is up", file=sys.stderr)
    return epochs


@torch.no_grad()
def _ranked(
    model: SASRec, dataset: SequentialDataset, test_data: FullSortEvalDataLoader
) -> dict[str, dict[str, object]]:
    """By user: the target and its rank among all items, with and without the items that the user has had."""
    model.eval()
    users, items = (dataset.field2id_token[field] for field in (dataset.uid_field, dataset.iid_field))
    had: dict[int, list[int]] = {}
    feature = dataset.inter_feat
    for user, item in zip(feature[dataset.uid_field].tolist(), feature[dataset.iid_field].tolist(), strict=True):
        had.setdefault(user, []).append(item)
    ranked = {}
    for interaction, _, _, targets in test_data:
        scores = model.full_sort_predict(interaction)
        scores[:, 0] = -torch.inf
        for row, (user, target) in enumerate(
            zip(interaction[dataset.uid_field].tolist(), targets.tolist(), strict=True)
        ):
            own = scores[row, target].clone()
            ranks = []
            for left_out in ([], had[user]):
                scores[row, left_out] = -torch.inf
                scores[row, target] = own
                ranks.append(1 + int((scores[row] > own).sum()))
            ranked[str(users[user])] = {"target": str(items[target]), "rank": ranks[1], "rank_with_history": ranks[0]}
    return ranked


if __name__ == "__main__":
    main()

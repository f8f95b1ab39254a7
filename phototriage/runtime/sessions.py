"""ONNX Runtime's sessions of a graph, with the server's options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from phototriage.common.errors import ModelFolderError
from phototriage.runtime import in_flight, providers
from phototriage.runtime.batching import Batcher, Run
from phototriage.settings import Settings

Images = NDArray[np.uint8]
Floats = NDArray[np.float32]

# TF32 keeps 10 bits of each factor: gradients would correlate by .8 to .9 with those of the golden vectors.
_OPTIONS: Mapping[str, Mapping[str, str]] = {providers.CUDA: {"use_tf32": "0"}}

WARM_UP_RUNS = 3  # the first runs allocate, and choose among convolution algorithms


class Sessions:
    """A graph, to be run from several threads at once.

    Each run has its share of the threads, so that as many as the server has run side by side; one that is alone has all
    of them, by a session of its own. Both give the same.
    """

    def __init__(self, model: bytes, name: str, settings: Settings) -> None:
        """`model` is a serialised graph. Raises ModelFolderError, ProviderUnavailable."""
        self.shared = open_session(model, name, settings)
        spare = settings.threads > settings.threads_of_a_run and providers.choose(settings.provider) == [providers.CPU]
        self._alone = open_session(model, name, settings, settings.threads) if spare else None

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """What the outputs of these names are for the inputs."""
        session = self._alone if self._alone is not None and in_flight.is_alone() else self.shared
        answers: list[NDArray[Any]] = session.run(outputs, inputs)
        return answers

    def warm_up(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> None:
        for session in [self.shared] if self._alone is None else [self.shared, self._alone]:
            for _ in range(WARM_UP_RUNS):
                session.run(outputs, inputs)


def open_session(
    model: bytes, name: str, settings: Settings, threads: int | None = None
) -> onnxruntime.InferenceSession:
    """A session of a serialised graph, with a run's share of the threads, or so many. Raises ModelFolderError,
    ProviderUnavailable."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads_of_a_run if threads is None else threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that wait by spinning take the cores from decoding, and from the run beside them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    chosen = providers.choose(settings.provider)
    try:
        session = onnxruntime.InferenceSession(
            model, options, providers=chosen, provider_options=[_OPTIONS.get(provider, {}) for provider in chosen]
        )
    except Exception as error:  # ONNX Runtime's errors have no common base but this
        raise ModelFolderError(f"{name}'s graph can't be loaded: {error}") from error
    providers.check(session, settings.provider, name)
    return session


def batcher(run: Run, name: str, settings: Settings) -> Batcher:
    """Calls of a session, as many at once as the server has them."""
    gpu = providers.choose(settings.provider)[0] == providers.CUDA
    return Batcher(run, name, settings.model_runs or 1, settings.max_batch or 1, buckets=gpu)

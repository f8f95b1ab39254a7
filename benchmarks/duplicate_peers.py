"""Ways to tell near-duplicates, each from pictures to codes and from codes to similarities.

Hashes are compared plain and mirrored. `imagehash` (pHash) and `pdqhash` (PDQ) are optional: `pip install -e .[bench]`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor, nn

from benchmarks.duplicate_pairs import BACKBONE_RULE, published_backbone
from phototriage import duplicates
from phototriage.common.errors import ModelFolderError
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.images.input_config import InputConfig
from phototriage.images.pixels import resize
from phototriage.models import embedder as served
from phototriage.models.loading import load_model
from phototriage.settings import Settings
from phototriage.verification import signature
from phototriage.verification.signature_cache import SignatureCache
from phototriage.verification.verifier import Verifier
from training.data.batches import to_pixels
from training.data.photos import Photos
from training.embedder.discriminant_head import fit_head
from training.loop.compute import Compute, use_bf16
from training.networks.embedder import Embedder, EmbedderSpec
from training.pairs.labelled_pairs import dhash

Codes = NDArray[Any]
Similarities = NDArray[np.float64]
Images = Sequence[Image.Image]


class Peer(Protocol):
    """A method. `own_threshold`: the one that it comes with, if any."""

    name: str
    own_threshold: float | None

    def describe(self, images: Images) -> Codes:
        """RGB pictures to codes, a row each."""

    def similarities(self, left: Codes, right: Codes) -> Similarities:
        """(n,) of each row of `left` with that row of `right`, 1 for the same picture."""


class Hash:
    """A perceptual hash, compared with the other picture's and with its mirror image's."""

    own_threshold: float | None = None

    def __init__(self, name: str, bits_of: Callable[[Image.Image], NDArray[np.bool_]]) -> None:
        """bits_of: an RGB picture to its bits, bool (bits,)."""
        self.name, self._bits_of = name, bits_of

    def describe(self, images: Images) -> Codes:
        """(n, 2, bits) bool: plain, mirrored."""
        return np.stack([[self._bits_of(image), self._bits_of(ImageOps.mirror(image))] for image in images])

    def similarities(self, left: Codes, right: Codes) -> Similarities:
        """1 less the share of differing bits, of the better of both ways round."""
        differing: Similarities = (left[:, :1] != right).mean(2, dtype=np.float64)
        closest: Similarities = 1 - differing.min(1)
        return closest


class Embedding:
    """A network whose embeddings are compared by their cosine."""

    def __init__(
        self,
        name: str,
        embed: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
        rule: InputConfig,
        own_threshold: float | None = None,
        layout_rescoring: LayoutRescoring | None = None,
    ) -> None:
        """embed: uint8 (n, H, W, 3), resized by the rule, to float32 (n, D)."""
        self.name, self.own_threshold = name, own_threshold
        self._embed, self._rule, self.layout_rescoring = embed, rule, layout_rescoring

    def describe(self, images: Images) -> Codes:
        return self._embed(np.stack([resize(image, self._rule).pixels for image in images]))

    def similarities(self, left: Codes, right: Codes) -> Similarities:
        return duplicates.similarities(left, right, self.layout_rescoring)


class Verified:
    """What is served: one picture is laid over the other, and the embeddings aren't asked."""

    def __init__(self, name: str, verifier: Verifier) -> None:
        self.name = name
        self.own_threshold: float | None = verifier.config.threshold
        self._verifier, self._decoded = verifier, SignatureCache()

    def describe(self, images: Images) -> Codes:
        """(n,) of encoded signatures."""
        codes = np.empty(len(images), object)
        codes[:] = [signature.encode(image) for image in images]
        return codes

    def similarities(self, left: Codes, right: Codes) -> Similarities:
        """The probability that verification gives."""
        pairs = zip(left, right, strict=True)
        verdicts = [self._verifier.verify(self._decoded(a), self._decoded(b)) for a, b in pairs]
        return np.array([verdict.probability for verdict in verdicts])


class BackboneMean(nn.Module):
    """A backbone's last maps, averaged over the image: no training of ours."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, pixels: Tensor) -> Tensor:
        return F.normalize(F.adaptive_avg_pool2d(self.backbone(pixels), 1).flatten(1))


def in_torch(network: nn.Module) -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    """The network, in evaluation mode, as a function of arrays."""
    network.eval()

    def embed(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            images = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
            found: NDArray[np.float32] = network(to_pixels(images, torch.device("cpu"))).numpy()
        return found

    return embed


def served_models(folder: Path) -> list[Peer]:
    """A model folder, as it is served: verified, where it can, and by its embeddings alone. Raises as `exported`."""
    model, alone = load_model(folder, Settings()), exported(folder)
    if not isinstance(model, served.Embedder) or model.verifier is None:
        return [alone]
    verified = Verified(model.name, model.verifier)
    alone.name = f"{model.name}, embeddings alone"
    return [verified, alone]


def exported(folder: Path) -> Embedding:
    """A model folder's embeddings. Raises ModelFolderError, also for another kind than an embedder."""
    model = load_model(folder, Settings())
    decision = model.manifest.decision
    if not isinstance(model, served.Embedder) or decision is None:
        raise ModelFolderError(f"{folder.name} is a {model.manifest.kind}, and only an embedder tells duplicates")
    return Embedding(model.name, model.embed, model.manifest.input, decision.threshold, decision.layout_rescoring)


def perceptual_hash() -> Hash:
    """pHash of 64 bits. Raises ImportError without imagehash."""
    library = import_module("imagehash")
    return Hash("pHash", lambda image: np.asarray(library.phash(image).hash, bool).ravel())


def difference_hash() -> Hash:
    """dHash of 64 bits."""
    shifts = np.arange(63, -1, -1, dtype=np.uint64)
    return Hash("dHash", lambda image: (np.uint64(dhash(image)) >> shifts & np.uint64(1)).astype(bool))


def pdq() -> Hash:
    """PDQ of 256 bits. Raises ImportError without pdqhash."""
    library = import_module("pdqhash")
    return Hash("PDQ", lambda image: np.asarray(library.compute(np.asarray(image.convert("RGB")))[0], bool))


def raw_backbone() -> Embedding:
    return Embedding("raw Lite0", in_torch(BackboneMean(published_backbone().backbone)), BACKBONE_RULE)


def frozen_backbone_head(photos: Photos, seed: int) -> Embedding:
    """A linear head by discriminant analysis on the published backbone, fitted to reposts of the train photos."""
    torch.manual_seed(seed)
    network = Embedder(EmbedderSpec()).eval()
    network.backbone.load_packaged()
    print("a head on the frozen backbone is fitted to views of train photos: minutes", file=sys.stderr, flush=True)
    fit_head(network, photos, BACKBONE_RULE, Compute(bf16=use_bf16("auto")), seed=seed)
    return Embedding("frozen backbone, head", in_torch(network), BACKBONE_RULE)


NAMES = ("phash", "dhash", "pdq", "backbone", "head")


def peers(names: Sequence[str], photos: Photos, seed: int) -> tuple[list[Peer], list[str]]:
    """The peers of these names, and what was left out and why."""
    makers: Mapping[str, Callable[[], Peer]] = {
        "phash": perceptual_hash,
        "dhash": difference_hash,
        "pdq": pdq,
        "backbone": raw_backbone,
        "head": lambda: frozen_backbone_head(photos, seed),
    }
    found, missing = [], []
    for name in names:
        try:
            found.append(makers[name]())
        except ImportError as error:
            missing.append(f"{name} is left out: {error}")
    return found, missing

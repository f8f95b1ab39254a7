"""The two models of the study, and what is computed of photos by each backbone at each size."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import onnx

from phototriage.common.errors import ModelFolderError
from phototriage.duplicates import layout
from phototriage.images.input_config import InputConfig
from phototriage.model_folder import manifest
from phototriage.model_folder.manifest import MODEL_FILE, Manifest
from phototriage.runtime.forward_graph import forward_only
from phototriage.runtime.shared_stages import part
from phototriage.settings import Settings
from training.gradient_graph.graph import build_onnx
from training.networks.embedder import Embedder, EmbedderSpec
from training.studies.backbone_graphs import FEATURES, Runner, fed_with, first_of, transplanted, with_features

BACKBONES = ("embedder", "published")  # that the class is tried on


def published(embedder: Manifest) -> Embedder:
    """The embedder's network with the published backbone, and a last layer of no use."""
    network = Embedder(EmbedderSpec.model_validate(embedder.training.settings["network"])).eval()
    network.backbone.load_packaged()
    return network


class Models(NamedTuple):
    """Both models' manifests and forward graphs, and the embedder's with the published backbone."""

    classifier: Manifest
    embedder: Manifest
    logits: onnx.ModelProto
    embedding: onnx.ModelProto
    published: onnx.ModelProto

    @classmethod
    def read(cls, classifier: Path, embedder: Path) -> Models:
        """Raises ModelFolderError where the kinds are others, or the images are fed otherwise than by size."""
        found = [(manifest.read(folder), onnx.load(folder / MODEL_FILE)) for folder in (classifier, embedder)]
        (first, one), (second, other) = found
        if (first.kind, second.kind) != ("classifier", "embedder"):
            raise ModelFolderError(f"a classifier and an embedder are needed; these are {first.kind}, {second.kind}")
        sizes = {"height": 0, "width": 0}
        rules = [each.input for each in (first, second)]
        if rules[0].model_copy(update=sizes) != rules[1].model_copy(update=sizes):
            raise ModelFolderError(f"{first.name} and {second.name} are fed by rules that differ in more than the size")
        graphs = one, other, build_onnx(published(second), second.input, "embedding")
        roles = first.main_role, second.main_role, second.main_role
        return cls(first, second, *(forward_only(graph, (role,)) for graph, role in zip(graphs, roles, strict=True)))

    def backbone(self, name: str) -> onnx.ModelProto:
        """The embedder's graph, with the backbone of that name."""
        if name == "classifier":
            return transplanted(self.embedding, self.logits)
        return self.published if name == "published" else self.embedding

    def runners(self, settings: Settings) -> dict[str, tuple[InputConfig, Runner]]:
        """What is computed of photos, by name: features `backbone@side`, logits and layouts `…@side`."""
        own, other = self.classifier.input, self.embedder.input
        found: dict[str, tuple[InputConfig, Runner]] = {}
        for rule in (own, other):
            side = rule.height
            found[f"logits@{side}"] = rule, first_of(fed_with(self.logits, side), settings)
            found[f"layout@{side}"] = rule, layout.describe
        for backbone, rule in (("embedder", other), ("embedder", own), ("classifier", own), ("published", own)):
            graph = part(with_features(fed_with(self.backbone(backbone), rule.height)), [FEATURES])
            found[f"{backbone}@{rule.height}"] = rule, first_of(graph, settings)
        return found

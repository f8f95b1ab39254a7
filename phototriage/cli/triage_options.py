"""What can be asked about an image, as options of `phototriage triage` and `phototriage score`."""

from __future__ import annotations

import argparse
from typing import get_args

from pydantic import ValidationError

from phototriage.cli.exit_status import tell
from phototriage.models.model_set import Models
from phototriage.triage.pipeline import TriageRequest
from phototriage.triage.schemas import Method, TriageQuery


def add_triage_options(parser: argparse.ArgumentParser) -> None:
    """All but `--include`."""
    parser.add_argument("--top-k", type=int, help="of classify: how many probabilities to list; all without it")
    parser.add_argument("--label", help="of difficulty: what you take the images for")
    parser.add_argument("--target", help="of saliency: the label to explain; the predicted one without it")
    parser.add_argument("--method", choices=get_args(Method), default="gradient", help="of saliency")
    parser.add_argument("--classifier", help="the default one without it")
    parser.add_argument("--embedder", help="the default one without it")


def triage_request(options: argparse.Namespace) -> TriageRequest:
    """As the query of /v1/triage asks it. Raises ValidationError."""
    fields = {name: getattr(options, name) for name in TriageQuery.model_fields}
    return TriageRequest(**dict(TriageQuery.model_validate(fields)))


def tell_default(models: Models, named: str | None) -> None:
    """Say which of several classifiers answers, where the command names none."""
    if named is None and models.default_note:
        tell(models.default_note)


def describe(error: ValidationError) -> str:
    """Which option doesn't fit, and why."""
    return f"{error.errors()[0]['loc'][0]}: {error.errors()[0]['msg']}"

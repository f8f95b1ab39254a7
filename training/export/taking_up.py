"""How a model that was written gets to those who ask: what to say of it at a command's end."""

from __future__ import annotations

import os
from pathlib import Path

from phototriage.settings import PREFIX, default_models_directory

VARIABLE = f"{PREFIX}MODELS_DIRECTORY"


def taking_up(models: Path) -> str:
    """A line that says when servers take up what was written to a models directory, and what to set where a server of
    this working directory and environment would take its models from another one."""
    line = (
        "A server takes it up at its next start, or at once: phototriage reload, or POST /v1/models/reload with a key."
    )
    served = Path(os.environ.get(VARIABLE) or default_models_directory())
    if served.resolve() == models.resolve():
        return line
    return f"{line} One that is started here serves {served}: set {VARIABLE}={models.absolute()}"

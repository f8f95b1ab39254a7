"""CARD.md of a model folder: what a user should know before trusting it."""

from __future__ import annotations

from phototriage.manifest import Manifest, Metric

TEMPLATE = """# {name}

{description}

| | |
| --- | --- |
| labels | {labels} |
| input | {input} |
| network | {network} |
| FeatOut | {featout} |
| trained on | {data} |
| licence of the images | {licence} |

## Figures

| what | set, split | n | value | 95 % interval |
| --- | --- | --- | --- | --- |
{metrics}

ONNX Runtime against torch on the trained weights, when this was exported: {agreement}.

## How it was made

```
{command}
```

Random seed {seed}, {hardware}; {packages}.

## Limits
- It knows its labels only: a photo of anything else gets one of them too.
- Probabilities are the softmax of the logits; they are not calibrated.
- The weights carry the licence of the images that they were trained on. A model of your own photos is one command
  away: see README.md, "Train your own".
"""


def card(manifest: Manifest, network: str, agreement: str, command: str) -> str:
    """Markdown from what the manifest holds; `agreement` is the line that the export measured."""
    rule, featout = manifest.input, manifest.featout
    packages = ", ".join(f"{name} {version}" for name, version in manifest.training.packages.items())
    splits = ", ".join(f"{count:,} {split}" for split, count in manifest.data.images.items())
    return TEMPLATE.format(
        name=manifest.name,
        description=manifest.description,
        labels=", ".join(manifest.labels),
        input=f"{rule.width}×{rule.height} {rule.colour}, {rule.resize}, {rule.aspect}",
        network=network,
        featout=", ".join(f"{key} {value}" for key, value in featout) if featout else "not used",
        data=f"{manifest.data.name} ({splits}; sha256 {manifest.data.sha256[:16]}…)",
        licence=manifest.data.licence,
        metrics="\n".join(_row(metric) for metric in manifest.metrics),
        agreement=agreement,
        command=command,
        seed=manifest.training.random_seed,
        hardware=manifest.training.hardware,
        packages=packages,
    )


def _row(metric: Metric) -> str:
    interval = f"{metric.interval[0]:.4f} to {metric.interval[1]:.4f}" if metric.interval else ""
    return f"| {metric.name} | {metric.set}, {metric.split} | {metric.n:,} | {metric.value:.4f} | {interval} |"

"""CARD.md of a model folder: what a user should know before trusting it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from phototriage.common.atomic_writes import atomic_file
from phototriage.difficulty.config import Answers, DifficultyConfig
from phototriage.duplicates import layout
from phototriage.duplicates.layout_rescoring import LayoutRescoring
from phototriage.model_folder.manifest import Manifest, Metric

CARD = "CARD.md"
DIFFICULTY = "## Difficulty"
VERIFICATION = "## Verification"
FIGURES_RULE = "| --- | --- | --- | --- | --- |"
TEMPLATE = """# {name}

{description}

| | |
| --- | --- |
{facts}
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
{limits}
- The weights carry the licence of the images that they were trained on. A model of your own photos is one command
  away: see README.md, "Train your own".
"""
CLASSIFIER_LIMITS = """- It knows its labels only: a photo of anything else gets one of them too.
- Probabilities are the softmax of the logits; they are not calibrated."""
EMBEDDER_LIMITS = """- The probability is calibrated on pairs of which the share that the table names were
  duplicates; where duplicates are rarer, it is too high. The threshold can be tuned on pairs of your own without
  training: `python -m training.tune_threshold`.
- Two photos of one scene, taken one after the other, are different photos; the more alike they are, the more often it
  errs."""

AUTOENCODER_LIMITS = """- A high error says that an image is unlike those that it was trained on, or full of detail.
- It sees images at the size above: what is smaller doesn't count."""
LIMITS = {"classifier": CLASSIFIER_LIMITS, "embedder": EMBEDDER_LIMITS, "autoencoder": AUTOENCODER_LIMITS}


def card(manifest: Manifest, network: str, agreement: str) -> str:
    """Markdown from what the manifest holds; `agreement` is the line that the export measured."""
    rule = manifest.input
    facts = {"input": f"{rule.width}×{rule.height} {rule.colour}, {rule.resize}, {rule.aspect}", "network": network}
    facts |= _of_kind(manifest)
    packages = ", ".join(f"{name} {version}" for name, version in manifest.training.packages.items())
    splits = ", ".join(f"{count:,} {split}" for split, count in manifest.data.images.items())
    return TEMPLATE.format(
        name=manifest.name,
        description=manifest.description,
        facts="\n".join(f"| {name} | {value} |" for name, value in facts.items()),
        data=f"{manifest.data.name} ({splits}; sha256 {manifest.data.sha256[:16]}…)",
        licence=manifest.data.licence,
        metrics="\n".join(_row(metric) for metric in manifest.metrics),
        agreement=agreement,
        command=manifest.training.command,
        seed=manifest.training.random_seed,
        hardware=manifest.training.hardware,
        packages=packages,
        limits=LIMITS[manifest.kind],
    )


def rewrite_card(folder: Path, change: Callable[[str], str]) -> None:
    """Change the text of a model folder's card, if it has one."""
    card = folder / CARD
    if card.is_file():
        text = change(card.read_text(encoding="utf-8"))
        with atomic_file(card) as part:
            part.write_text(text, encoding="utf-8")


def retold(text: str, manifest: Manifest) -> str:
    """A card's text with the facts of the manifest's kind put in anew."""
    facts = {f"| {name} | ": f"| {name} | {value} |" for name, value in _of_kind(manifest).items()}

    def line(old: str) -> str:
        return next((new for start, new in facts.items() if old.startswith(start)), old)

    return "\n".join(line(old) for old in text.split("\n"))


def with_difficulty(text: str, manifest: Manifest) -> str:
    """A classifier's card with its difficulty score, in place of what it said of one before, and with the manifest's
    figures. To a card that was written otherwise the score is appended."""
    return _with_section(text, DIFFICULTY, _difficulty_lines(manifest), manifest)


def with_verification(text: str, manifest: Manifest) -> str:
    """As `with_difficulty`, an embedder's card with how its pairs are verified."""
    return _with_section(text, VERIFICATION, _verification_lines(manifest), manifest)


def _with_section(text: str, title: str, section: list[str], manifest: Manifest) -> str:
    lines = text.split("\n")
    if FIGURES_RULE not in lines or "## Limits" not in lines:
        return text.split(f"\n{title}")[0].rstrip() + "\n\n" + "\n".join(section)
    first = next((at for at, line in enumerate(lines) if line == title), None)
    limits = lines.index("## Limits")
    lines[limits if first is None else first : limits] = section
    top = lines.index(FIGURES_RULE) + 1
    lines[top : lines.index("", top)] = [_row(metric) for metric in manifest.metrics]
    return "\n".join(lines)


def _verification_lines(manifest: Manifest) -> list[str]:
    config = manifest.verification
    assert config is not None
    return [
        VERIFICATION,
        "Whether two images are one is decided by laying one over the other: boosted trees on what that shows, fitted "
        f"to {config.pairs:,} pairs of train photos of {config.data} and of drawn images, {config.prior:.0%} of which "
        f"are copies. Duplicates from a probability of {config.threshold}, chosen on the pairs below, of validation "
        f"photos and other drawings; there the calibration error is {config.calibration_error:.4f}.",
        "",
        "| kind | copies, missed | others, called duplicates |",
        "| --- | --- | --- |",
        *(
            f"| {kind.kind} | {kind.copies}, {kind.missed:.1%} | {kind.others}, {kind.false:.2%} |"
            for kind in config.held_out
        ),
        "",
        *([] if config.command is None else ["```", config.command, "```", ""]),
    ]


def _difficulty_lines(manifest: Manifest) -> list[str]:
    rule = manifest.difficulty
    assert rule is not None
    review = f"Review from a score of {rule.review_from}: the hardest {rule.workload:.0%}."
    lines = [DIFFICULTY]
    if rule.answers is not None:
        lines += _answer_lines(rule.answers, f"{rule.images:,} validation images of {rule.data}", review)
    return lines + _formula_lines(rule, "" if rule.answers is not None else f" {review}")


def _formula_lines(rule: DifficultyConfig, review: str) -> list[str]:
    """Of the score by reference networks, if there is one."""
    if rule.formula is None or rule.reference is None:
        return []
    reference = rule.reference
    return [
        f"{'The' if rule.answers is None else 'By small networks, the'} probability that a reference network errs: a "
        f"{reference.trunk} of {reference.parameters:,} parameters on "
        f"{reference.size} px, {reference.epochs} epochs on half of the train images. Fitted to the mistakes of "
        f"{reference.networks} such networks on {rule.images:,} validation images of {rule.data}, of which they get "
        f"{reference.mistakes:.1%} wrong; percentiles refer to these. Autoencoder: {rule.autoencoder}, version "
        f"{rule.autoencoder_version}.{review}",
        "",
        "| signal | mean | deviation | weight |",
        "| --- | --- | --- | --- |",
        *(
            f"| {name} | {w.mean:.4g} | {w.deviation:.4g} | {w.weight:+.4f} |"
            for name, w in rule.formula.weights.items()
        ),
        "",
    ]


def _answer_lines(answers: Answers, images: str, review: str) -> list[str]:
    formulas = {"p_error": answers.error, "p_hard": answers.hard, "p_foreign": answers.foreign}
    return [
        "The score is the probability that the answer can't be trusted, 1 − (1 − p_error) (1 − p_foreign): that the "
        f"classifier is wrong, fitted to {answers.replica_mistakes} mistakes of two replicas about train images that "
        f"they hadn't learned and to its own {answers.mistakes} mistakes about {images}; or that the image is of none "
        f"of the labels, fitted to {answers.foreign_images} such images, which are taken for "
        f"{answers.foreign_share:.0%} of all. p_hard is the probability that {answers.judges} linear models on a "
        f"published backbone are wrong, as they are about {answers.hard_share:.1%} of these images. Percentiles refer "
        f"to them. {review}",
        "",
        "| answer | signal | mean | deviation | weight |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {answer} | {name} | {w.mean:.4g} | {w.deviation:.4g} | {w.weight:+.4f} |"
            for answer, formula in formulas.items()
            for name, w in formula.weights.items()
        ),
        "",
    ]


def _of_kind(manifest: Manifest) -> dict[str, str]:
    """What only this kind of model has to say."""
    decision = manifest.decision
    if manifest.kind == "autoencoder":
        return {"answers": "latent, in [0, 1]; mean absolute difference of pixels in [0, 1]; 1 − SSIM"}
    if decision is None:
        featout = manifest.featout
        return {
            "labels": ", ".join(manifest.labels),
            "FeatOut": ", ".join(f"{key} {value}" for key, value in featout) if featout else "not used",
        }
    tuning = decision.tuning
    figures = ", ".join(
        f"{name} {one.value:.4f} [{one.interval[0]:.4f}, {one.interval[1]:.4f}]"
        for name, one in (("precision", tuning.precision), ("recall", tuning.recall), ("F1", tuning.f1))
    )
    return {
        "embedding": f"{manifest.width} numbers, of unit length",
        "layout re-scoring": _layout_facts(manifest.layout_rescoring),
        "duplicates from a similarity of": f"{decision.threshold}, for {tuning.aim}",
        "tuned on": f"{tuning.data}: {tuning.pairs:,} pairs, {tuning.duplicates:,} of them duplicates; on "
        f"{tuning.folds} held-out folds {figures}",
    }


def _layout_facts(rescoring: LayoutRescoring | None) -> str:
    if rescoring is None:
        return "none: the similarity is the cosine"
    raises = (
        f"{layout.DIMENSION} more numbers for the layout, which from an agreement of {rescoring.floor} on raises the "
        f"cosine, by up to {rescoring.weight} of what it lacks to 1"
    )
    if not rescoring.doubt:
        return raises
    return (
        f"{raises}, and lowers it between agreements of {rescoring.doubt_from} and 1, by {rescoring.doubt} at "
        f"{rescoring.doubt_most}"
    )


def _row(metric: Metric) -> str:
    interval = f"{metric.interval[0]:.4f} to {metric.interval[1]:.4f}" if metric.interval else ""
    return f"| {metric.name} | {metric.set}, {metric.split} | {metric.n:,} | {metric.value:.4f} | {interval} |"

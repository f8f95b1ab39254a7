"""What verification found about a pair, as the API tells it: numbers, and the decision's reason in words."""

from __future__ import annotations

import math

from phototriage.triage.comparison_schemas import DuplicateEvidence
from phototriage.verification.placement import placement_of
from phototriage.verification.signature import Signature
from phototriage.verification.verifier import Verdict


def evidence_response(verdict: Verdict, a: Signature, b: Signature) -> DuplicateEvidence | None:
    """None where no part of one image was found in the other, or where one holds nothing to compare."""
    evidence = verdict.evidence
    placement = None if evidence is None else placement_of(a, b, evidence.hypothesis)
    if evidence is None or placement is None:
        return None
    return DuplicateEvidence(
        words=placement.words,
        matched_points=len(placement.points_a),
        scale=placement.scale,
        turn=placement.turn,
        mirrored=placement.mirrored,
        affine=placement.affine,
        share_of_a=evidence.share_of_a,
        share_of_b=evidence.share_of_b,
        region_of_a=list(placement.region_of_a),
        region_of_b=list(placement.region_of_b),
        correlation=evidence.fine.median,
        disagreement=evidence.fine.disagreement,
        contrast=placement.contrast,
        brightness=placement.brightness,
    )


def reason_of(verdict: Verdict, least: float, found: DuplicateEvidence | None) -> str:
    """Why verification decided so; `least`: the probability from which on a pair are duplicates."""
    if verdict.decision == "too_little_content":
        one = {(True, False): "Image A is", (False, True): "Image B is", (True, True): "Both images are"}
        return f"{one[verdict.plain]} next to plain: there is nothing to compare."
    side = "at least" if verdict.decision == "duplicate" else "below"
    # Rounded down, so that no probability below a bound looks as if it reached it.
    chance = f"the probability is {math.floor(verdict.probability * 1000) / 1000:.3f}, {side} {least:.3f}"
    if found is None:
        return f"No part of one image was found in the other: {chance}."
    how = f"{found.matched_points} matched points" if found.matched_points else "the images as a whole"
    return (
        f"By {how}, A laid over B ({found.words}; {found.share_of_a:.0%} of A, {found.share_of_b:.0%} of B) disagrees "
        f"in {found.disagreement:.0%} of what shows anything: {chance}."
    )


def reason_of_similarity(similarity: float, threshold: float) -> str:
    """Why the similarity alone decided so."""
    side = "at least" if similarity >= threshold else "below"
    return f"The similarity of the embeddings is {similarity:.3f}, {side} the threshold {threshold:.3f}; not verified."

"""Evidence to a decision: by trees made by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from phototriage.common.errors import ModelFolderError
from phototriage.verification import verifier
from phototriage.verification.config import FILE_NAME
from phototriage.verification.evidence import FEATURES, verify
from phototriage.verification.signature import Signature, signature_of
from phototriage.verification.trees import Trees
from phototriage.verification.verifier import Verifier
from tests.verification.handmade import config, stump
from tests.verification.photos import drawn_photo

PHOTO, OTHER = (signature_of(drawn_photo(seed, 240, 320)) for seed in (3, 4))
CROP = signature_of(drawn_photo(3, 240, 320)[30:210, 40:290])
PLAIN = signature_of(np.full((90, 120, 3), 7, np.uint8))
VERIFIER = Verifier(config(), stump("fine_disagreement", 0.2, low=3.0, high=-5.0))


def test_trees_follow_each_value_to_its_leaf() -> None:
    tree = Trees(
        feature=np.array([1, 0, 0, 0, 0]),
        threshold=np.array([0.5, 2.0, 0, 0, 0]),
        left=np.array([1, 3, 2, 3, 4]),
        right=np.array([2, 4, 2, 3, 4]),
        value=np.array([0, 0, 1.0, 10.0, 100.0]),
        roots=np.array([0, 2]),
        depth=2,
        base=0.25,
    )
    tree.check(2)
    assert tree.log_odds(np.array([9.0, 0.6])) == 0.25 + 1 + 1
    assert tree.log_odds(np.array([2.0, 0.5])) == 0.25 + 10 + 1
    assert tree.log_odds(np.array([2.1, 0.5])) == 0.25 + 100 + 1


def test_a_crop_is_a_duplicate_and_another_photo_is_not() -> None:
    found = VERIFIER.verify(PHOTO, CROP)
    assert found.decision == "duplicate"
    assert found.probability == pytest.approx(1 / (1 + math.exp(-3)))
    assert found.evidence is not None
    found = VERIFIER.verify(PHOTO, OTHER)
    assert found.decision == "not_duplicate"
    assert found.probability == pytest.approx(1 / (1 + math.exp(5)))


def test_the_callers_bound_takes_the_tuned_ones_place() -> None:
    assert VERIFIER.verify(PHOTO, CROP, 0.99).decision == "not_duplicate"
    assert VERIFIER.verify(PHOTO, OTHER, 0.001).decision == "duplicate"


@pytest.mark.parametrize(
    ("sides", "plain"),
    [((PLAIN, PHOTO), (True, False)), ((PHOTO, PLAIN), (False, True)), ((PLAIN, PLAIN), (True, True))],
)
def test_there_is_nothing_to_compare(sides: tuple[Signature, Signature], plain: tuple[bool, bool]) -> None:
    found = VERIFIER.verify(sides[0], sides[1], 0.0)
    assert (found.decision, found.probability, found.plain) == ("too_little_content", 0, plain)


def test_either_order_gives_the_same() -> None:
    for a, b in ((PHOTO, CROP), (PHOTO, OTHER), (CROP, OTHER)):
        forth, back = verify(a, b), verify(b, a)
        assert forth is not None
        assert back is not None
        assert np.array_equal(forth.features(), back.features())
        assert (forth.share_of_a, forth.share_of_b) == (back.share_of_b, back.share_of_a)
        np.testing.assert_allclose(forth.hypothesis.inverse().affine, back.hypothesis.affine, atol=1e-6)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    verifier.write(VERIFIER.trees, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    read = verifier.read(config(), tmp_path)
    evidence = verify(PHOTO, CROP)
    assert read.probability(evidence) == VERIFIER.probability(evidence)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFolderError, match="can't be read"):
        verifier.read(config(), tmp_path)
    (tmp_path / FILE_NAME).write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(ModelFolderError, match="can't be read"):
        verifier.read(config(), tmp_path)
    broken = replace(VERIFIER.trees, left=VERIFIER.trees.left + 9)
    verifier.write(broken, tmp_path)
    with pytest.raises(ModelFolderError, match="nodes lead to nowhere"):
        verifier.read(config(), tmp_path)


def test_other_evidence_than_it_was_fitted_to_is_refused(tmp_path: Path) -> None:
    verifier.write(VERIFIER.trees, tmp_path)
    older = config().model_copy(update={"features": FEATURES[:-1]})
    with pytest.raises(ModelFolderError, match="Fit it again"):
        verifier.read(older, tmp_path)

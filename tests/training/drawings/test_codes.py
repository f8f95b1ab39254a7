from __future__ import annotations

import cv2
import numpy as np

from training.drawings import draw


def test_qr_codes_can_be_read() -> None:
    """By a reader that isn't the writer's: OpenCV's."""
    texts = {
        cv2.QRCodeDetector().detectAndDecode(np.asarray(draw("qr code", number, number)))[0] for number in range(3)
    }
    assert len(texts) == 3
    assert all(text.startswith("https://") for text in texts)

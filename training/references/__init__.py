"""Small reference networks, each trained on one half of the images: what they say of the other half is the truth that
difficulty is fitted to.
"""

from training.references.cross_fit import References, ReferenceSettings

__all__ = ["ReferenceSettings", "References"]

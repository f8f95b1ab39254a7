"""Training of embedders for near-duplicates; no labels are needed.

`python -m training.embedder --data FOLDER --name RUN`.

Imports nothing: that a set of images is too small is told before torch is imported, which takes longer.
"""

"""Training of classifiers, with FeatOut, Random Erasing or neither.

`python -m training.classifier --data FOLDER --name RUN`.

Imports nothing: that a set of images is too small is told before torch is imported, which takes longer.
"""

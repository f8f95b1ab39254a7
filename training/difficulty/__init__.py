"""Fitting the difficulty of an exported classifier.

`python -m training.difficulty --data FOLDER --classifier NAME`.
"""

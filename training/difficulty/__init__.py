"""Fitting the difficulty score of an exported classifier.

`python -m training.difficulty --data FOLDER --classifier NAME --autoencoder NAME`.
"""

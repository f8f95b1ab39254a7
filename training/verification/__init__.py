"""Fitting how an embedder's pairs are verified: from labelled pairs of photos and of drawn images to trees on what
laying one over the other shows.
"""

"""Labelled pairs of photos to measure an embedder on, the figures of its similarities, and the threshold."""

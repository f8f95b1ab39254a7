"""Experiments whose tables stand among the published results, whatever they say; each is run by `python -m`."""

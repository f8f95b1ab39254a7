"""Experiments whose tables stand in RESULTS.md, whatever they say."""

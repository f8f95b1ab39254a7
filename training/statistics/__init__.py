"""Measured figures: their intervals, what several seeds come to, timings in turns, and how all of that is printed.

Knows nothing of images, networks or models.
"""

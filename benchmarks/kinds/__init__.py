"""Near-duplicate pairs of many kinds of image, made from seeds, and what the served decision and others say of them.

`catalogue` lists all sets, `deciders` all that decide on a pair, `report` prints the figures.
"""

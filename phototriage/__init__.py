"""Phototriage: what is this photo, how hard is it, have we seen it before, what did the model look at?"""

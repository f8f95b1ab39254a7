"""Training of autoencoders, whose errors and latents are signals of difficulty.

`python -m training.autoencoder --data FOLDER --name RUN`.

Imports nothing: that a set of images is too small is told before torch is imported, which takes longer.
"""

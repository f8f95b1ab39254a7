"""Training and export: the only package that imports torch. Run its packages: `python -m training.classifier`."""

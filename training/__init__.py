"""Training and export: the only package that imports torch. Run its modules: `python -m training.classifier`."""

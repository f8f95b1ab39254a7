"""Other servers of the same model, each as its own documentation has it, each in an environment of its own."""

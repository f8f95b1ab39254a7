"""What all trainings have in common: the run's folder, evaluation with intervals, how a command ends."""

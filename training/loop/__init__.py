"""What all trainings have in common: the loop of epochs and steps with its checkpoints, on what it computes, its
options, what it shows, the run's folder, evaluation with intervals, and how a command ends.
"""

"""What all trainings have in common: the loop of epochs and steps with its checkpoints, on what it computes, its
options, what it shows, the run's folder, evaluation with intervals, and how a command ends.

`loop` has epochs, steps and the checkpoint that is written and resumed, `run_folder` what a finished training leaves
for the export, `compute` the device and precision, `options` the options that all trainings share.
"""

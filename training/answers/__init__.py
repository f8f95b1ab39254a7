"""What difficulty answers: is a classifier wrong about an image, would good models be, is it none of the classes?

Fitted to the classifier's mistakes, to those of replicas and of other models, and to foreign images.
"""

"""Where graphs run: ONNX Runtime's providers and sessions, batching of calls, and graphs that are cut for them.

A graph's forward part is cut out, so that a class alone costs no gradient; stages that two graphs share run once.
"""

"""The HTTP contract: every operation with what it takes, answers and refuses, and the OpenAPI document that describes
them. `server` has the handlers.
"""

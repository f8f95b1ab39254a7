"""Collections: photos that came in, kept under names of the caller's, so that each new one is compared with all of
them. What a collection answers is in `collection`; how it is kept is for `collection_stores`.
"""

"""Scoring of many images: sources of images, shards that processes or Ray answer in parallel, rows in Parquet.

`run.score` is the whole run; `schema.body_of` turns a row into the API's body. Nothing is imported here: finding and
embedding files (`image_files`) needs no pyarrow, everything else needs the extra `score`.
"""

"""Scoring of many images: where they come from, processes or Ray that answer shards side by side, rows in Parquet.

Nothing is imported here: finding and embedding files (`image_files`) does without pyarrow, the rest needs the extra
`score`. `run.score` does it all, `schema.body_of` turns a row into the API's body.
"""

"""How collections are kept: by one process in a folder, with SQLite, or by any number of servers in PostgreSQL with
pgvector. Neither knows of HTTP or of what a collection answers."""

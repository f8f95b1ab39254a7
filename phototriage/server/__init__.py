"""The front door of HTTP: connections and their limits, routes, uploads, keys, the queue, the log, OpenAPI.

`http_api.HttpApi` is the application; `bento_service` hands it to BentoML, and `launch` starts that from any folder.
Nothing is imported here, since the process that only starts workers imports `connections` and would hold all the rest
for nothing.
"""

"""The HTTP server: connections and their limits, routes, uploads, API keys, the work queue, the log, OpenAPI.

`http_api.HttpApi` is the ASGI application, which `bento_service` passes to BentoML; `launch` starts that from any
folder. Nothing is imported here, since the process that only starts workers imports `connections`, and would hold
everything else in memory for nothing.
"""

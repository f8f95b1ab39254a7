"""The HTTP server: connections and their limits, routes, uploads, API keys, the work queue, the log, OpenAPI.

A route is a row of `routes.OPERATIONS` and a method of `http_api.HttpApi` by its name; `router` finds it, and turns
errors into `error_responses`.

`http_api.HttpApi` is the ASGI application, which `bento_service` passes to BentoML; `launch` starts that from any
folder. Nothing is imported here, since the process that only starts workers imports `connections`, and would hold
everything else in memory for nothing.
"""

"""The page of HTTP: every route and schema of clients/openapi.json, which tests compare with the server's own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from markdown_table import table
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

DOCUMENT = Path(__file__).parents[2] / "clients/openapi.json"
BOUNDS = {"minimum": "≥", "maximum": "≤", "exclusiveMinimum": ">", "exclusiveMaximum": "<"}

Schema = Mapping[str, Any]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the page, and the document itself."""
    text = DOCUMENT.read_text(encoding="utf-8")
    files.append(File.generated(config, "reference/openapi.json", content=text))
    files.append(File.generated(config, "reference/http.md", content=http_page(json.loads(text))))
    return files


def http_page(document: Schema) -> str:
    """All routes and schemas of an OpenAPI document."""
    lines = [
        "# HTTP",
        "",
        "The same as [OpenAPI](openapi.json), which the server gives at `/docs.json`.",
        "",
        "## Routes",
        "",
    ]
    routes = [
        (path, method, operation)
        for path, operations in sorted(document["paths"].items(), key=lambda route: (route[0][:4] != "/v1/", route[0]))
        for method, operation in operations.items()
    ]
    for path, method, operation in routes:
        lines += route_section(path, method, operation)
    lines += ["## Schemas", ""]
    for name, schema in sorted(document["components"]["schemas"].items()):
        lines += schema_section(name, schema)
    return "\n".join(lines) + "\n"


def route_section(path: str, method: str, operation: Schema) -> Iterator[str]:
    yield from (f"### {method.upper()} {path}", "", str(operation.get("summary", "")), "")
    yield from (str(operation.get("description", "")), "")
    parameters = [
        (f"`{each['name']}`", each["in"], type_of(each["schema"]), str(each.get("description", "")))
        for each in operation.get("parameters", ())
    ]
    if parameters:
        yield from (*table(("parameter", "in", "type", "what"), parameters), "")
    bodies = [
        f"`{kind}`" + "".join(f" `{part}`" for part in content.get("schema", {}).get("properties", ()))
        for kind, content in operation.get("requestBody", {}).get("content", {}).items()
    ]
    if bodies:
        yield from (f"Body, with its parts: {' · '.join(bodies)}", "")
    rows = []
    for status, response in operation["responses"].items():
        kinds = [
            f"`{kind}` {type_of(content['schema'])}" if content.get("schema") else f"`{kind}`"
            for kind, content in response.get("content", {}).items()
        ]
        rows.append((f"`{status}`", ", ".join(kinds), str(response["description"])))
    yield from (*table(("status", "body", "what"), rows), "")


def schema_section(name: str, schema: Schema) -> Iterator[str]:
    yield from (f"### {name}", "", str(schema.get("description", "")), "")
    required = schema.get("required", ())
    rows = [
        (f"`{field}`", type_of(of), "always" if field in required else "", str(of.get("description", "")))
        for field, of in schema.get("properties", {}).items()
    ]
    if rows:
        yield from (*table(("field", "type", "there", "what"), rows), "")


def type_of(schema: Schema) -> str:
    """A schema in a few words, with links to those that have a name."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    for choice in ("oneOf", "anyOf", "allOf"):
        if choice in schema:
            return " or ".join(type_of(each) for each in schema[choice])
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"list of {type_of(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {type_of(schema['additionalProperties'])}"
    bounds = [f"{sign} {schema[key]:g}" for key, sign in BOUNDS.items() if key in schema]
    return ", ".join([str(schema.get("type", "any")), *bounds])

"""Holds requests and answers against GitHub's description of its API.

Prints one line for each kind of deviation, and at last how many bodies were held against it.
"""

import json
import re
import sys
from urllib.parse import parse_qsl

from jsonschema import Draft202012Validator

document, exchanges = (json.load(open(path)) for path in sys.argv[1:])


def null_is_a_type(schema):
    """OpenAPI 3.0 says `nullable` where JSON Schema has a type of its own."""
    if isinstance(schema, list):
        return [null_is_a_type(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: null_is_a_type(value) for key, value in schema.items()}
    if schema.pop("nullable", False) is True:
        return {"anyOf": [schema, {"type": "null"}]}
    return schema


components = null_is_a_type(document["components"])


def referred(thing):
    while "$ref" in thing:
        kind, name = thing["$ref"].split("/")[2:]
        thing = components[kind][name]
    return thing


def template_of(path):
    """The description's name of a path, the one with the fewest parameters."""
    found = []
    for template in document["paths"]:
        # The name of a ref has slashes.
        pattern = re.escape(template).replace(r"/\{ref\}", "/.+")
        pattern = re.sub(r"\\\{[^/]*?\\\}", "[^/]+", pattern)
        if re.fullmatch(pattern, path):
            found.append(template)
    return min(found, key=lambda template: template.count("{"), default=None)


deviations, held = set(), 0


def hold(shown, schema, value):
    global held
    held += 1
    whole = {**null_is_a_type(schema), "components": components}
    for error in Draft202012Validator(whole).iter_errors(value):
        where = "/".join("*" if isinstance(part, int) else part for part in error.absolute_path)
        message = error.message if len(error.message) < 120 else f"it is not {error.validator}"
        deviations.add(f"{shown} /{where}: {message}")


for exchange in exchanges:
    method, status = exchange["method"], str(exchange["status"])
    template = template_of(exchange["path"])
    if template is None or method not in document["paths"][template]:
        deviations.add(f"{method} {exchange['path']}: there is no such operation")
        continue
    operation = document["paths"][template][method]
    shown = f"{method} {template}"
    named = document["paths"][template].get("parameters", []) + operation.get("parameters", [])
    named = {parameter["name"] for parameter in map(referred, named) if parameter["in"] == "query"}
    for name, _ in parse_qsl(exchange["query"]):
        if name not in named:
            deviations.add(f"{shown}: it has no query parameter {name}")
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if exchange["asked"] is not None and body is None:
        deviations.add(f"{shown}: it takes no body")
    elif body is not None and exchange["asked"] is not None:
        hold(f"{shown} asks", body["schema"], exchange["asked"])
    response = operation["responses"].get(status)
    if response is None:
        deviations.add(f"{shown}: it does not answer {status}")
        continue
    content = referred(response).get("content", {}).get("application/json")
    if content is not None:
        hold(f"{shown} answers {status}", content["schema"], exchange["answered"])

for deviation in sorted(deviations):
    print(deviation)
print(held)

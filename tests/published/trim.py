"""Trims a published description of the Platform API to the part that Guichet claims to speak.

    python trim.py mx-platform-v20250224.yml > v20250224.json

Kept are the claimed paths and what they refer to; prose and examples are left out. It needs
PyYAML, which is among the packages of tests/clients.
"""

import json
import re
import sys

import yaml

# With the parameters' names left out: those differ between the versions.
CLAIMED = {
    "/institutions",
    "/institutions/{}",
    "/institutions/{}/credentials",
    "/users",
    "/users/{}",
    "/users/{}/members",
    "/users/{}/members/{}",
    "/users/{}/members/{}/aggregate",
    "/users/{}/members/{}/challenges",
    "/users/{}/members/{}/credentials",
    "/users/{}/members/{}/oauth_window_uri",
    "/users/{}/members/{}/resume",
    "/users/{}/members/{}/status",
}

PROSE = {"description", "example", "examples", "summary", "tags", "title"}

# Their keys are names that somebody chose, and may look like prose.
MAPS = {"properties", "schemas", "parameters", "paths"}


def without_prose(value, names=False):
    """The value without prose; the keys of a map of names are all kept."""
    if isinstance(value, list):
        return [without_prose(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        str(key): without_prose(item, key in MAPS)
        for key, item in value.items()
        if names or key not in PROSE
    }


def references(value):
    """Every local reference in the value, as its two names."""
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref":
                yield tuple(item.removeprefix("#/components/").split("/"))
            else:
                yield from references(item)


def trimmed(document):
    paths = {
        path: operations
        for path, operations in document["paths"].items()
        if re.sub(r"\{[^}]*\}", "{}", path) in CLAIMED
    }
    kept, wanted = {}, list(references(paths))
    while wanted:
        kind, name = wanted.pop()
        if name not in kept.setdefault(kind, {}):
            kept[kind][name] = document["components"][kind][name]
            wanted.extend(references(kept[kind][name]))
    components = {kind: dict(sorted(kept[kind].items())) for kind in sorted(kept)}
    return {
        "openapi": document["openapi"],
        "info": {key: document["info"][key] for key in ("title", "version")},
        "paths": without_prose(paths, names=True),
        "components": without_prose(components),
    }


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        json.dump(trimmed(yaml.safe_load(file)), sys.stdout, indent=1)
    print()

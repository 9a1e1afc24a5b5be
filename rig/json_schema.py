"""Validates documents against a JSON Schema (draft 2020-12), by the validator that Schemathesis uses.

Standard input: {"schema": SCHEMA, "documents": [DOCUMENT, ...]}. Prints the errors of each document: [[[PLACE, MESSAGE], ...], ...].
"""

import json
import sys

import jsonschema_rs

work = json.load(sys.stdin)
jsonschema_rs.meta.validate(work["schema"])
validator = jsonschema_rs.Draft202012Validator(work["schema"])
errors = [
    [["".join(f"/{step}" for step in error.instance_path), error.message] for error in validator.iter_errors(document)]
    for document in work["documents"]
]
json.dump(errors, sys.stdout)

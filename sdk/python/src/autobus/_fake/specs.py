# SPDX-License-Identifier: Apache-2.0
"""Checks data against a folder of specs, as far as JSON Schema goes: for tests, not for the word of the bus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from ..errors import error
from .log import Log, Refusal


class Specs:
    """Reads every *.yaml, *.yml and *.json below a folder. It takes jsonschema, and PyYAML for YAML."""

    def __init__(self, folder: str | Path):
        try:
            import jsonschema
        except ImportError:
            raise error("config_invalid", "specs are checked by jsonschema, which is not installed",
                        hint="pip install 'autobus[specs]'") from None
        self._jsonschema: Any = jsonschema
        self._files: dict[str, Any] = {}
        self._payloads: dict[str, list[tuple[str, dict[str, Any]]]] = {}  # address -> (message, schema)
        self._keys: dict[str, str] = {}
        root = Path(folder)
        if not root.is_dir():
            raise error("config_invalid", f"{root} is no folder of specs")
        for path in sorted(root.rglob("*")):
            if path.suffix in (".yaml", ".yml", ".json"):
                self._files[path.resolve().as_uri()] = _read(path)
        for uri, doc in self._files.items():
            if isinstance(doc, dict) and "asyncapi" in doc:
                self._channels(uri, doc)

    def _channels(self, uri: str, doc: dict[str, Any]) -> None:
        for channel in (doc.get("channels") or {}).values():
            for name, message in (channel.get("messages") or {}).items():
                at, message = self._resolve(uri, message)
                schema = self._inline(at, message["payload"], ()) if "payload" in message else {}
                self._payloads.setdefault(channel["address"], []).append((name, schema))
                key = ((message.get("bindings") or {}).get("kafka") or {}).get("key") or {}
                if "x-from" in key:
                    self._keys[channel["address"]] = key["x-from"]

    def _resolve(self, uri: str, node: Any) -> tuple[str, Any]:
        while isinstance(node, dict) and "$ref" in node:
            file, _, pointer = urljoin(uri, node["$ref"]).partition("#")
            uri, node = file, self._files[file]
            for part in pointer.strip("/").split("/") if pointer.strip("/") else ():
                node = node[part.replace("~1", "/").replace("~0", "~")]
        return uri, node

    def _inline(self, uri: str, node: Any, above: tuple[str, ...]) -> Any:
        """The schema without references to elsewhere, and closed: an undeclared field is a fault of who publishes."""
        if isinstance(node, list):
            return [self._inline(uri, n, above) for n in node]
        if not isinstance(node, dict):
            return node
        if "$ref" in node:
            place = urljoin(uri, node["$ref"])
            if place in above:
                return {}  # one that holds itself is checked down to here
            return self._inline(*self._resolve(uri, node), (*above, place))
        made = {k: self._inline(uri, v, above) for k, v in node.items()}
        if isinstance(made.get("properties"), dict) and "type" in made and "additionalProperties" not in made:
            made["additionalProperties"] = False
        return made

    def __call__(self, event: dict[str, Any]) -> None:
        """Raises Refusal for what the bus would refuse, and fills in the key."""
        known = self._payloads.get(event["type"])
        if known is None:
            if Log.is_reply(event) and Log.request_type(event) not in self._payloads:
                return
            if event.get("error") == "problem":
                return
            raise Refusal("type_unknown", f"no spec declares {event['type']}", "not_found")
        if "error" in event and Log.is_reply(event):
            known = [m for m in known if m[0] == event["error"]] if event["error"] != "problem" else []
        faults: list[dict[str, Any]] = []
        for _, schema in known:
            faults = self._faults(schema, event.get("data")) if schema else []
            if not faults:
                break
        if faults:
            raise Refusal("data_invalid", "the data does not match the type's schema", errors=faults)
        self._key(event)

    def _faults(self, schema: dict[str, Any], data: Any) -> list[dict[str, Any]]:
        checker = self._jsonschema.Draft7Validator(schema, format_checker=self._jsonschema.FormatChecker())
        return [{"pointer": "".join(f"/{p}" for p in e.absolute_path), "rule": e.validator, "want": e.validator_value,
                 "message": e.message} for e in checker.iter_errors(data)]

    def _key(self, event: dict[str, Any]) -> None:
        pointer = self._keys.get(event["type"])
        if pointer is None:
            return
        value = event.get("data")
        for part in pointer.strip("/").split("/"):
            value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            raise Refusal("key_missing", f"the field {pointer} is missing, by which events keep their order")
        event["partitionkey"] = value if isinstance(value, str) else json.dumps(value)


def _read(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return json.loads(text)
    try:
        import yaml
    except ImportError:
        raise error("config_invalid", "YAML is read by PyYAML, which is not installed",
                    hint="pip install 'autobus[specs]'") from None
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))

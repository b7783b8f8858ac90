# SPDX-License-Identifier: Apache-2.0
"""Confluent's serializers and deserializers at the schema registry of a running bus.

    registry.py API KAFKA

The bus has the type orders.order.placed.v1 of specs/. Ends with a line "ok", or with the assertion that failed.
"""
import json
import sys
import urllib.request

from confluent_kafka import Consumer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient, SchemaRegistryError
from confluent_kafka.schema_registry import header_schema_id_serializer
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError

TYPE = "orders.order.placed.v1"
USER = {"name": "Ada Lovelace", "age": 36}  # Avro data under 6 bytes is taken for unframed
USER_JSON = json.dumps({"$schema": "http://json-schema.org/draft-07/schema#", "title": "User", "type": "object",
                        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name"]})
USER_AVRO = json.dumps({"type": "record", "name": "User", "fields": [
    {"name": "name", "type": "string"}, {"name": "age", "type": "int"}]})

api, kafka = sys.argv[1:]
registry = SchemaRegistryClient({"url": api + "/schema-registry"})


def publish(order):
    """Publishes through the bus, as any service does."""
    call = urllib.request.Request(f"{api}/v1/events/{TYPE}", json.dumps(order).encode(),
                                  {"content-type": "application/json"})
    with urllib.request.urlopen(call) as answer:
        return json.load(answer)["results"][0]


def consume(topic):
    """Reads the first record of a topic from Kafka itself."""
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": "python", "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([topic])
        record = consumer.poll(60)
        assert record is not None and record.error() is None, record and record.error()
        return record
    finally:
        consumer.close()


# An event of the bus: its data is plain JSON, and the header beside it leads to the schema.
order = {"order_id": "o-1", "total": 10.5}
assert publish(order)["status"] == "written"
record = consume(TYPE)
assert json.loads(record.value()) == order
at = SerializationContext(TYPE, MessageField.VALUE, record.headers())
assert JSONDeserializer(None, schema_registry_client=registry)(record.value(), at) == order
latest = registry.get_latest_version(f"{TYPE}-value")
assert json.loads(latest.schema.schema_str)["$id"] == dict(record.headers())["ce_dataschema"].decode()

# Serializers that register what they write: prefix and header, JSON and Avro, there and back.
for topic, conf in ("prefix", {}), ("header", {"schema.id.serializer": header_schema_id_serializer}):
    for form, write, read in (
            ("json", JSONSerializer(USER_JSON, registry, conf=conf), JSONDeserializer(None, schema_registry_client=registry)),
            ("avro", AvroSerializer(registry, USER_AVRO, conf=conf), AvroDeserializer(registry))):
        at = SerializationContext(f"{topic}-{form}", MessageField.VALUE, [])
        data = write(USER, at)
        assert (data[0] == 0) == (topic == "prefix"), data
        assert bool(at.headers) == (topic == "header"), at.headers
        assert read(data, at) == USER, (topic, form)

# A serializer may also write by the schema of a type; it cannot change it.
same = json.loads(latest.schema.schema_str)
write = JSONSerializer(json.dumps({k: same[k] for k in reversed(same) if k != "$id"}), registry)
assert write(order, SerializationContext(TYPE, MessageField.VALUE, []))
assert registry.lookup_schema(f"{TYPE}-value", latest.schema).version == latest.version
try:
    registry.register_schema(f"{TYPE}-value", Schema(USER_JSON, "JSON"))
except SchemaRegistryError as e:
    assert (e.http_status_code, e.error_code) == (422, 42205), e
else:
    raise AssertionError("the schema of a type was changed by a client")

# What does not fit is refused with the code that programs know.
assert registry.test_compatibility("prefix-json-value", Schema(USER_JSON, "JSON"))
try:
    registry.register_schema("prefix-json-value", Schema(USER_JSON.replace('["name"]', '["name", "age"]'), "JSON"))
except SchemaRegistryError as e:
    assert e.http_status_code == 409, e
else:
    raise AssertionError("an incompatible schema was registered")
try:
    JSONSerializer(USER_JSON, registry)({"age": "old"}, SerializationContext("prefix-json", MessageField.VALUE, []))
except SerializationError:
    pass
else:
    raise AssertionError("data that does not match was serialized")
print("ok")

"""Turns the golden files of tests/behaviour/profiles into OTLP requests for the real backends."""

import base64
import json
import pathlib
import time

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

GOLDEN = pathlib.Path(__file__).resolve().parent.parent / "behaviour" / "profiles" / "golden"
# The first moment of the reference conversation.
EPOCH = 1_752_384_000_000_000_000


def spans(profile, mode):
    """The spans of a golden file, moved to now: user interfaces show the last days."""
    text = (GOLDEN / f"{profile}.{mode}.json").read_text()
    read = json.loads(text)
    move(read, time.time_ns() - 60_000_000_000 - EPOCH)
    return read


def move(spans, nanoseconds):
    for span in spans:
        for key in ("startTimeUnixNano", "endTimeUnixNano"):
            span[key] = str(int(span[key]) + nanoseconds)


def request(spans, resource):
    """An OTLP request in protobuf. In OTLP/JSON ids are hexadecimal, in protobuf's own JSON they are base64."""

    def with_base64_ids(node):
        node = dict(node)
        for key in ("traceId", "spanId", "parentSpanId"):
            if node.get(key):
                node[key] = base64.b64encode(bytes.fromhex(node[key])).decode()
        if "links" in node:
            node["links"] = [with_base64_ids(link) for link in node["links"]]
        return node

    attributes = [{"key": key, "value": {"stringValue": value}} for key, value in resource.items()]
    body = {
        "resourceSpans": [
            {
                "resource": {"attributes": attributes},
                "scopeSpans": [{"scope": {"name": "reference"}, "spans": [with_base64_ids(span) for span in spans]}],
            }
        ]
    }
    return json_format.ParseDict(body, ExportTraceServiceRequest()).SerializeToString()


def attributes(span):
    """The attributes of a span as plain values."""
    plain = {"stringValue": str, "intValue": int, "doubleValue": float, "boolValue": bool}
    found = {}
    for pair in span["attributes"]:
        ((kind, value),) = pair["value"].items()
        if kind in plain:
            found[pair["key"]] = plain[kind](value)
    return found


def long_conversation(spans, turns):
    """The second turn so many times over, then the conversation: one trace, as of `CONVERSATION_TRACE=conversation`, or
    a trace for each turn, as the spans have it."""
    conversation = [span for span in spans if span["name"] == "conversation"]
    turn = [span for span in spans if span not in conversation and span["spanId"].endswith(tuple("20 21 22 23 24 25".split()))]
    own_traces = any(span["traceId"] != conversation[0]["traceId"] for span in turn)
    made = []
    for number in range(1, turns + 1):
        for span in json.loads(json.dumps(turn)):
            for key in ("spanId", "parentSpanId"):
                if span.get(key, "").endswith(tuple("20 21 22 23 24 25".split())):
                    span[key] = f"{number:014x}{span[key][-2:]}"
            if own_traces:
                span["traceId"] = f"{number:030x}20"
            if span["name"].startswith("turn "):
                span["name"] = f"turn {number}"
            for pair in span["attributes"]:
                if pair["key"] == "turn.number":
                    pair["value"] = {"intValue": str(number)}
            move([span], (number - 1) * 5_000_000_000 - turns * 5_000_000_000)
            made.append(span)
    for span in conversation:
        span["startTimeUnixNano"] = made[0]["startTimeUnixNano"]
    return made + conversation

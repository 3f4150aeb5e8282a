#!/usr/bin/env python3
"""Holds the report's figures against numpy's over the same lines.

    python3 -m venv venv && venv/bin/pip install numpy
    venv/bin/python report/tests/check_numpy.py target/release/conversation-report FILE.jsonl...

Quantiles have to lie within the error that the report states (none, or 0.5 % beyond 4,096 values); counts have to be equal.
Exit status 1 if one does not, 77 if there is no numpy.
"""
import json
import math
import subprocess
import sys

try:
    import numpy
except ImportError:
    print("did not run: there is no numpy (pip install numpy)")
    sys.exit(77)


def value(attribute):
    (kind, value), = attribute["value"].items()
    return {"intValue": int, "doubleValue": float}.get(kind, lambda it: it)(value)


def spans(paths):
    for path in paths:
        with open(path, encoding="utf-8") as lines:
            for line in filter(str.strip, lines):
                for resource in json.loads(line)["resourceSpans"]:
                    for scope in resource["scopeSpans"]:
                        for span in scope["spans"]:
                            yield span, {a["key"]: value(a) for a in span.get("attributes", [])}


def main():
    binary, *paths = sys.argv[1:] or sys.exit(__doc__)
    run = subprocess.run([binary, "--format", "json", *paths], capture_output=True, text=True, check=True)
    report = json.loads(run.stdout)
    values, counts = {}, {"turns": 0, "interruptions": 0, "errors": 0}
    services = {}
    for span, a in spans(paths):
        add = lambda key, it: values.setdefault(key, []).append(it)
        length = (int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) / 1e9
        if "gen_ai.operation.name" in a:
            failed = span.get("status", {}).get("code") == 2
            counts["errors"] += failed
            operation = a["gen_ai.operation.name"]
            kind = {"chat": "llm", "execute_tool": "tool"}.get(operation, operation)
            name = (kind, a.get("gen_ai.provider.name"), a.get("gen_ai.request.model", a.get("gen_ai.tool.name")))
            services[name] = services.get(name, 0) + 1
            add((name, "duration"), length)
            if "metrics.ttfb" in a:
                add((name, "time_to_first_byte"), a["metrics.ttfb"])
        elif span["name"] == "turn" and "turn.type" in a:
            counts["turns"] += 1
            counts["interruptions"] += a["turn.end_reason"] == "interrupted"
            add("turn_duration", a["turn.duration_seconds"])
            if "turn.user_bot_latency_seconds" in a:
                add("user_bot_latency", a["turn.user_bot_latency_seconds"])
            if a.get("turn.latency.measured_from") == "user_silence":
                for key in a:
                    if key.startswith("turn.latency.") and key != "turn.latency.measured_from":
                        add(("part", key.removeprefix("turn.latency.")), a[key])
        elif span["name"] == "conversation" and "conversation.type" in a:
            add("call_duration", a.get("conversation.duration_seconds", length))

    summaries = {key: report[key] for key in ("user_bot_latency", "turn_duration", "call_duration")}
    summaries |= {("part", part["part"]): part for part in report["parts"]}
    for service in report["services"]:
        name = (service["service"], service["provider"], service["model"])
        for key in ("duration", "time_to_first_byte"):
            if service[key]:
                summaries[(name, key)] = service[key]
    wrong, compared, worst = [], 0, 0.0

    def hold(what, got, expected, error):
        nonlocal compared, worst
        compared += 1
        off = abs(got - expected) / expected if expected else abs(got)
        worst = max(worst, off if error else 0.0)
        if not off <= error + 1e-9:
            wrong.append(f"{what}: {got}, numpy has {expected}")

    for key in summaries.keys() | values.keys():
        summary, of = summaries.get(key), values.get(key, [])
        if summary is None or summary["count"] != len(of):
            wrong.append(f"{key}: {summary and summary['count']} values, numpy has {len(of)}")
            continue
        for name, q in (("p50", 50), ("p95", 95), ("p99", 99)):
            hold(f"{key} {name}", summary[name], float(numpy.percentile(of, q)), summary["quantile_error"])
        hold(f"{key} mean", summary["mean"], math.fsum(of) / len(of), 0.0)
        hold(f"{key} max", summary["max"], max(of), 0.0)
    for key, count in counts.items():
        hold(key, report[key], count, 0.0)
    for service in report["services"]:
        name = (service["service"], service["provider"], service["model"])
        hold(f"{name} requests", service["requests"], services.get(name, 0), 0.0)
    print("\n".join(wrong))
    print(f"{compared - len(wrong)} of {compared} figures agree; quantiles beyond 4,096 values are off by {worst:.3%} at most")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()

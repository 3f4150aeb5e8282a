"""OTLP metrics as the strict receiver lists them: what is wrong with them, their points, and the same computed from spans."""

VOICE = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10]
CONVERSATION = [5, 10, 20, 30, 60, 120, 180, 300, 600, 900, 1200, 1800, 2700, 3600]
TURN = [0.5, 1, 2, 3, 5, 7.5, 10, 15, 20, 30, 45, 60, 90, 120]
OPERATION = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
AGENT = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6]
TOKENS = [4**power for power in range(14)]


def value(any_value):
    ((kind, content),) = any_value.items()
    return int(content) if kind == "intValue" else content


def attributes(pairs):
    return {pair["key"]: value(pair["value"]) for pair in pairs}


def of_scope(requests):
    """Each resource, scope and metric of the requests that carry metrics."""
    for request in requests:
        for resource in request.get("resourceMetrics", []):
            for scope in resource["scopeMetrics"]:
                for metric in scope["metrics"]:
                    yield resource.get("resource", {}), scope.get("scope", {}), metric


def complaints(requests):
    """What of OTLP's rules for metrics does not hold."""
    found = []
    for resource, scope, metric in of_scope(requests):
        wrong = lambda what: found.append(f"metric {metric.get('name')!r}: {what}")  # noqa: E731
        if "service.name" not in attributes(resource.get("attributes", [])):
            wrong("resource without service.name")
        if not scope.get("name"):
            wrong("scope without a name")
        if not metric.get("name"):
            wrong("no name")
        kinds = [kind for kind in ("gauge", "sum", "histogram", "exponentialHistogram", "summary") if kind in metric]
        if len(kinds) != 1:
            wrong(f"data {kinds}")
            continue
        data = metric[kinds[0]]
        if kinds[0] in ("sum", "histogram", "exponentialHistogram") and "aggregationTemporality" not in data:
            wrong("no temporality")
        seen = []
        for point in data.get("dataPoints", []):
            keys = [pair["key"] for pair in point.get("attributes", [])]
            if len(keys) != len(set(keys)) or "" in keys:
                wrong(f"empty or duplicate attribute keys {keys}")
            series = attributes(point.get("attributes", []))
            if series in seen:
                wrong(f"two points of {series}")
            seen.append(series)
            start, time = int(point.get("startTimeUnixNano", 0)), int(point.get("timeUnixNano", 0))
            if not 0 < start <= time:
                wrong(f"start {start}, time {time}")
            if kinds[0] == "sum":
                amount = float(point.get("asDouble", point.get("asInt", "nan")))
                if not (amount >= 0 or data.get("isMonotonic") is not True) or amount != amount:
                    wrong(f"value {amount}")
            if kinds[0] == "histogram":
                counts, bounds = [int(count) for count in point["bucketCounts"]], point["explicitBounds"]
                if len(counts) != len(bounds) + 1 or sum(counts) != int(point["count"]):
                    wrong(f"{len(counts)} buckets of {len(bounds)} bounds, {sum(counts)} of {point['count']} values")
                if bounds != sorted(set(bounds)):
                    wrong(f"bounds {bounds}")
                if not point.get("min", 0) <= point.get("max", 0):
                    wrong("min above max")
        if not seen:
            wrong("no points")
    return found


def points(requests):
    """(metric, sorted attributes) -> a number, or (count, sum, bounds, bucket counts), as the last request has it."""
    latest = {}
    for _, scope, metric in of_scope(requests):
        if scope["name"] != "tracing_conversation":
            continue
        for point in metric.get("sum", {}).get("dataPoints", []):
            number = float(point["asDouble"] if "asDouble" in point else point["asInt"])
            latest[key(metric["name"], attributes(point.get("attributes", [])))] = number
        for point in metric.get("histogram", {}).get("dataPoints", []):
            counts = [int(count) for count in point["bucketCounts"]]
            whole = int(point["count"]), point.get("sum", 0.0), point["explicitBounds"], counts
            latest[key(metric["name"], attributes(point.get("attributes", [])))] = whole
    return latest


def key(name, labels):
    return name, tuple(sorted((label, text) for label, text in labels.items() if text is not None))


class Measured:
    """What the spans of OTLP/JSON requests say, by metric and attributes."""

    def __init__(self, requests):
        self.values, self.sums, self.bounds = {}, {}, {}
        self.spans, self.parents = [], {}
        for request in requests:
            for resource in request.get("resourceSpans", []):
                for scope in resource["scopeSpans"]:
                    self.spans += scope["spans"]
        for span in self.spans:
            span["facts"] = attributes(span.get("attributes", []))
            span["seconds"] = (int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"])) / 1e9
            self.parents.setdefault(span.get("parentSpanId") or None, []).append(span)
        for span in self.spans:
            {"conversation": self.conversation, "turn": self.turn}.get(span["name"], self.service)(span, span["facts"])

    def record(self, name, bounds, number, **labels):
        series = key(name, {label.replace("__", "."): text for label, text in labels.items()})
        self.bounds[name] = bounds
        self.values.setdefault(series, []).append(number)

    def conversation(self, span, facts):
        self.record("conversation.duration", CONVERSATION, span["seconds"], conversation__type=facts["conversation.type"])

    def turn(self, span, facts):
        self.record("conversation.turn.duration", TURN, span["seconds"], turn__end_reason=facts["turn.end_reason"])
        for name, fact in (
            ("conversation.turn.user_bot_latency", "turn.user_bot_latency_seconds"),
            ("conversation.turn.barge_in.stop", "turn.barge_in.stop_seconds"),
        ):
            if fact in facts:
                self.record(name, VOICE, facts[fact])
        for fact, number in facts.items():
            if fact.startswith("turn.latency.") and isinstance(number, float):
                measured_from = facts["turn.latency.measured_from"]
                part = fact.removeprefix("turn.latency.")
                self.record("conversation.turn.latency", VOICE, number, part=part, turn__latency__measured_from=measured_from)

    def service(self, span, facts):
        operation = facts.get("gen_ai.operation.name")
        if operation is None:
            return
        names = {"gen_ai__provider__name": facts.get("gen_ai.provider.name"), "gen_ai__request__model": facts.get("gen_ai.request.model")}
        error, ttfb = {"error__type": facts.get("error.type")}, facts.get("metrics.ttfb")
        if operation in ("chat", "text_completion", "generate_content", "tts", "text_to_speech", "audio_generation", "realtime"):
            labels = names | error | {"gen_ai__operation__name": operation}
            self.record("gen_ai.client.operation.duration", OPERATION, span["seconds"], **labels)
            if ttfb is not None:
                self.record("gen_ai.client.operation.time_to_first_chunk", OPERATION, ttfb, **labels)
        if operation in ("stt", "speech_to_text", "transcription") and ttfb is not None:
            self.record("conversation.stt.ttfb", VOICE, ttfb, **names)
        if operation == "execute_tool":
            tool = {f"gen_ai__{label}": facts.get(f"gen_ai.{label.replace('__', '.')}") for label in ("tool__name", "tool__type", "agent__name")}
            self.record("gen_ai.execute_tool.duration", OPERATION, span["seconds"], **tool, **error)
        if operation == "invoke_agent":
            names = {"gen_ai__agent__name": facts.get("gen_ai.agent.name"), "gen_ai__request__model": facts.get("gen_ai.request.model")}
            self.record("gen_ai.invoke_agent.duration", AGENT, span["seconds"], **names, **error)
        for token_type in ("input", "output"):
            tokens = self.counted(span, f"gen_ai.usage.{token_type}_tokens")
            if tokens is not None:
                labels = names | {"gen_ai__operation__name": operation, "gen_ai__token__type": token_type}
                self.record("gen_ai.client.token.usage", TOKENS, tokens, **labels)
        for fact, name in (("metrics.character_count", "conversation.speech.characters"), ("metrics.audio_seconds", "conversation.speech.audio")):
            amount = self.counted(span, fact)
            if amount is not None:
                series = key(name, {label.replace("__", "."): text for label, text in names.items()})
                self.sums[series] = self.sums.get(series, 0) + amount

    def counted(self, span, fact):
        """The figure, unless a span below has it too."""
        below = list(self.parents.get(span["spanId"], []))
        while below:
            child = below.pop()
            if fact in child["facts"]:
                return None
            below += self.parents.get(child["spanId"], [])
        return span["facts"].get(fact)

    def points(self):
        """As `points` of a receiver's requests, at the end of all conversations."""
        found = {key("conversation.active", {}): 0.0, **self.sums}
        for series, numbers in self.values.items():
            bounds = self.bounds[series[0]]
            counts = [0] * (len(bounds) + 1)
            for number in numbers:
                counts[sum(number > bound for bound in bounds)] += 1
            found[series] = len(numbers), sum(numbers), bounds, counts
        return found


def differences(got, wanted):
    """Which points are missing, strange or different; sums may differ in their last digits."""
    found = [f"{series}: not received" for series in wanted.keys() - got.keys()]
    found += [f"{series}: received {got[series]}, not in the spans" for series in got.keys() - wanted.keys()]
    for series in wanted.keys() & got.keys():
        one, other = got[series], wanted[series]
        flat = (lambda point: [point] if isinstance(point, float | int) else [point[0], point[1], *point[2], *point[3]])
        one_flat, other_flat = flat(one), flat(other)
        if len(one_flat) != len(other_flat) or any(abs(a - b) > 1e-6 * max(1, abs(b)) for a, b in zip(one_flat, other_flat)):
            found.append(f"{series}: received {one}, the spans give {other}")
    return sorted(found)

"""Fakes that accept only what the vendors' SDKs model; the agent argv[1] holds the bundled caller's conversation with them.

Deepgram's query is checked against the parameters of the SDK's `connect`, control messages against its models; requests to
the language model against openai's `CompletionCreateParams`; those to Cartesia against `GenerationRequest` and
`CancelContextRequest`, and against what the guides say of contexts; the events of `--realtime` against openai's
`RealtimeClientEventParam`. Answers are made of the SDKs' models too.
"""

import asyncio
import base64
import inspect
import json
import os
import subprocess
import sys
import threading
import time
import typing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import pydantic
from cartesia.types.generation_request import GenerationRequest
from cartesia.types.websocket_client_event import CancelContextRequest
from cartesia.types.websocket_response import Chunk, Done, Timestamps
from deepgram.listen.v1.client import V1Client
from deepgram.listen.v1.types import ListenV1CloseStream, ListenV1Finalize, ListenV1KeepAlive
from deepgram.listen.v1.types.listen_v1results import ListenV1Results
from openai.types.chat.chat_completion_chunk import ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from openai.types.realtime import RealtimeClientEventParam, RealtimeServerEvent
from websockets.asyncio.server import serve

complaints, seen = [], {"transcripts": 0, "answers": 0, "contexts": 0, "responses": 0, "truncated": 0}


def strictly(model, value, what):
    """Complains unless `value` is valid, and has no more fields than the model knows."""
    try:
        if isinstance(model, pydantic.TypeAdapter):
            model.validate_python(value)
            return
        known = {field.alias or name for name, field in model.model_fields.items()}
        if set(value) - known:
            complaints.append(f"{what}: unknown {set(value) - known}")
        model.model_validate(value)
    except pydantic.ValidationError as error:
        complaints.append(f"{what}: {error}")


# Deepgram

LISTEN = set(inspect.signature(V1Client.connect).parameters) - {"self", "authorization", "request_options"}
CONTROL = {"Finalize": ListenV1Finalize, "KeepAlive": ListenV1KeepAlive, "CloseStream": ListenV1CloseStream}


async def listen(socket):
    query = dict(parse_qsl(urlsplit(socket.request.path).query))
    if set(query) - LISTEN:
        complaints.append(f"Deepgram has no {set(query) - LISTEN}")
    if not socket.request.headers["authorization"].startswith("Token "):
        complaints.append("Deepgram: the key is not in `authorization: Token`")
    seconds = 0.0
    async for message in socket:
        if isinstance(message, bytes):
            seconds += len(message) / 2 / 16000
            continue
        message = json.loads(message)
        strictly(CONTROL[message["type"]], message, f"Deepgram, {message['type']}")
        if message["type"] == "CloseStream":
            return
        if message["type"] == "Finalize":
            seen["transcripts"] += 1
            # As the guide has it: what is final, and not always `from_finalize`.
            alternative = {"transcript": f"Question {seen['transcripts']}.", "confidence": 1.0, "words": []}
            results = ListenV1Results.model_validate(
                {
                    "type": "Results",
                    "channel_index": [0, 1],
                    "duration": seconds,
                    "start": 0.0,
                    "is_final": True,
                    "from_finalize": True if seen["transcripts"] % 2 else None,
                    "channel": {"alternatives": [alternative]},
                    "metadata": {"request_id": "r", "model_uuid": "m", "model_info": {"name": "n", "version": "v", "arch": "a"}},
                }
            )
            await socket.send(results.model_dump_json(exclude_none=True))


# OpenAI

REQUEST = pydantic.TypeAdapter(CompletionCreateParamsStreaming)
FIELDS = set(typing.get_type_hints(CompletionCreateParamsStreaming))


class Chat(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        strictly(REQUEST, body, "OpenAI")
        if set(body) - FIELDS:
            complaints.append(f"OpenAI: unknown {set(body) - FIELDS}")
        if "max_tokens" in body or "temperature" in body:
            complaints.append("OpenAI: reasoning models refuse max_tokens and temperature")
        seen["answers"] += 1
        calls = seen["answers"] == 2
        deltas = [{"role": "assistant", "content": ""}]
        if calls:
            call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}
            deltas += [{"content": "Let me look."}, {"tool_calls": [call]}]
        else:
            deltas += [{"content": word} for word in f"This is answer number {seen['answers']}. Is that fine? Yes.".split(" ")]
            deltas = [{**delta, "content": delta["content"] + " "} for delta in deltas]
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for number, delta in enumerate(deltas + [{}]):
            finish = None if number < len(deltas) else "tool_calls" if calls else "stop"
            chunk = {"id": "c", "created": 1, "model": body["model"], "object": "chat.completion.chunk"}
            chunk["choices"] = [{"index": 0, "delta": delta, "finish_reason": finish}]
            self.wfile.write(f"data: {ChatCompletionChunk.model_validate(chunk).model_dump_json()}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def do_GET(self):
        path = urlsplit(self.path).path
        if path == "/v1/search":
            answer = {"results": [{"name": "Paris", "latitude": 1.0, "longitude": 2.0}]}
        else:
            # Longer than a context of Cartesia's lasts.
            time.sleep(1.5)
            answer = {"current": {"temperature_2m": 20.0, "weather_code": 0}}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


# Cartesia

SAME = ("model_id", "voice", "output_format", "language", "add_timestamps", "max_buffer_delay_ms")


class Context:
    """Speaks what it is given, and ends by itself a second after its last audio."""

    def __init__(self, socket, first):
        self.socket, self.first, self.given, self.over = socket, first, asyncio.Queue(), False
        self.task = asyncio.create_task(self.speak())

    async def speak(self):
        identity, spoken = self.first["context_id"], 0.0
        while True:
            try:
                request = await asyncio.wait_for(self.given.get(), 1.0 if spoken else None)
            except TimeoutError:
                break
            words = request["transcript"].split()
            if words:
                audio = base64.b64encode(bytes([0, 8]) * (1600 * len(words))).decode()
                starts = [spoken + 0.1 * index for index in range(len(words))]
                times = {"words": words, "start": starts, "end": [start + 0.1 for start in starts]}
                common = {"done": False, "status_code": 206, "context_id": identity}
                messages = [
                    Timestamps.model_validate({"type": "timestamps", **common, "word_timestamps": times}),
                    Chunk.model_validate({"type": "chunk", **common, "data": audio, "step_time": 1.0}),
                ]
                for message in messages:
                    await self.socket.send(message.model_dump_json(exclude_none=True))
                spoken += 0.1 * len(words)
            if not request.get("continue"):
                break
        self.over = True
        done = Done.model_validate({"type": "done", "done": True, "status_code": 206, "context_id": identity})
        await self.socket.send(done.model_dump_json(exclude_none=True))


async def speak(socket):
    if socket.request.headers.get("cartesia-version") is None or not socket.request.headers["authorization"].startswith("Bearer "):
        complaints.append("Cartesia: version or key is missing")
    contexts = {}
    async for message in socket:
        message = json.loads(message)
        if message.get("cancel"):
            strictly(CancelContextRequest, message, "Cartesia, cancel")
            if message["context_id"] in contexts:
                contexts[message["context_id"]].task.cancel()
            continue
        strictly(GenerationRequest, message, "Cartesia")
        if message.get("max_buffer_delay_ms") != 0:
            complaints.append("Cartesia: sentences are buffered here and there")
        context = contexts.get(message["context_id"])
        if context is None:
            seen["contexts"] += 1
            context = contexts[message["context_id"]] = Context(socket, message)
        elif context.over:
            complaints.append(f"Cartesia: {message['context_id']} is continued after its end")
        elif any(context.first.get(key) != message.get(key) for key in SAME):
            complaints.append(f"Cartesia: {message['context_id']} changes what must stay the same")
        await context.given.put(message)


# OpenAI Realtime

CLIENT_EVENT = pydantic.TypeAdapter(RealtimeClientEventParam)
SERVER_EVENT = pydantic.TypeAdapter(RealtimeServerEvent)


async def realtime(socket):
    async def send(kind, **fields):
        event = {"type": kind, "event_id": "e", **fields}
        SERVER_EVENT.validate_python(event)
        await socket.send(json.dumps(event))

    buffered, answers = 0, 0
    async for message in socket:
        message = json.loads(message)
        strictly(CLIENT_EVENT, message, f"Realtime, {message['type']}")
        if message["type"] == "input_audio_buffer.append":
            buffered += len(base64.b64decode(message["audio"])) / 2 / 24000
        elif message["type"] == "input_audio_buffer.commit":
            if buffered < 0.1:
                complaints.append(f"Realtime: {buffered} s of audio are committed, and 0.1 s is the least")
            buffered = 0
            await send("input_audio_buffer.committed", item_id="i")
        elif message["type"] == "conversation.item.truncate":
            seen["truncated"] += 1
        elif message["type"] == "response.create":
            answers += 1
            seen["responses"] += 1
            identity, item = f"r{answers}", f"a{answers}"
            response = {"id": identity, "object": "realtime.response", "status": "in_progress", "output": []}
            await send("response.created", response={**response, "metadata": message["response"].get("metadata")})
            part = {"response_id": identity, "item_id": item, "output_index": 0, "content_index": 0}
            for word in f"This is answer number {answers}.".split():
                await send("response.output_audio_transcript.delta", delta=word + " ", **part)
                audio = base64.b64encode(bytes([0, 8]) * 24000).decode()
                await send("response.output_audio.delta", delta=audio, **part)
            await send("response.output_audio_transcript.done", transcript="", **part)
            details = {"audio_tokens": 5, "text_tokens": 5}
            usage = {"input_tokens": 3, "output_tokens": 10, "total_tokens": 13, "output_token_details": details}
            await send("response.done", response={**response, "status": "completed", "usage": usage})


async def converse(environment, *arguments):
    """What the agent prints of the bundled caller's conversation."""
    agent = await asyncio.create_subprocess_exec(
        sys.argv[1], *arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    printed, said = await asyncio.wait_for(agent.communicate(), 120)
    if agent.returncode:
        complaints.append(f"the agent ended with {agent.returncode}: {said.decode()}")
    return printed.decode()


def answers(printed):
    """How many answers the tree has, heard or not."""
    return printed.replace("[not heard: ", "").count("answer number")


async def main():
    chat = ThreadingHTTPServer(("127.0.0.1", 0), Chat)
    threading.Thread(target=chat.serve_forever, daemon=True).start()
    http = f"http://127.0.0.1:{chat.server_port}"
    async with serve(listen, "127.0.0.1", 0) as deepgram, serve(speak, "127.0.0.1", 0) as cartesia:
        def address(server):
            return f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"

        environment = {
            **os.environ,
            "DEEPGRAM_API_KEY": "k1",
            "DEEPGRAM_URL": address(deepgram),
            "OPENAI_API_KEY": "k2",
            "OPENAI_BASE_URL": f"{http}/v1",
            "CARTESIA_API_KEY": "k3",
            "CARTESIA_URL": address(cartesia),
            "GEOCODING_URL": http,
            "WEATHER_URL": http,
            "OTEL_CONSOLE_EXPORT": "tree",
        }
        printed = await converse(environment)
        # The greeting, four answers, one of them in two requests and in two contexts.
        if seen != {"transcripts": 4, "answers": 6, "contexts": 6, "responses": 0, "truncated": 0}:
            complaints.append(f"not what a conversation takes: {seen}")
        if answers(printed) < 5:
            complaints.append(f"the answers are not all in the tree:\n{printed}")
    async with serve(realtime, "127.0.0.1", 0) as server:
        address = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        environment = {**os.environ, "OPENAI_API_KEY": "k2", "OPENAI_BASE_URL": f"{http}/v1", "OTEL_CONSOLE_EXPORT": "tree"}
        printed = await converse({**environment, "OPENAI_REALTIME_URL": address}, "--realtime")
        if (seen["responses"], seen["truncated"]) != (5, 1) or answers(printed) < 5:
            complaints.append(f"not what a conversation takes: {seen}\n{printed}")
    for complaint in complaints:
        print(f"fakes.py ... FAILED: {complaint}")
    if not complaints:
        print("fakes.py ... passed")
    return 1 if complaints else 0


sys.exit(asyncio.run(main()))

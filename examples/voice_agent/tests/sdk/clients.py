"""The SDKs from PyPI against the stand-ins at argv[1], with the recording argv[2] as speech; started by `run`."""

import array
import base64
import json
import sys
import wave

import openai
import pydantic
from cartesia import Cartesia
from cartesia.types import websocket_response
from deepgram import DeepgramClient
from deepgram.environment import DeepgramClientEnvironment
from deepgram.listen.v1.types.listen_v1metadata import ListenV1Metadata
from deepgram.listen.v1.types.listen_v1results import ListenV1Results
from deepgram.listen.v1.types.listen_v1speech_started import ListenV1SpeechStarted
from deepgram.listen.v1.types.listen_v1utterance_end import ListenV1UtteranceEnd
from openai.types.realtime import RealtimeServerEvent

ADDRESS, SPEECH = sys.argv[1:]
KEY = "stand-in-key"
SAID = "What is the weather like in Paris today?"


def sound():
    with wave.open(SPEECH) as recording:
        eight_bits = recording.readframes(recording.getnframes())
    return b"".join(((byte - 128) << 8).to_bytes(2, "little", signed=True) for byte in eight_bits)


def deepgram_client(key=KEY):
    environment = DeepgramClientEnvironment(
        base=f"http://{ADDRESS}", production=f"ws://{ADDRESS}", agent=f"ws://{ADDRESS}", agent_rest=f"http://{ADDRESS}"
    )
    return DeepgramClient(api_key=key, environment=environment)


DEEPGRAM_MODELS = {
    "Results": ListenV1Results,
    "Metadata": ListenV1Metadata,
    "SpeechStarted": ListenV1SpeechStarted,
    "UtteranceEnd": ListenV1UtteranceEnd,
}


def deepgram():
    options = {"model": "nova-3", "encoding": "linear16", "sample_rate": 16000}
    asked = {"interim_results": "true", "vad_events": "true", "utterance_end_ms": 1000}
    for more in ({}, asked):
        with deepgram_client().listen.v1.connect(**options, **more) as socket:
            audio = sound() + bytes(2 * 16000 * 2)
            for at in range(0, len(audio), 1024):
                socket.send_media(audio[at : at + 1024])
            socket.send_keep_alive()
            socket.send_finalize()
            socket.send_close_stream()
            messages = []
            while True:
                raw = json.loads(socket._websocket.recv(timeout=20))
                # The SDK itself checks nothing.
                messages.append(DEEPGRAM_MODELS[raw["type"]].model_validate(raw, strict=True))
                if raw["type"] == "Metadata":
                    break
        kinds = [message.type for message in messages]
        final = [message for message in messages if message.type == "Results" and message.is_final]
        assert [message.channel.alternatives[0].transcript for message in final] == [SAID], final
        words = final[0].channel.alternatives[0].words
        assert [word.punctuated_word for word in words] == SAID.split()
        ends = [final[0].start, *(time for word in words for time in (word.start, word.end)), final[0].start + final[0].duration]
        assert ends == sorted(ends), ends
        assert ("SpeechStarted" in kinds, "UtteranceEnd" in kinds, kinds.count("Results") > 1) == ((bool(more),) * 3), kinds
    try:
        with deepgram_client("wrong").listen.v1.connect(**options):
            raise AssertionError("a wrong key is accepted")
    except Exception as error:
        assert "401" in str(error), error


def chat():
    client = openai.OpenAI(base_url=f"http://{ADDRESS}/v1", api_key=KEY, max_retries=0)
    hello = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
    ids = set()
    for usage in (False, True):
        options = {"stream_options": {"include_usage": True}} if usage else {}
        chunks = list(client.chat.completions.create(model="gpt-4o-mini", messages=hello, stream=True, **options))
        for chunk in chunks:
            type(chunk).model_validate(chunk.model_dump(), strict=True)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text.startswith("Hello to you too."), text
        assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - usage) + [True] * usage
        ids |= {chunk.id for chunk in chunks}
    whole = client.chat.completions.create(model="gpt-4o-mini", messages=hello)
    assert whole.choices[0].message.content == text and whole.usage.total_tokens > 0, whole
    assert len(ids | {whole.id}) == 3, ids
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}
    asks = [{"role": "user", "content": "How is the weather in Tokyo?"}]
    with client.chat.completions.stream(model="gpt-4o-mini", messages=asks, tools=[tool]) as stream:
        call = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "Tokyo"}, call
    for key, model, expected in (("wrong", "m", openai.AuthenticationError), (KEY, "", openai.BadRequestError)):
        try:
            client.with_options(api_key=key).chat.completions.create(model=model, messages=hello)
            raise AssertionError(f"{expected.__name__} is not raised")
        except expected:
            pass


def realtime():
    client = openai.OpenAI(base_url=f"http://{ADDRESS}/v1", websocket_base_url=f"ws://{ADDRESS}/v1", api_key=KEY)
    events = pydantic.TypeAdapter(RealtimeServerEvent)
    pcm = {"type": "audio/pcm", "rate": 24000}
    tool = {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}}
    # From 16 to 24 kHz: two samples become three.
    samples = array.array("h", sound())
    wide = array.array("h", (samples[2 * (at // 3) + (at % 3 > 1)] for at in range(len(samples) // 2 * 3)))
    with client.realtime.connect(model="gpt-realtime") as connection:

        def until(last):
            seen = []
            while not seen or seen[-1].type != last:
                raw = json.loads(connection.recv_bytes())
                seen.append(events.validate_python(raw))
                assert last == "error" or raw["type"] != "error", raw
            return seen

        until("session.created")
        connection.session.update(
            session={
                "type": "realtime",
                "audio": {"input": {"format": pcm, "turn_detection": None}, "output": {"format": pcm, "voice": "marin"}},
                "tools": [tool],
            }
        )
        until("session.updated")
        connection.input_audio_buffer.append(audio=base64.b64encode(wide.tobytes()).decode())
        connection.input_audio_buffer.commit()
        until("input_audio_buffer.committed")
        connection.response.create()
        seen = until("response.done")
        call = seen[-1].response.output[0]
        assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Paris"}), call
        result = json.dumps({"city": "Paris", "temperature_celsius": 20.0, "conditions": "clear"})
        connection.conversation.item.create(item={"type": "function_call_output", "call_id": call.call_id, "output": result})
        connection.response.create(response={"metadata": {"number": "7"}})
        seen += until("response.done")
        said = "".join(event.delta for event in seen if event.type == "response.output_audio_transcript.delta")
        assert said == "It is 20 degrees and clear in Paris. A light jacket will do.", said
        audio = b"".join(base64.b64decode(event.delta) for event in seen if event.type == "response.output_audio.delta")
        assert len(audio) > 2 * 24000 * 2, len(audio)
        assert seen[-1].response.usage.output_token_details.audio_tokens > 0, seen[-1]
        heard = [event.transcript for event in seen if event.type == "conversation.item.input_audio_transcription.completed"]
        assert heard == [SAID], heard
        item = next(event.item_id for event in seen if event.type == "response.output_audio.delta")
        connection.conversation.item.truncate(item_id=item, content_index=0, audio_end_ms=500)
        assert until("conversation.item.truncated")[-1].audio_end_ms == 500
        connection.response.cancel()
        assert until("error")[-1].error.code == "response_cancel_not_active"


def cartesia():
    voice, form = {"mode": "id", "id": "v"}, {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 16000}
    models = {
        "chunk": websocket_response.Chunk,
        "timestamps": websocket_response.Timestamps,
        "flush_done": websocket_response.FlushDone,
        "done": websocket_response.Done,
        "error": websocket_response.Error,
    }
    # The key as the SDK sends it, as earlier ones did, and as browsers have to.
    address = {"base_url": f"http://{ADDRESS}", "websocket_base_url": f"ws://{ADDRESS}"}
    plain = Cartesia(api_key=KEY, **address)
    keyless = Cartesia(api_key="none", **address)
    for client, options in (
        (plain, {}),
        (keyless, {"extra_headers": {"Authorization": "", "X-API-Key": KEY}}),
        (keyless, {"extra_headers": {"Authorization": ""}, "extra_query": {"api_key": KEY}}),
    ):
        with client.tts.websocket_connect(**options) as socket:
            context = socket.context(
                model_id="sonic-3", voice=voice, output_format=form, add_timestamps=True, max_buffer_delay_ms=0
            )
            context.push("It is a fine day. ")
            context.push("", flush=True)
            context.push("Take a walk!")
            context.no_more_inputs()
            messages = list(context.receive())
            for message in messages:
                models[message.type].model_validate(message.model_dump(), strict=True)
            kinds = [message.type for message in messages]
            assert kinds.count("flush_done") == 1 and kinds[-1] == "done", kinds
            audio = {flush: sum(len(m.audio) for m in messages if m.type == "chunk" and m.flush_id == flush) for flush in (1, 2)}
            assert all(length > 16000 for length in audio.values()), audio
            words = [word for m in messages if m.type == "timestamps" for word in m.word_timestamps.words]
            assert " ".join(words) == "It is a fine day. Take a walk!", words
            for wrong in ({"voice": {"mode": "id", "id": ""}}, {"model_id": ""}):
                given = {"model_id": "sonic-3", "voice": voice, "output_format": form, **wrong}
                refused = socket.context(**given)
                refused.push("Hello.")
                answer = next(refused.receive())
                assert answer.type == "error" and answer.status_code == 400, answer


failed = 0
for check in (deepgram, chat, realtime, cartesia):
    try:
        check()
        print(f"clients.py, {check.__name__} ... passed")
    except Exception as error:  # Whatever it is: the others are checked too.
        failed = 1
        print(f"clients.py, {check.__name__} ... FAILED: {type(error).__name__}: {error}")
sys.exit(failed)

#!/usr/bin/env python3
"""Drives the voice agent's web page in headless Chromium, with a WAV file as its microphone.

    cargo build -p voice_agent
    python3 examples/voice_agent/check_page.py [--screenshot FILE] [PROGRAM]

Exit status 0: a conversation happened and its tree appeared. 1: it did not. 77: not run, there is no Chromium.
Needs nothing beyond Python's standard library and Chromium, which is spoken to over its debugging pipe.
"""

import argparse
import base64
import itertools
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import time
import wave

HERE = pathlib.Path(__file__).resolve().parent
RATE = 16_000


def microphone(path):
    """What the user says: silence while the bot greets, a question, silence for the answer, goodbye, silence."""
    sound = bytearray()
    for part in (6.0, "weather", 9.0, "goodbye", 30.0):
        if isinstance(part, float):
            sound += bytes([128]) * int(part * RATE)
        else:
            with wave.open(str(HERE / "speech" / f"{part}.wav")) as recording:
                sound += recording.readframes(recording.getnframes())
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(b"".join(((byte - 128) << 8).to_bytes(2, "little", signed=True) for byte in sound))


class Browser:
    """Chromium over `--remote-debugging-pipe`: JSON messages that end in a zero byte, on descriptors 3 and 4."""

    def __init__(self, chromium, sound, profile):
        to_read, self.to = os.pipe()
        self.out, to_write = os.pipe()

        def place():
            # Copies first: the pipes may themselves have the numbers 3 and 4.
            ours, theirs = os.dup(to_read), os.dup(to_write)
            os.dup2(ours, 3)
            os.dup2(theirs, 4)

        self.process = subprocess.Popen(
            [
                chromium,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--remote-debugging-pipe",
                f"--user-data-dir={profile}",
                "--use-fake-ui-for-media-stream",
                "--use-fake-device-for-media-stream",
                f"--use-file-for-fake-audio-capture={sound}",
                "--autoplay-policy=no-user-gesture-required",
                "--window-size=1000,1400",
            ],
            preexec_fn=place,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self.ids = itertools.count(1)
        self.rest = b""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def ask(self, method, **parameters):
        number = next(self.ids)
        message = {"id": number, "method": method, "params": parameters}
        if getattr(self, "session", None):
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 30
        while True:
            while b"\0" in self.rest:
                answer, self.rest = self.rest.split(b"\0", 1)
                answer = json.loads(answer)
                if answer.get("id") == number:
                    if "error" in answer:
                        raise RuntimeError(f"{method}: {answer['error']['message']}")
                    return answer["result"]
            if not select.select([self.out], [], [], max(0, deadline - time.monotonic()))[0]:
                raise RuntimeError(f"{method}: Chromium did not answer within 30 s")
            self.rest += os.read(self.out, 1 << 20)

    def evaluate(self, expression):
        result = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)["result"]
        return result.get("value")

    def wait(self, what, expression, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.evaluate(expression):
                return
            time.sleep(0.2)
        page = self.evaluate("document.body.innerText")
        raise RuntimeError(f"within {seconds} s: no {what}. The page says:\n{page}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--screenshot", type=pathlib.Path)
    parser.add_argument("program", nargs="?", default="target/debug/voice_agent")
    given = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not chromium:
        print("web page: NOT RUN, there is no Chromium (Debian: apt-get install chromium)")
        return 77
    if not pathlib.Path(given.program).exists():
        print(f"web page: {given.program} does not exist (cargo build -p voice_agent)")
        return 1
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        sound = pathlib.Path(scratch) / "microphone.wav"
        microphone(sound)
        # Keys of the machine's would lead to the providers: this is about the page.
        environment = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY") and not k.startswith("OTEL_")}
        agent = subprocess.Popen(
            [os.path.abspath(given.program), "--serve", "127.0.0.1:0", "--fault", "none"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=scratch,
            env=environment,
        )
        browser = None
        try:
            address = next(word for line in agent.stderr for word in line.split() if word.startswith("http://"))
            browser = Browser(chromium, sound, os.path.join(scratch, "profile"))
            browser.ask("Page.enable")
            browser.ask("Page.navigate", url=address)
            browser.wait("page", "document.readyState === 'complete' && !!document.getElementById('call')", 20)
            browser.evaluate("document.getElementById('call').click()")
            says = "[...document.querySelectorAll('.turn')].map((turn) => turn.innerText)"
            browser.wait("greeting", f"{says}.some((turn) => /travel assistant/.test(turn))", 40)
            browser.wait("answer about the weather", f"{says}.some((turn) => /get_weather/.test(turn) && /degrees/.test(turn))", 40)
            browser.wait("goodbye", f"{says}.some((turn) => /Have a good trip/.test(turn))", 40)
            if given.screenshot:
                shot = browser.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True)
                given.screenshot.write_bytes(base64.b64decode(shot["data"]))
            browser.evaluate("document.getElementById('call').click()")
            browser.wait("end of the conversation", "document.getElementById('turns').dataset.ended === 'true'", 10)
            turns = browser.evaluate(says)
            if len(turns) < 3:
                raise RuntimeError(f"{len(turns)} turns instead of at least 3: {turns}")
            print(f"web page: ok, {len(turns)} turns, the tree appeared")
            return 0
        except (RuntimeError, StopIteration) as error:
            print(f"web page: FAILED, {error}")
            return 1
        finally:
            agent.terminate()
            agent.wait()
            if browser:
                browser.process.terminate()
                browser.process.wait()


if __name__ == "__main__":
    sys.exit(main())

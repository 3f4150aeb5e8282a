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
import re
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
    """What the user says: silence while the bot greets, a question, silence. The rest is said by the page's buttons."""
    sound = bytearray()
    for part in (6.0, "weather", 90.0):
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

    def press(self, phrase):
        buttons = "[...document.querySelectorAll('#phrases button')]"
        self.evaluate(f"{buttons}.find((button) => button.textContent.startsWith({json.dumps(phrase)})).click()")

    def wait(self, what, expression, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.evaluate(expression):
                return
            time.sleep(0.2)
        page = self.evaluate("document.body.innerText")
        raise RuntimeError(f"within {seconds} s: no {what}. The page says:\n{page}")


class Screenshots:
    """Pictures of the page for somebody to look at."""

    SIZES = {"desk": (1000, 1000, False), "phone": (390, 844, True)}

    def __init__(self, browser, directory):
        self.browser, self.directory = browser, directory
        if directory:
            directory.mkdir(parents=True, exist_ok=True)

    def take(self, moment):
        if not self.directory:
            return
        for size, (width, height, mobile) in self.SIZES.items():
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
            self.browser.ask("Emulation.setDeviceMetricsOverride", **metrics)
            for scheme in ("light", "dark"):
                features = [{"name": "prefers-color-scheme", "value": scheme}]
                self.browser.ask("Emulation.setEmulatedMedia", features=features)
                shot = self.browser.ask("Page.captureScreenshot", format="png")
                (self.directory / f"{moment}-{size}-{scheme}.png").write_bytes(base64.b64decode(shot["data"]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--screenshots", type=pathlib.Path, help="a directory: three moments, on a desk and on a phone, light and dark")
    parser.add_argument("--realtime", action="store_true", help="by speech-to-speech")
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
            [os.path.abspath(given.program), "--serve", "127.0.0.1:0", "--fault", "none", *["--realtime"] * given.realtime],
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
            shots = Screenshots(browser, given.screenshots)
            browser.wait("phrases", "document.querySelectorAll('#phrases button').length === 4", 20)
            browser.evaluate("document.getElementById('call').click()")
            says = "[...document.querySelectorAll('#turns .turn')].map((turn) => turn.innerText)"
            state = "document.getElementById('state').textContent"
            now = "document.getElementById('now').innerText"
            browser.wait("greeting", f"{says}.some((turn) => /travel assistant/.test(turn))", 40)
            browser.wait("hearing of the user", f"{state} === 'You are speaking'", 40)
            browser.wait("part that grows", f"/language model/.test({now})", 40)
            browser.wait("words before the turn is over", f"/What is the weather/.test({now}) && ({now}.match(/degrees/g) ?? []).length === 1", 40)
            browser.wait("speaking bot", f"{state} === 'Speaking'", 40)
            shots.take("speaking")
            browser.wait("answer about the weather", f"{says}.some((turn) => /get_weather/.test(turn) && /degrees/.test(turn))", 40)
            browser.press("What should I see")
            browser.wait("long answer", f"{state} === 'Speaking' && /old town/.test({now})", 40)
            time.sleep(2)  # As long as somebody listens before they interrupt.
            browser.press("Sorry to interrupt")
            browser.wait("words that nobody heard", "/museum/.test(document.querySelector('#turns s')?.textContent)", 40)
            shots.take("interrupted")
            browser.wait("answer to the interruption", f"/river at sunset/.test({now}) && {state} === 'Listening'", 40)
            browser.press("That is all")
            browser.wait("goodbye", f"{says}.some((turn) => /Have a good trip/.test(turn))", 40)
            browser.wait("strip of four latencies", "document.querySelectorAll('#strip li').length === 4", 10)
            browser.evaluate("document.getElementById('call').click()")
            browser.wait("end of the conversation", "document.getElementById('turns').dataset.ended === 'true'", 10)
            shots.take("ended")
            # Each in the call above: three answers were heard to their end, one was interrupted, all took a moment.
            sums = browser.evaluate("document.getElementById('sums').innerText")
            for figure in ("Turns\n5\n", "Interruptions\n1\n", "Errors\n0\n", "You spoke\n", "Bot spoke\n", "Answers took\n", "Tokens\n", "Transcribed\n"):
                if figure not in sums:
                    raise RuntimeError(f"no {figure.split()} among what the call sums up to:\n{sums}")
            turns = browser.evaluate(says)
            if browser.evaluate("document.getElementById('problem').textContent"):
                raise RuntimeError("the page complains: " + browser.evaluate("document.getElementById('problem').textContent"))
            agent.kill()
            agent.wait()
            browser.evaluate("document.getElementById('call').click()")
            browser.wait("complaint that the server is gone", "/does not answer/.test(document.getElementById('problem').textContent)", 20)

            if len(turns) != 5:
                raise RuntimeError(f"{len(turns)} turns instead of 5: {turns}")
            if not any(re.search(r"interrupted [\d.]+ m?s into the answer\s+answered after .*spoke: you .* · bot ", turn, re.DOTALL) for turn in turns):
                raise RuntimeError(f"no turn says how far the answer came: {turns}")
            print(f"web page: ok, {len(turns)} turns, the tree appeared")
            return 0
        except (RuntimeError, StopIteration) as error:
            print(f"web page: FAILED, {error}")
            return 1
        finally:
            agent.kill()
            agent.wait()
            if browser:
                browser.process.terminate()
                browser.process.wait()


if __name__ == "__main__":
    sys.exit(main())

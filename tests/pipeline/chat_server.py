"""A small OpenAI-compatible server that runs a tiny model, and misbehaves on request.

It decodes under a constraint, as real servers do for structured output: letters and spaces only,
and the JSON that was asked for around them. What the letters say is the model's.
"""

import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response

from thumbwheel.config import EndpointConfig

KEY = "sk-tiny"
MODEL = "tiny"


class ChatServer:
    """What the server does and saw.

    `next` holds how the coming requests fare; behind its end all are answered properly. `worse` is
    how much longer than the better answer a worse one is. `policy` replies in the model's place to
    the last message of a chat.
    """

    def __init__(self, model_path: Path) -> None:
        from thumbwheel.language_model import load_base

        self._base = load_base(model_path)
        letters = set("abcdefghijklmnopqrstuvwxyz ".replace(" ", "Ġ"))
        vocabulary = self._base.tokenizer.get_vocab()
        self._suppressed = [i for token, i in vocabulary.items() if token not in letters]
        self._lock = threading.Lock()
        self.next: deque[str] = deque()
        self.worse = 1.0
        self.policy: Callable[[str], str] | None = None
        self.requests: list[dict[str, object]] = []
        self.url = ""
        self.most_at_once = self._at_once = 0

    def config(self, **values: object) -> EndpointConfig:
        return EndpointConfig(
            **{"url": self.url, "model": MODEL, "api_key_env": "TINY_KEY", **values}
        )

    def reset(self) -> None:
        """Forget what was asked, and behave; what is still being answered ends first."""
        while self._at_once:
            time.sleep(0.01)
        self.next.clear()
        self.requests.clear()
        self.worse = 1.0
        self.policy = None
        self.most_at_once = 0

    def answer(self, request: dict[str, Any], authorization: str | None) -> Response:
        with self._lock:
            self.requests.append(request)
            fate = self.next.popleft() if self.next else "answer"
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return self._answer(request, authorization, fate)
        finally:
            with self._lock:
                self._at_once -= 1

    def _answer(self, request: dict[str, Any], authorization: str | None, fate: str) -> Response:
        if authorization != f"Bearer {KEY}":
            return problem(401, "Incorrect API key")
        if fate.isdigit():
            return problem(int(fate), f"status {fate}", {"Retry-After": "0"})
        if "max_tokens" in request and fate == "new names":
            return problem(400, "Unsupported parameter: use 'max_completion_tokens' instead.")
        if fate == "slow":
            time.sleep(0.6)
        text = self._text(request["messages"][-1]["content"])
        content = {"garbage": "Sure! Here you are:", "empty": '{"answer": " "}'}.get(fate, text)
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": None if fate == "null" else content},
            "finish_reason": "length" if fate == "cut" else "stop",
        }
        usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
        body = {"object": "chat.completion", "model": MODEL, "choices": [choice], "usage": usage}
        if fate == "no json":
            return Response("<html>proxy</html>", media_type="text/html")
        return Response(json.dumps(body), media_type="application/json")

    def _text(self, content: str) -> str:
        """Return what the model writes: as JSON where that is asked for."""
        if self.policy is not None:
            return self.policy(content)
        found = re.search(r"<data>\n(.*)\n</data>", content, re.DOTALL)
        if found is None:
            return self._letters(16)
        data = json.loads(found[1])
        if "answer" in data:
            return json.dumps({"answer": self._letters(round(len(data["answer"]) * self.worse))})
        both = {"better": self._letters(16), "worse": self._letters(round(16 * self.worse))}
        return f"```json\n{json.dumps(both)}\n```"

    def _letters(self, n: int) -> str:
        import torch
        from transformers import GenerationConfig

        with self._lock:
            tokens = self._base.model.generate(
                torch.tensor([[self._base.tokenizer.bos_token_id]]),
                generation_config=GenerationConfig(
                    do_sample=True,
                    min_new_tokens=n,
                    max_new_tokens=n,
                    suppress_tokens=self._suppressed,
                    eos_token_id=self._base.stop_ids,
                    pad_token_id=self._base.tokenizer.pad_token_id,
                ),
            )
        return self._base.tokenizer.decode(tokens[0, 1:]).replace(" ", "-")

    def likelier(self, content: str, begun: str, endings: Sequence[str]) -> str:
        """Return which ending the model finds likeliest behind a message and a begun reply."""
        import torch

        chat = [{"role": "user", "content": content}]
        tokenizer = self._base.tokenizer
        text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        ids = tokenizer(text + begun, add_special_tokens=False)["input_ids"]
        with self._lock, torch.inference_mode():
            logits = self._base.model(torch.tensor([ids])).logits[0, -1]
        tokens = [tokenizer(end, add_special_tokens=False)["input_ids"][0] for end in endings]
        return endings[int(logits[tokens].argmax())]


def problem(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    body = json.dumps({"error": {"message": message, "type": "error"}})
    return Response(body, status, headers, "application/json")


@contextmanager
def serving(model_path: Path) -> Iterator[ChatServer]:
    """Run the server on a free port of the loopback address."""
    chat = ChatServer(model_path)
    app = FastAPI(openapi_url=None)

    @app.post("/v1/chat/completions")
    def completions(body: dict[str, object], request: Request) -> Response:
        return chat.answer(body, request.headers.get("Authorization"))

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    (port,) = {sock.getsockname()[1] for s in server.servers for sock in s.sockets}
    chat.url = f"http://127.0.0.1:{port}/v1"
    try:
        yield chat
    finally:
        server.should_exit = True
        thread.join()

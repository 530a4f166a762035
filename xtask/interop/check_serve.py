"""Asks `lapwing serve` with the official client and compares with what transformers computes: check_serve.py URL MODEL."""

import sys

import openai
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

url, folder = sys.argv[1:]
client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
name = client.models.list().data[0].id
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
CHATS = [
    [{"role": "user", "content": "Which birds nest on the ground?"}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Naïve?"},
        {"role": "assistant", "content": "No."},
        {"role": "user", "content": "And now?"},
    ],
]
MOST_APART = 1e-3


def greedy(tokens, n):
    """The likeliest tokens behind some, with their log-probabilities."""
    with torch.no_grad():
        out = model.generate(
            torch.tensor([tokens]), do_sample=False, max_new_tokens=n, output_logits=True, return_dict_in_generate=True
        )
    new = out.sequences[0, len(tokens) :].tolist()
    logs = [torch.log_softmax(row[0].float(), -1) for row in out.logits]
    return new, [row[token].item() for row, token in zip(logs, new)], logs


def check(condition, what):
    if not condition:
        sys.exit(f"serve: {what}")


def chats():
    for messages in CHATS:
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        new, logs, rows = greedy(prompt, 40)
        said = client.chat.completions.create(
            model=name, messages=messages, temperature=0, max_tokens=40, logprobs=True, top_logprobs=5
        )
        choice = said.choices[0]
        text = tokenizer.decode(new, skip_special_tokens=True)
        check(choice.message.content == text, f"{choice.message.content!r} is not {text!r}")
        check(said.usage.prompt_tokens == len(prompt), f"{said.usage} for {len(prompt)} tokens")
        check(said.usage.completion_tokens == len(new), f"{said.usage} for {len(new)} new tokens")
        ours = [token.logprob for token in choice.logprobs.content]
        apart = max(abs(a - b) for a, b in zip(ours, logs, strict=True))
        check(apart < MOST_APART, f"log-probabilities are {apart} apart")
        for token, row in zip(choice.logprobs.content, rows, strict=True):
            theirs = torch.topk(row, 5).values.tolist()
            apart = max(abs(a.logprob - b) for a, b in zip(token.top_logprobs, theirs, strict=True))
            check(apart < MOST_APART, f"the likeliest tokens are {apart} apart")
        stream = client.chat.completions.create(
            model=name, messages=messages, temperature=0, max_tokens=40, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
        joined = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        check(joined == text, f"the stream says {joined!r}")
        check(chunks[-1].usage.completion_tokens == len(new), f"the stream used {chunks[-1].usage}")


def completions():
    for text in ["The lapwing", "Überall 🪶 "]:
        prompt = tokenizer(text)["input_ids"]
        new, logs, _ = greedy(prompt, 24)
        said = client.completions.create(model=name, prompt=text, temperature=0, max_tokens=24, logprobs=1).choices[0]
        expected = tokenizer.decode(new, skip_special_tokens=True)
        check(said.text == expected, f"{said.text!r} is not {expected!r}")
        apart = max(abs(a - b) for a, b in zip(said.logprobs.token_logprobs, logs, strict=True))
        check(apart < MOST_APART, f"log-probabilities are {apart} apart")


def sampling():
    def draw(**more):
        said = client.chat.completions.create(model=name, messages=CHATS[0], max_tokens=12, **more)
        return [choice.message.content for choice in said.choices]

    check(draw(seed=1, n=3) == draw(seed=1, n=3), "a seed is not kept")
    check(draw(seed=1) != draw(seed=2), "seeds do not matter")
    cut = client.completions.create(model=name, prompt="a", seed=1, max_tokens=200, stop=["e"]).choices[0]
    check("e" not in cut.text, f"no stop in {cut.text!r}")
    said = client.chat.completions.create(model=name, messages=CHATS[0], max_tokens=5, tools=[TOOL], tool_choice="auto")
    check(said.choices[0].message.tool_calls is None, "noise was taken for a call")


def errors():
    def fails(kind, code, **more):
        arguments = {"model": name, "messages": CHATS[0], "max_tokens": 4} | more
        try:
            client.chat.completions.create(**arguments)
        except kind as error:
            check(error.code == code, f"{error.code} is not {code}")
            check(error.type == "invalid_request_error", f"{error.type} for {code}")
        else:
            sys.exit(f"serve: {more} was answered")

    fails(openai.NotFoundError, "model_not_found", model="gpt-x")
    fails(openai.BadRequestError, "invalid_value", temperature=-1)
    fails(openai.BadRequestError, "invalid_value", messages=[])
    fails(openai.BadRequestError, "unsupported_parameter", response_format={"type": "json_object"})
    fails(openai.BadRequestError, "context_length_exceeded", messages=[{"role": "user", "content": "x" * 40000}])


chats()
completions()
sampling()
errors()

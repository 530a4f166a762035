"""Lets Inspect's own mock model write logs with everything an import must understand.

usage: mock_log.py FOLDER
"""

import sys

from inspect_ai import Task, eval, task
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig, ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import Score, Target, accuracy, match, mean, scorer
from inspect_ai.solver import TaskState, generate, system_message, use_tools
from inspect_ai.tool import tool

REFUSAL = "I will not say."


@tool
def add():
    async def execute(x: int, y: int):
        """Adds two numbers.

        Args:
            x: The first.
            y: The second.
        """
        if x == 13:
            raise ValueError("thirteen breaks the adder")
        return str(x + y)

    return execute


@scorer(metrics=[mean()])
def confidence():
    """A number, and NaN for the sample whose target says so."""

    async def score(state: TaskState, target: Target):
        if "unscored" in target.text:
            return Score(value=float("nan"), explanation="nobody can tell", reason="grader_failed")
        return Score(value=0.25, answer=state.output.completion)

    return score


@scorer(metrics={"*": [mean()]})
def grades():
    """Several numbers at once."""

    async def score(state: TaskState, target: Target):
        return Score(value={"style": 3, "length": len(state.output.completion)})

    return score


@scorer(metrics=[accuracy()])
def graded():
    """Asks another model."""

    async def score(state: TaskState, target: Target):
        verdict = counted(ModelOutput.from_content("mockllm/model", "GRADE: C"))
        grader = get_model("mockllm/model", custom_outputs=[verdict], memoize=False)
        said = await grader.generate(f"Is this right? {state.output.completion}")
        return Score(value="C" if "GRADE: C" in said.completion else "I", explanation=said.completion)

    return score


def counted(output):
    """With usage: to count tokens itself Inspect would have to fetch a tokenizer."""
    output.usage = ModelUsage(input_tokens=11, output_tokens=3, total_tokens=16, input_tokens_cache_read=2)
    return output


def outputs(input, tools, tool_choice, config):
    """Calls the tool once, then answers with what it gave; loops where it is told to."""
    question, last = input[1].text if len(input) > 1 else input[0].text, input[-1]
    if last.role == "user" or "loop" in question:
        x = 13 if "thirteen" in question else 2
        return counted(ModelOutput.for_tool_call("mockllm/model", "add", {"x": x, "y": 2}))
    return counted(ModelOutput.from_content("mockllm/model", "And so on. " * 30 + f"The sum is {last.text}"))


@task
def sums():
    return Task(
        dataset=[
            Sample(id="plain", input="What is 2 + 2? " + "Think of apples. " * 20, target="4", metadata={"n": 2**70}),
            Sample(id="unscored", input="What is 2 + 2?", target="unscored"),
            Sample(id="limited", input="Please loop.", target="4"),
            Sample(id="broken", input="What is thirteen and 2?", target="15"),
            Sample(id=7, input="What is 2 + 2 \U0001f600?", target=["4", "four"]),
        ],
        solver=[system_message("Add with the tool."), use_tools(add()), generate()],
        scorer=[match(), confidence(), grades(), graded()],
        message_limit=8,
        epochs=2,
        config=GenerateConfig(temperature=0.5),
    )


if __name__ == "__main__":
    folder = sys.argv[1]
    model = get_model("mockllm/model", custom_outputs=outputs)
    [log] = eval(
        sums(), model=model, log_dir=folder, display="none", fail_on_error=False, log_realtime=False
    )
    assert log.status == "success", str(log.error)[:500]
    print(log.location)

"""Drives LangChain and LlamaIndex, as applications use them.

usage: run.py '{"CLIENT": {"url": "BASE_URL", "key": "KEY", "models": ["MODEL"]}}'

Clients are named as in langchain_cases.py and llamaindex_cases.py. Prints a JSON object {"client/case/model": "ok" or what went
wrong} and exits with 1 when anything did. The answers that the cases want are those of this repository's fake providers, which
answer by rule.
"""

import concurrent.futures
import json
import os
import sys

# Nothing here calls home, and nothing is fetched.
os.environ.update({
    "LANGSMITH_TRACING": "false", "LANGCHAIN_TRACING_V2": "false", "LANGCHAIN_CALLBACKS_BACKGROUND": "false", "DO_NOT_TRACK": "1",
    "OTEL_SDK_DISABLED": "true", "HF_HUB_OFFLINE": "1", "NO_PROXY": "*",
})

import langchain_cases  # noqa: E402  the environment comes first
import llamaindex_cases  # noqa: E402

CLIENTS = langchain_cases.CLIENTS | llamaindex_cases.CLIENTS
CASES = {"langchain": langchain_cases.CASES, "llamaindex": llamaindex_cases.CASES}


def describe(error):
    """One line about an error, its cause included."""
    text = f"{type(error).__name__}: {error}"
    cause = error.__cause__ or error.__context__
    if cause is not None:
        text += f" (from {type(cause).__name__}: {cause})"
    return " ".join(text.split())[:1500]


def run(client, base_url, key, model):
    results = {}
    llm = CLIENTS[client](base_url, key, model)
    for name, case in CASES[client.split("-")[0]].items():
        try:
            case(llm)
            results[f"{client}/{name}/{model}"] = "ok"
        except Exception as error:  # a case that fails must not hide the others
            results[f"{client}/{name}/{model}"] = describe(error)
    return results


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    targets = json.loads(sys.argv[1])
    report = {}
    with concurrent.futures.ThreadPoolExecutor(max_workers=8) as pool:
        jobs = [pool.submit(run, client, to["url"], to["key"], model) for client, to in targets.items() for model in to["models"]]
        for job in jobs:
            report.update(job.result())
    json.dump(report, sys.stdout, indent=1)
    print()
    return 0 if report and all(result == "ok" for result in report.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

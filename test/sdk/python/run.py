"""Drives the official OpenAI, Anthropic, Cohere and Google SDKs for Python against one base URL.

usage: run.py [--client NAME] [--native] [--native-for MODEL]... [--case PART]... [--parallel N] BASE_URL KEY MODEL...

Prints a JSON object {"client/sync|async/case/model": "ok" or what went wrong} and exits with 1 when anything did. The
answers that the cases want are those of this repository's fake providers, which answer by rule.
"""

import argparse
import asyncio
import concurrent.futures
import json
import sys

import anthropic_cases
import cohere_cases
import embeddings_cases
import openai_cases
import pass_cases
import responses_cases

# The clients that run when none is named, and all.
USUAL = {"openai": openai_cases, "responses": responses_cases, "anthropic": anthropic_cases}
CLIENTS = USUAL | {"cohere": cohere_cases, "pass": pass_cases} | embeddings_cases.MODULES


if sys.version_info >= (3, 11):  # which Google's SDK wants
    import gemini_cases
    CLIENTS["gemini"] = gemini_cases


def describe(error):
    """One line about an error, its cause included."""
    text = f"{type(error).__name__}: {error}"
    cause = error.__cause__ or error.__context__
    if cause is not None:
        text += f" (from {type(cause).__name__}: {cause})"
    return " ".join(text.split())[:1500]


def run_sync(module, options, model):
    results = {}
    with module.client(options.base_url, options.key) as client:
        for name, case in selected(module.SYNC, module, options, model):
            try:
                case(client, model)
                results[name] = "ok"
            except Exception as error:  # a case that fails must not hide the others
                results[name] = describe(error)
    return results


async def run_async(module, options, model):
    results = {}
    async with module.async_client(options.base_url, options.key) as client:
        for name, case in selected(module.ASYNC, module, options, model):
            try:
                await case(client, model)
                results[name] = "ok"
            except Exception as error:
                results[name] = describe(error)
    return results


def selected(cases, module, options, model):
    native = options.native or model in options.native_for
    for name, case in cases.items():
        if name in module.NATIVE and not native:
            continue
        if options.case and not any(part in name for part in options.case):
            continue
        yield name, case


def run(kind, module, options, model):
    if kind == "sync":
        return run_sync(module, options, model)
    return asyncio.run(run_async(module, options, model))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--client", choices=sorted(CLIENTS), help="only this SDK")
    parser.add_argument("--native", action="store_true", help="also what only a provider of the client's own schema can do")
    parser.add_argument("--native-for", action="append", default=[], help="the same for one of the models")
    parser.add_argument("--case", action="append", help="only cases whose name contains this")
    parser.add_argument("--parallel", type=int, default=1, help="copies of everything at once")
    parser.add_argument("base_url")
    parser.add_argument("key")
    parser.add_argument("model", nargs="+")
    options = parser.parse_args()

    jobs = [
        (client, kind, model, copy)
        for client, module in ({options.client: CLIENTS[options.client]} if options.client else USUAL).items()
        for kind in ("sync", "async") for model in options.model for copy in range(options.parallel)
    ]
    report = {}
    # Cases that list objects would meet those that another job deletes.
    workers = 1 if options.client == "pass" else min(len(jobs), 32)
    with concurrent.futures.ThreadPoolExecutor(max_workers=workers) as pool:
        futures = [pool.submit(run, kind, CLIENTS[client], options, model) for client, kind, model, _ in jobs]
        for (client, kind, model, copy), future in zip(jobs, futures):
            suffix = f"#{copy}" if options.parallel > 1 else ""
            for name, result in future.result().items():
                report[f"{client}/{kind}/{name}/{model}{suffix}"] = result
    json.dump(report, sys.stdout, indent=1)
    print()
    return 0 if report and all(result == "ok" for result in report.values()) else 1


if __name__ == "__main__":
    sys.exit(main())

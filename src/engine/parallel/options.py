"""The driver of parallel steps: splits the input into mini-batches and calls the entry script for each of them.

The files beside this one are joined into one program, in the order options, table, batches, journal, worker, master.
It uses only the standard library; pandas is imported for tables alone. It runs with Python 3.8 and newer.
"""

import argparse
import codecs
import collections
import hashlib
import importlib.metadata
import importlib.util
import inspect
import io
import json
import logging
import os
import queue
import random
import re
import selectors
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
import types

# The exit codes of Azure's own driver.
WORKER_FAILED = 41
JOB_FAILED = 42

KNOWN = {
    "allowed_failed_count": int,
    "allowed_failed_percent": float,
    "append_row_file_name": str,
    "error_threshold": int,
    "logging_level": str,
    "mini_batch_size": str,
    "output_action": str,
    "process_count_per_node": int,
    "run_invocation_timeout": float,
    "run_max_try": int,
    "task_overhead_timeout": float,
}
# Options for the service alone: they change nothing on one machine.
WITHOUT_EFFECT = (
    "copy_logs_to_parent",
    "first_task_creation_timeout",
    "metrics_name_prefix",
    "profiling_module",
    "progress_update_timeout",
    "push_metrics_to_parent",
    "resource_monitor_interval",
)
UNITS = {"": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}
LEVELS = ("DEBUG", "INFO", "WARNING")


class Refused(Exception):
    """The step cannot run. The text says why."""


def parse(words):
    """The options of the step, and in `argv` what the entry script finds in sys.argv."""
    parser = argparse.ArgumentParser(prog="parallel", allow_abbrev=False)
    parser.add_argument("--entry-script", required=True)
    parser.add_argument("--input-data", required=True)
    parser.add_argument("--input-name", required=True)
    parser.add_argument("--input-type", default="uri_folder")
    parser.add_argument("--mini-batch-size")
    parser.add_argument("--partition-key", action="append", default=[])
    parser.add_argument("--instance-count", type=int, default=1)
    parser.add_argument("--max-concurrency-per-instance", type=int)
    parser.add_argument("--error-threshold", type=int, default=-1)
    parser.add_argument("--mini-batch-error-threshold", type=int, default=-1)
    parser.add_argument("--timeout", type=float, default=60)
    parser.add_argument("--max-retries", type=int, default=2)
    parser.add_argument("--logging-level", default="INFO")
    parser.add_argument("--append-row-to")
    parser.add_argument("--append-row-type", default="uri_folder")
    parser.add_argument("--variable", action="append", default=[])
    end = words.index("--") if "--" in words else len(words)
    options = parser.parse_args(words[:end])
    options.argv, given = consume(words[end + 1 :])
    options.overhead_timeout = given.get("task_overhead_timeout", 600.0)
    options.allowed_failed_count = given.get("allowed_failed_count")
    options.allowed_failed_percent = given.get("allowed_failed_percent", 100.0)
    options.append_row_file_name = given.get("append_row_file_name", "parallel_run_step.txt")
    options.error_threshold = given.get("error_threshold", options.error_threshold)
    options.logging_level = given.get("logging_level", options.logging_level).upper()
    options.mini_batch_size = given.get("mini_batch_size", options.mini_batch_size)
    options.max_concurrency_per_instance = given.get("process_count_per_node", options.max_concurrency_per_instance)
    options.timeout = given.get("run_invocation_timeout", options.timeout)
    options.max_retries = max(0, given.get("run_max_try", options.max_retries + 1) - 1)
    if given.get("output_action") == "summary_only":
        options.append_row_to = None
    if options.logging_level not in LEVELS:
        raise Refused("the logging level '%s' is not one of %s" % (options.logging_level, ", ".join(LEVELS)))
    return options


def consume(arguments):
    """Takes the driver's own options out of the program's arguments."""
    rest, given = [], {}
    words = iter(arguments)
    for word in words:
        name, equals, value = word[2:].partition("=") if word.startswith("--") else ("", "", "")
        if name not in KNOWN and name not in WITHOUT_EFFECT:
            rest.append(word)
            continue
        if not equals:
            value = next(words, None)
            if value is None:
                raise Refused("the option --%s in program_arguments has no value" % name)
        if name in KNOWN:
            try:
                given[name] = KNOWN[name](value)
            except ValueError:
                raise Refused("the option --%s in program_arguments is '%s', but must be a number" % (name, value))
    return rest, given


def parse_size(text):
    """A number of files or bytes: '5', '10kb', '1mb'."""
    match = re.match(r"^(\d+)([kmg]b)?$", text.strip(), re.IGNORECASE)
    if not match or int(match.group(1)) == 0:
        raise Refused("mini_batch_size is '%s', but must be a positive number, or a size such as 10kb" % text)
    return int(match.group(1)) * UNITS[(match.group(2) or "").lower()]

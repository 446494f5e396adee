#!/usr/bin/env python3
"""A real Ray: a step runs beside a head of its own, which ends with the step.

    tests/extras/rays.py target/release/amlrun       with ray on PATH
"""

import subprocess
import sys

import world

USE = """\
import sys, time
import ray

ray.init(log_to_driver=False)

@ray.remote
def square(x):
    return x * x

print("sum", sum(ray.get([square.remote(x) for x in range(10)])), flush=True)
if sys.argv[1:] == ["fail"]:
    sys.exit(3)
if sys.argv[1:] == ["wait"]:
    print("it waits", flush=True)
    time.sleep(600)
"""


def job(argument="", more=""):
    return f"command: python use.py {argument}\ncode: ./src\nenvironment: azureml:any@latest\n" \
           f"distribution: {{type: ray, head_node_additional_args: --num-cpus 1}}\n{more}"


PROJECT = world.Project(sys.argv[1], {
    "src/use.py": USE,
    "job.yml": job(),
    "fail.yml": job("fail"),
    "wait.yml": job("wait"),
    "late.yml": job("wait", "limits: {timeout: 20}\n"),
})


def nothing_of_ray():
    """Ray's workers have no environment to know them by."""
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    found = [line for line in found if line.startswith("ray::") or "/ray/core/src/ray/" in line]
    assert not found, found


def tasks_run_on_the_head():
    PROJECT.run("run", "job.yml", "--name", "job")
    assert "sum 285" in PROJECT.log("job", "main"), PROJECT.log("job", "main")
    nothing_of_ray()


def the_head_ends_with_a_failure_and_a_timeout():
    assert "exit code 3" in PROJECT.run("run", "fail.yml", "--name", "fail", code=1)
    nothing_of_ray()
    PROJECT.run("run", "late.yml", "--name", "late", code=1)
    nothing_of_ray()


def the_head_ends_with_its_runner():
    world.ends(PROJECT, "wait.yml", "it waits")
    nothing_of_ray()


nothing_of_ray()
world.check([tasks_run_on_the_head, the_head_ends_with_a_failure_and_a_timeout, the_head_ends_with_its_runner])

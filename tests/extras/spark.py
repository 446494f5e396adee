#!/usr/bin/env python3
"""The real spark-submit: words are counted by a job of its own, by a node and by a component.

    tests/extras/spark.py target/release/amlrun      with pyspark's programs and Java on PATH
"""

import sys
import zipfile

import world

CONF = """\
conf:
  spark.driver.cores: 1
  spark.driver.memory: 1g
  spark.executor.cores: 1
  spark.executor.memory: 1g
  spark.executor.instances: 1
"""
RESOURCES = 'resources: {instance_type: standard_e4s_v3, runtime_version: "3.4"}\n'
COUNT = """\
import argparse
from pyspark.sql import SparkSession
from words.split import split

parser = argparse.ArgumentParser()
parser.add_argument("--text")
parser.add_argument("--counts")
args = parser.parse_args()
spark = SparkSession.builder.getOrCreate()
assert open(args.text).read(1), "a path that Python can open"
lines = spark.read.text(args.text).rdd.map(lambda row: row[0])
counts = lines.flatMap(split).map(lambda word: (word, 1)).reduceByKey(lambda a, b: a + b)
spark.createDataFrame(counts.sortByKey()).coalesce(1).write.csv(args.counts)
spark.sql("create table kept using csv as select 1 as one")
print("conf", spark.conf.get("spark.sql.shuffle.partitions"), spark.sparkContext.uiWebUrl, spark.sparkContext.master)
"""
JOB = """\
code: ./src
entry: {file: count.py}
py_files: [words.zip]
args: >-
  --text ${{inputs.text}}
  --counts ${{outputs.counts}}
""" + CONF + "  spark.sql.shuffle.partitions: 3\n"
PORTS = """\
inputs:
  text: {type: uri_file, path: data/text.txt, mode: direct}
outputs:
  counts: {type: uri_folder, mode: direct}
"""
COMPONENT = "name: count\ntype: spark\nversion: 1\n" + JOB + PORTS.replace(", path: data/text.txt", "")
FAILS = "from pyspark.sql import SparkSession\nSparkSession.builder.getOrCreate().sql('select * from nothing')\n"
WAITS = """\
import time
from pyspark.sql import SparkSession

def wait(row):
    time.sleep(600)

spark = SparkSession.builder.getOrCreate()
print("it waits", flush=True)
spark.range(2).rdd.foreach(wait)
"""


def indented(text, by):
    return "".join(" " * by + line + "\n" for line in text.splitlines())


def pipeline():
    reads = "  {name}:\n    type: command\n    environment: azureml:any@latest\n    command: cat ${{{{inputs.c}}}}/*.csv\n" \
            "    inputs: {{c: \"${{{{parent.jobs.{of}.outputs.counts}}}}\"}}\n"
    inline = "  inline:\n    type: spark\n" + indented(JOB + PORTS + RESOURCES, 4)
    named = "  named:\n    type: spark\n    component: ./component.yml\n" + indented(PORTS + RESOURCES, 4)
    nodes = inline + named + reads.format(name="show", of="inline") + reads.format(name="again", of="named")
    return "type: pipeline\nsettings: {default_compute: azureml:cpu}\njobs:\n" + nodes


def script(name):
    return f"type: spark\ncode: ./src\nentry: {{file: {name}}}\n" + CONF + RESOURCES


PROJECT = world.Project(sys.argv[1], {
    "data/text.txt": "to be or\nnot to be\n",
    "src/count.py": COUNT,
    "src/fails.py": FAILS,
    "src/waits.py": WAITS,
    "job.yml": "type: spark\n" + JOB + PORTS + RESOURCES,
    "component.yml": COMPONENT,
    "pipeline.yml": pipeline(),
    "fails.yml": script("fails.py"),
    "waits.yml": script("waits.py"),
})
with zipfile.ZipFile(PROJECT.folder / "src/words.zip", "w") as archive:
    archive.writestr("words/__init__.py", "")
    archive.writestr("words/split.py", "def split(line):\n    return line.split(' ')\n")
COUNTS = "be,2\nnot,1\nor,1\nto,2\n"


def a_job_of_its_own():
    PROJECT.run("run", "job.yml", "--name", "job")
    log = PROJECT.log("job", "main")
    assert "conf 3 None local[*]" in log, log
    wd = PROJECT.folder / ".amlrun/runs/job/steps/main/wd"
    assert (wd / "spark-warehouse/kept").is_dir(), "tables are in the working directory"


def nodes_and_components():
    PROJECT.run("run", "pipeline.yml", "--name", "first")
    assert PROJECT.log("first", "show") == PROJECT.log("first", "again") == COUNTS, PROJECT.log("first", "show")


def a_second_run_reuses_all():
    out = PROJECT.run("run", "pipeline.yml", "--name", "second")
    for step in ["inline", "named", "show", "again"]:
        assert f"{step} reused from first-{step}" in out, out


def a_failing_script():
    out = PROJECT.run("run", "fails.yml", "--name", "fails", code=1)
    assert "TABLE_OR_VIEW_NOT_FOUND" in out, out


def no_java_is_left():
    world.ends(PROJECT, "waits.yml", "it waits")


world.check([a_job_of_its_own, nodes_and_components, a_second_run_reuses_all, a_failing_script, no_java_is_left])

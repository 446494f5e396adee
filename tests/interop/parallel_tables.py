"""Parallel steps over tables, with the real pandas: every transformation that amlrun knows, and every way to split.

    python tests/interop/parallel_tables.py target/debug/amlrun
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import textwrap

import pandas

AMLRUN = os.path.abspath(sys.argv[1])
# Each mini-batch in one line: its keys, the types of its columns and its rows.
SHOW = """
def run(frame, context):
    kinds = " ".join("%s:%s" % (name, {"O": "text", "U": "text", "T": "text"}.get(kind.kind, kind.kind)) for name, kind in frame.dtypes.items())
    rows = [["" if str(value) in ("nan", "None") else str(value) for value in row] for row in frame.itertuples(index=False)]
    return ["%s|%s|%s" % (list((context.partition_key_value or {}).values()), kinds, rows)]
"""
CASES = []


def case(function):
    CASES.append(function)
    return function


class Step:
    """A pipeline with one parallel step over a table."""

    def __init__(self, table, files, script=SHOW, **fields):
        self.folder = tempfile.TemporaryDirectory()
        root = pathlib.Path(self.folder.name)
        for name, content in {**files, "MLTable": table}.items():
            path = root / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        (root / "src").mkdir()
        (root / "src" / "score.py").write_text(textwrap.dedent(script))
        mode = fields.pop("mode", "direct")
        node = {
            "type": "parallel",
            "inputs": {"rows": {"type": "mltable", "path": "data", "mode": mode}},
            "outputs": {"scores": {"type": "uri_file"}},
            "input_data": "${{inputs.rows}}",
            "mini_batch_error_threshold": 0,
            "retry_settings": {"max_retries": 0},
            "task": {
                "type": "run_function",
                "code": "src",
                "entry_script": "score.py",
                "environment": "azureml:any@latest",
                "append_row_to": "${{outputs.scores}}",
            },
            **fields,
        }
        (root / "job.yml").write_text(json.dumps({"type": "pipeline", "jobs": {"score": node}}))
        path = os.path.dirname(sys.executable) + ":" + os.environ["PATH"]
        command = [AMLRUN, "--home", str(root / "home"), "run", str(root / "job.yml"), "--name", "r", "--environment", "host"]
        ran = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True)
        self.code, self.printed = ran.returncode, ran.stdout + ran.stderr
        scores = root / "home" / "store" / "v1" / "r.score.scores" / "scores"
        self.text = scores.read_text() if scores.exists() else ""

    def gives(self, *lines):
        assert self.code == 0, self.printed
        found = self.text.splitlines()
        assert found == list(lines), "\n".join(["wanted:", *lines, "found:", *found])

    def fails_with(self, text):
        assert self.code != 0 and text in self.printed, self.printed


def delimited(*more, **options):
    """An MLTable of all CSV files, with a reader and more transformations."""
    transformations = [{"read_delimited": options}, *more]
    return json.dumps({"paths": [{"pattern": "./**/*.csv"}], "transformations": transformations})


ROWS = "a,b,when\n1,0.5,2020-01-01\n2,1,2020-01-02\n3,1.5,2020-01-03\n"


@case
def rows_are_split_by_bytes():
    # The first row has 17 bytes: a mini-batch ends with the row that reaches the size.
    step = Step(delimited(), {"x.csv": ROWS, "y.csv": ROWS}, mini_batch_size="18")
    first = "[]|a:i b:f when:M|[['1', '0.5', '2020-01-01 00:00:00'], ['2', '1.0', '2020-01-02 00:00:00']]"
    second = "[]|a:i b:f when:M|[['3', '1.5', '2020-01-03 00:00:00']]"
    step.gives(first, second, first, second)


@case
def one_kilobyte_never_crosses_files():
    files = {"%d.csv" % number: "n\n" + "".join("%03d\n" % row for row in range(400)) for number in range(3)}
    step = Step(delimited(), files, "def run(frame): return [len(frame)]", mini_batch_size="1kb")
    assert step.text.split() == ["256", "144"] * 3, step.text


@case
def frames_are_written_without_header_and_index():
    step = Step(delimited(), {"x.csv": "a,b\n1,x y\n2,\n"}, "def run(frame): return frame")
    step.gives('1 "x y"', '2 ')


@case
def columns_are_dropped_kept_and_converted():
    more = [{"drop_columns": ["b", "nowhere"]}, {"convert_column_types": [{"columns": "a", "column_type": "string"}]}]
    Step(delimited(*more), {"x.csv": "a,b\n1,2\n"}).gives("[]|a:text|[['1']]")
    more = [{"keep_columns": ["b"]}, {"convert_column_types": [{"columns": ["b"], "column_type": "float"}]}]
    Step(delimited(*more), {"x.csv": "a,b\n1,2\n"}).gives("[]|b:f|[['2.0']]")
    rule = {"columns": "b", "column_type": {"datetime": {"formats": ["%d.%m.%Y"]}}}
    Step(delimited({"convert_column_types": [rule]}), {"x.csv": "b\n3.2.2020\n"}).gives("[]|b:M|[['2020-02-03 00:00:00']]")


@case
def rows_are_skipped_and_taken_across_files():
    files = {"x.csv": "n\n1\n2\n3\n", "y.csv": "n\n4\n5\n"}
    Step(delimited({"skip": 1}, {"take": 3}), files).gives("[]|n:i|[['2'], ['3']]", "[]|n:i|[['4']]")


@case
def a_sample_does_not_depend_on_the_split():
    rows = "n\n" + "".join("%d\n" % row for row in range(200))
    script = "def run(frame): return list(frame['n'])"
    sample = delimited({"take_random_sample": {"probability": 0.3, "seed": 4}})
    steps = [Step(sample, {"x.csv": rows}, script, mini_batch_size=size) for size in ("20", "1mb")]
    texts = [step.text for step in steps]
    assert all(step.code == 0 for step in steps), steps[0].printed
    assert texts[0] == texts[1] and 30 < len(texts[0].split()) < 90, texts


@case
def headers():
    files = {"x.csv": "a;b\n1;\n", "y.csv": "c;d\n3;4\n"}
    same = Step(delimited(delimiter=";"), files)
    same.gives("[]|a:i b:f|[['1', '']]", "[]|a:i b:i|[['3', '4']]")
    different = Step(delimited(delimiter=";", header="all_files_different_headers"), files)
    different.gives("[]|a:i b:f|[['1', '']]", "[]|c:i d:i|[['3', '4']]")
    first = Step(delimited(delimiter=";", header="from_first_file"), {"x.csv": "a;b\n1;2\n", "y.csv": "3;4\n"})
    first.gives("[]|a:i b:i|[['1', '2']]", "[]|a:i b:i|[['3', '4']]")
    none = Step(delimited(delimiter=";", header="no_header"), {"x.csv": "1;x\n"})
    none.gives("[]|Column1:i Column2:text|[['1', 'x']]")


@case
def encodings_quotes_and_empty_fields():
    umlaut = "n,t\n1,ä\n"
    for encoding, name in (("utf-8-sig", "utf8bom"), ("latin-1", "iso88591"), ("utf-16", "utf16"), ("cp1252", "windows1252")):
        Step(delimited(encoding=name), {"x.csv": umlaut.encode(encoding)}).gives("[]|n:i t:text|[['1', 'ä']]")
    lines = Step(delimited(support_multi_line=True), {"x.csv": 'n,t\n1,"a\nb"\n2,c\n'}, mini_batch_size="1")
    lines.gives("[]|n:i t:text|[['1', 'a\\nb']]", "[]|n:i t:text|[['2', 'c']]")
    empty = "def run(frame): return [repr(value) for value in frame['t'].tolist()]"
    files = {"x.csv": "n,t\n1,x\n2,\n"}
    Step(delimited(empty_as_string=True), files, empty).gives("'x'", "''")
    Step(delimited(), files, empty).gives("'x'", "nan")
    Step(delimited(infer_column_types=False), {"x.csv": "n\n007\n"}).gives("[]|n:text|[['007']]")


@case
def partitions_of_paths():
    files = {"%s/%s/f.csv" % (store, brand): "q\n%s\n" % number for number, (store, brand) in enumerate([(1, "x"), (1, "y"), (2, "x")])}
    files["1/x/g.csv"] = "q\n9\n"
    extract = {"extract_columns_from_partition_format": {"partition_format": "{store}/{brand}/{file}.{extension}"}}
    table = delimited(extract, {"drop_columns": ["Path", "file", "extension"]}, include_path_column=True)
    step = Step(table, files, partition_keys=["store", "brand"])
    kinds = "q:i store:text brand:text"
    step.gives(
        "['1', 'x']|%s|[['0', '1', 'x'], ['9', '1', 'x']]" % kinds,
        "['1', 'y']|%s|[['1', '1', 'y']]" % kinds,
        "['2', 'x']|%s|[['2', '2', 'x']]" % kinds,
    )


@case
def partitions_of_columns():
    files = {"x.csv": "k,v\nu,1\nw,2\nu,3\n", "y.csv": "k,v\nw,4\n"}
    step = Step(delimited(), files, partition_keys=["k"])
    step.gives("['u']|k:text v:i|[['u', '1'], ['u', '3']]", "['w']|k:text v:i|[['w', '2'], ['w', '4']]")
    Step(delimited(), files, partition_keys=["z"]).fails_with("the partition key 'z' is not a column of 'x.csv'")


@case
def parquet_and_json_lines():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.parquet")
        pandas.DataFrame({"n": range(10), "t": list("abcdefghij")}).to_parquet(path, row_group_size=4)
        content = pathlib.Path(path).read_bytes()
    table = "paths: [{file: x.parquet}]\ntransformations: [read_parquet]"
    step = Step(table, {"x.parquet": content}, "def run(frame): return [''.join(frame['t'])]", mini_batch_size=str(len(content) // 3))
    assert step.text.split() == ["abc", "def", "ghi", "j"], step.text + step.printed
    table = "paths: [{file: x.jsonl}]\ntransformations:\n- read_json_lines: {invalid_lines: drop}\n"
    step = Step(table, {"x.jsonl": '{"n": 1}\nno\n{"n": 2}\n'}, mode="eval_mount")
    step.gives("[]|n:i|[['1'], ['2']]")


@case
def what_is_not_supported_is_refused_before_the_work():
    Step(delimited({"filter": "col('a') > 1"}), {"x.csv": ROWS}).fails_with("the transformation 'filter' of an MLTable file")
    Step("paths: [{file: gone.csv}]", {}).fails_with("the MLTable file selects 'gone.csv', but no file is there")
    remote = "paths: [{file: 'https://example.org/x.csv'}]\ntransformations: [read_delimited]"
    Step(remote, {}).fails_with("amlrun splits only files in the table's own folder")


for run in CASES:
    run()
    print("ok", run.__name__.replace("_", " "), flush=True)

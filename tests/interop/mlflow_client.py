"""Drives a running tracking server with the real MLflow client and checks what comes back.

Needs MLFLOW_TRACKING_URI and MLFLOW_TRACKING_TOKEN in the environment and `mlflow-skinny` installed. With MLFLOW_RUN_ID
and MLFLOW_EXPERIMENT_ID it first logs to that run, as a step of a job does. Exits with 1 at the first thing that is not
as it should be. By hand, with the server of the ignored test:

    mkfifo stdin; AMLRUN_TEST_ENV_FILE=env cargo test serve_for_a_real_client -- --ignored < stdin &
    exec 9> stdin; (set -a; . ./env; python tests/interop/mlflow_client.py); exec 9>&-
"""

import math
import os
import sys
import tempfile

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

import mlflow
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

CHECKS = 0


def same(what, got, wanted):
    global CHECKS
    if got != wanted:
        sys.exit(f"MISMATCH {what}: got {got!r}, wanted {wanted!r}")
    CHECKS += 1


def refused(what, code, call):
    try:
        call()
    except MlflowException as error:
        same(what, error.error_code, code)
    else:
        sys.exit(f"MISMATCH {what}: it was not refused")


def log_as_a_step(client):
    run_id = os.environ["MLFLOW_RUN_ID"]
    with mlflow.start_run() as run:
        same("the job's run", run.info.run_id, run_id)
        mlflow.log_metric("loss", 0.5, step=3)
        mlflow.log_text("hello", "notes.txt")
    os.environ.pop("MLFLOW_EXPERIMENT_ID", None)
    run = client.get_run(run_id)
    same("a step's run", (run.info.run_name, run.info.status, run.data.metrics), ("train", "FINISHED", {"loss": 0.5}))
    same("a step's artifact", mlflow.artifacts.load_text(f"runs:/{run_id}/notes.txt"), "hello")


def log_a_run(folder):
    mlflow.set_experiment("interop")
    mlflow.set_experiment("interop")
    with mlflow.start_run(run_name="first", tags={"team": "blue"}, description="A run") as run:
        for step in range(5):
            mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
        mlflow.log_metrics({"accuracy": 0.97, "odd": float("nan")}, step=4)
        mlflow.log_param("lr", 0.001)
        mlflow.log_params({"epochs": 5, "optimizer": "adam"})
        mlflow.set_tags({"a.b": "c", "größe": "ä"})
        mlflow.set_tag("gone", "soon")
        mlflow.delete_tag("gone")
        MlflowClient().log_batch(
            run.info.run_id,
            metrics=[Metric("many", float(n), 1000 + n, n) for n in range(1000)],
            params=[Param(f"p{n}", str(n)) for n in range(50)],
            tags=[RunTag("batched", "yes")],
        )
        path = os.path.join(folder, "weights.bin")
        with open(path, "wb") as file:
            file.write(bytes(range(256)) * 10_000)
        mlflow.log_artifact(path, "model")
        mlflow.log_text("hello", "model/notes and more.txt")
        mlflow.log_dict({"hidden": [20]}, "model/architecture.json")
        mlflow.log_text("", "empty.txt")
        mlflow.log_text("flavors: {}", "flavoured/MLmodel")
        with mlflow.start_run(run_name="child", nested=True) as child:
            mlflow.log_param("lr", 0.01)
    return run.info.run_id, child.info.run_id


def check_run(client, run_id, child_id, folder):
    run = client.get_run(run_id)
    same("status", run.info.status, "FINISHED")
    same("name", run.info.run_name, "first")
    same("metrics", (run.data.metrics["loss"], run.data.metrics["accuracy"]), (0.2, 0.97))
    same("NaN", math.isnan(run.data.metrics["odd"]), True)
    same("latest of the batch", run.data.metrics["many"], 999.0)
    same("params", (run.data.params["lr"], run.data.params["p49"], len(run.data.params)), ("0.001", "49", 53))
    tags = {key: run.data.tags.get(key) for key in ["team", "a.b", "größe", "gone", "batched", "mlflow.note.content"]}
    wanted = {"team": "blue", "a.b": "c", "größe": "ä", "gone": None, "batched": "yes", "mlflow.note.content": "A run"}
    same("tags", tags, wanted)
    same("parent", client.get_run(child_id).data.tags["mlflow.parentRunId"], run_id)
    same("history", [m.value for m in client.get_metric_history(run_id, "loss")], [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5])
    same("long history", len(client.get_metric_history(run_id, "many")), 1000)
    same("root", [f.path for f in client.list_artifacts(run_id)], ["empty.txt", "flavoured", "model"])
    listing = [(f.path, f.file_size) for f in client.list_artifacts(run_id, "model")]
    same("folder", [listing[1], listing[2]], [("model/notes and more.txt", 5), ("model/weights.bin", 2_560_000)])
    same("text", mlflow.artifacts.load_text(f"runs:/{run_id}/model/notes and more.txt"), "hello")
    got = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path="model", dst_path=os.path.join(folder, "d"))
    same("downloaded", sorted(os.listdir(got)), ["architecture.json", "notes and more.txt", "weights.bin"])
    same("bytes", os.path.getsize(os.path.join(got, "weights.bin")), 2_560_000)
    refused("changed parameter", "INVALID_PARAMETER_VALUE", lambda: client.log_param(run_id, "lr", "other"))
    refused("unknown run", "RESOURCE_DOES_NOT_EXIST", lambda: client.get_run("nope"))


def check_search(client, run_id, child_id):
    def ids(text, **more):
        found = mlflow.search_runs(experiment_names=["interop"], filter_string=text, output_format="list", **more)
        return [run.info.run_id for run in found]

    same("by metric", ids("metrics.loss < 0.5 and params.optimizer = 'adam'"), [run_id])
    same("by tag", ids("tags.`a.b` LIKE 'c%' AND attributes.status = 'FINISHED'"), [run_id])
    same("by parent", ids(f"tags.mlflow.parentRunId = '{run_id}'"), [child_id])
    same("ordered", ids("", order_by=["params.lr DESC"]), [child_id, run_id])
    refused("no OR", "INVALID_PARAMETER_VALUE", lambda: ids("metrics.loss < 1 OR metrics.loss > 2"))
    first = client.search_runs(client.get_experiment_by_name("interop").experiment_id, max_results=1)
    second = client.search_runs(
        client.get_experiment_by_name("interop").experiment_id, max_results=1, page_token=first.token
    )
    same("pages", {first[0].info.run_id, second[0].info.run_id}, {run_id, child_id})
    same("experiments", [e.name for e in client.search_experiments(filter_string="name LIKE 'inter%'")], ["interop"])
    client.delete_run(child_id)
    same("deleted", ids(""), [run_id])
    client.restore_run(child_id)


def check_models(client, run_id, folder):
    client.create_registered_model("simple-torch-model", tags={"team": "blue"}, description="A net")
    refused("twice", "RESOURCE_ALREADY_EXISTS", lambda: client.create_registered_model("simple-torch-model"))
    source = client.get_run(run_id).info.artifact_uri + "/model"
    tags = {"framework": "pytorch", "libtorch_version": "2.13.0"}
    made = client.create_model_version("simple-torch-model", source, run_id, tags=tags, description="One")
    same("version", (made.version, made.status, made.run_id, made.source), ("1", "READY", run_id, source))
    uri = client.get_model_version_download_uri("simple-torch-model", "1")
    same("download uri", uri, "mlflow-artifacts:/models/simple-torch-model/1")
    again = client.create_model_version("simple-torch-model", f"runs:/{run_id}/model", run_id)
    same("by runs:/", again.version, "2")
    flavoured = mlflow.register_model(f"runs:/{run_id}/flavoured", "flavoured", tags={"a": "b"})
    same("register_model", (flavoured.version, flavoured.tags), ("1", {"a": "b"}))
    for wanted in ["models:/simple-torch-model/1", "models:/simple-torch-model/latest", uri]:
        got = mlflow.artifacts.download_artifacts(wanted, dst_path=tempfile.mkdtemp(dir=folder))
        same(wanted, sorted(os.listdir(got)), ["architecture.json", "notes and more.txt", "weights.bin"])
    client.set_registered_model_alias("simple-torch-model", "champion", "1")
    same("alias", client.get_model_version_by_alias("simple-torch-model", "champion").version, "1")
    same("aliases", client.get_registered_model("simple-torch-model").aliases, {"champion": "1"})
    got = mlflow.artifacts.download_artifacts("models:/simple-torch-model@champion", dst_path=os.path.join(folder, "c"))
    same("by alias", len(os.listdir(got)), 3)
    client.set_model_version_tag("simple-torch-model", "2", "quality", "good")
    client.update_model_version("simple-torch-model", "2", "Two")
    two = client.get_model_version("simple-torch-model", "2")
    same("changed", (two.tags, two.description), ({"quality": "good"}, "Two"))
    client.set_registered_model_tag("simple-torch-model", "task", "tabular")
    same("models", [m.tags["task"] for m in client.search_registered_models("name LIKE 'simple%'")], ["tabular"])
    same("versions", len(client.search_model_versions("name = 'simple-torch-model'")), 2)
    client.delete_registered_model_alias("simple-torch-model", "champion")
    unknown = lambda: client.get_model_version_by_alias("simple-torch-model", "champion")
    refused("no alias", "INVALID_PARAMETER_VALUE", unknown)
    outside = lambda: client.create_model_version("simple-torch-model", "/etc", run_id)
    refused("outside", "INVALID_PARAMETER_VALUE", outside)


def main():
    client = MlflowClient()
    if "MLFLOW_RUN_ID" in os.environ:
        log_as_a_step(client)
    with tempfile.TemporaryDirectory() as folder:
        run_id, child_id = log_a_run(folder)
        check_run(client, run_id, child_id, folder)
        check_search(client, run_id, child_id)
        check_models(client, run_id, folder)
    print(f"mlflow {mlflow.__version__}: {CHECKS} checks passed")


main()

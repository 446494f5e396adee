"""Model files as people have them, written by the real scikit-learn, XGBoost, LightGBM, torch, torchvision and MLflow.

Lightning and transformers are not installed: their files are imitated, with classes of the same names and shapes.
"""

import argparse
import datetime
import enum
import json
import logging
import pickle
import sys
import types
import warnings
from collections import OrderedDict
from pathlib import Path

from .hostile import Case


class Maker:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.cases = []

    def path(self, family, name):
        path = self.folder / family / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self.cases.append(Case(name, family, path))
        return path

    def pickled(self, family, name, what, protocol=None):
        with open(self.path(family, f"{name}.pkl"), "wb") as file:
            pickle.dump(what, file, protocol=protocol)

    def joblib(self, family, name, what, **how):
        import joblib

        joblib.dump(what, self.path(family, f"{name}.joblib"), **how)


def scikit(make):
    import numpy as np
    import pandas as pd
    from sklearn import cluster, decomposition, ensemble, gaussian_process, linear_model, naive_bayes, neighbors, svm, tree
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.compose import ColumnTransformer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.model_selection import GridSearchCV
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, LabelEncoder, OneHotEncoder, QuantileTransformer, StandardScaler

    random = np.random.RandomState(0)
    x, y = random.rand(80, 4), random.randint(0, 2, 80)
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "town": random.choice(["Ulm", "Rom", "Wien"], 80)})
    columns = ColumnTransformer([("numbers", StandardScaler(), ["a", "b"]), ("towns", OneHotEncoder(), ["town"])])
    models = {
        "logistic": linear_model.LogisticRegression(),
        "ridge": linear_model.Ridge(),
        "elastic": linear_model.ElasticNetCV(cv=2),
        "sgd": linear_model.SGDClassifier(),
        "tree": tree.DecisionTreeClassifier(),
        "forest": ensemble.RandomForestClassifier(10),
        "forest_regressor": ensemble.RandomForestRegressor(10),
        "extra": ensemble.ExtraTreesClassifier(10),
        "boosting": ensemble.GradientBoostingClassifier(n_estimators=5),
        "boosting_regressor": ensemble.GradientBoostingRegressor(n_estimators=5),
        "histogram": ensemble.HistGradientBoostingClassifier(max_iter=5),
        "histogram_regressor": ensemble.HistGradientBoostingRegressor(max_iter=5),
        "adaboost": ensemble.AdaBoostClassifier(n_estimators=5),
        "bagging": ensemble.BaggingClassifier(n_estimators=3),
        "voting": ensemble.VotingClassifier([("a", linear_model.LogisticRegression()), ("b", tree.DecisionTreeClassifier())]),
        "isolation": ensemble.IsolationForest(n_estimators=5),
        "mlp": MLPClassifier(hidden_layer_sizes=(8,), max_iter=20),
        "mlp_regressor": MLPRegressor(hidden_layer_sizes=(8,), max_iter=20, random_state=np.random.RandomState(1)),
        "svc": svm.SVC(probability=False),
        "neighbors": neighbors.KNeighborsClassifier(algorithm="kd_tree"),
        "balls": neighbors.KNeighborsClassifier(algorithm="ball_tree"),
        "kmeans": cluster.KMeans(3, n_init=2),
        "gauss": gaussian_process.GaussianProcessClassifier(),
        "bayes": naive_bayes.GaussianNB(),
        "pca": make_pipeline(StandardScaler(), decomposition.PCA(2), linear_model.LogisticRegression()),
        "function": make_pipeline(FunctionTransformer(np.log1p), linear_model.Ridge()),
        "quantile": QuantileTransformer(n_quantiles=10),
        "calibrated": CalibratedClassifierCV(svm.LinearSVC(), cv=2),
        "grid": GridSearchCV(tree.DecisionTreeClassifier(), {"max_depth": [1, 2]}, cv=2),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, model in models.items():
            model.fit(x, y)
            make.pickled("scikit-learn, pickle", name, model)
            make.joblib("scikit-learn, joblib", name, model)
        frames = make_pipeline(columns, linear_model.LogisticRegression()).fit(frame, y)
        words = make_pipeline(TfidfVectorizer(), naive_bayes.MultinomialNB()).fit(["one two", "two three"] * 5, [0, 1] * 5)
    for name, model in {"columns": frames, "words": words, "labels": LabelEncoder().fit(["a", "b"])}.items():
        make.pickled("scikit-learn, pickle", name, model)
        make.joblib("scikit-learn, joblib", name, model)
    for name, how in {"compressed": {"compress": 3}, "zlib": {"compress": ("zlib", 6)}, "gzip": {"compress": ("gzip", 3)}, "bz2": {"compress": ("bz2", 3)}, "xz": {"compress": ("xz", 3)}, "lzma": {"compress": ("lzma", 3)}, "protocol2": {"protocol": 2}}.items():
        make.joblib("scikit-learn, joblib", name, models["forest"], **how)
    for protocol in range(6):
        make.pickled("scikit-learn, pickle", f"protocol{protocol}", models["boosting"], protocol)


def boosters(make):
    import lightgbm
    import numpy as np
    import xgboost

    random = np.random.RandomState(0)
    x, y = random.rand(60, 3), random.randint(0, 2, 60)
    for name, model in {
        "xgb_classifier": xgboost.XGBClassifier(n_estimators=3),
        "xgb_regressor": xgboost.XGBRegressor(n_estimators=3),
        "lgbm_classifier": lightgbm.LGBMClassifier(n_estimators=3, min_child_samples=5, verbose=-1),
        "lgbm_regressor": lightgbm.LGBMRegressor(n_estimators=3, min_child_samples=5, verbose=-1),
    }.items():
        model.fit(x, y)
        make.pickled("XGBoost and LightGBM", name, model)
        make.joblib("XGBoost and LightGBM", name, model)
        booster = model.get_booster() if hasattr(model, "get_booster") else model.booster_
        make.pickled("XGBoost and LightGBM", f"{name}_booster", booster)
    booster = xgboost.train({"max_depth": 2}, xgboost.DMatrix(x, y), 2)
    booster.save_model(make.path("XGBoost and LightGBM", "native.json"))
    booster.save_model(make.path("XGBoost and LightGBM", "native.ubj"))
    lightgbm.train({"verbose": -1}, lightgbm.Dataset(x, y), 2).save_model(make.path("XGBoost and LightGBM", "native.txt"))


def arrays(make):
    import numpy as np
    import pandas as pd

    numbers = np.arange(12.0).reshape(3, 4)
    frame = pd.DataFrame(
        {
            "a": [1, 2],
            "when": pd.to_datetime(["2024-01-01", "2024-01-02"]),
            "kind": pd.Categorical(["x", "y"]),
            "text": ["u", "v"],
            "maybe": pd.array([1, None], dtype="Int64"),
        }
    )
    for protocol in (2, 4, 5):
        make.pickled("numpy and pandas", f"array{protocol}", {"w": numbers, "b": np.float64(1.5), "n": np.int64(3)}, protocol)
        make.pickled("numpy and pandas", f"frame{protocol}", frame, protocol)
    make.pickled("numpy and pandas", "series", pd.Series([1.0, 2.0], index=pd.date_range("2024", periods=2, tz="UTC")))
    make.pickled("numpy and pandas", "masked", np.ma.masked_array([1, 2], [True, False]))
    make.pickled("numpy and pandas", "random", [np.random.RandomState(0), np.random.default_rng(0)])
    make.pickled("numpy and pandas", "objects", np.array(["a", None], dtype=object))
    make.pickled("numpy and pandas", "dates", {"d": datetime.datetime(2024, 1, 1), "day": datetime.date(2024, 1, 1)})
    np.save(make.path("numpy and pandas", "numbers.npy"), numbers)
    np.savez(make.path("numpy and pandas", "numbers.npz"), a=numbers, b=numbers)
    make.joblib("numpy and pandas", "array", numbers)
    make.joblib("numpy and pandas", "frame", frame)


def torches(make):
    import numpy as np
    import torch
    import torchvision
    from torch import nn

    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.randn(3, 4)).sum().backward()
    optimizer.step()
    state = net.state_dict()
    checkpoint = {"epoch": 3, "model_state_dict": state, "optimizer_state_dict": optimizer.state_dict(), "loss": torch.tensor(0.5)}
    save = lambda what, name, **how: torch.save(what, make.path("torch", name), **how)
    save(state, "state.pth")
    save(state, "pre16.pth", _use_new_zipfile_serialization=False)
    save(checkpoint, "checkpoint.pt")
    save({**checkpoint, "best": np.float64(0.9), "args": argparse.Namespace(lr=0.1, out=Path("x"))}, "args.pt")
    save(net, "whole.pt")
    save(nn.DataParallel(net), "parallel.pt")
    save(net, "whole_pre16.pt", _use_new_zipfile_serialization=False)
    save({k: v.half() for k, v in state.items()}, "half.bin")
    save(OrderedDict((f"module.{k}", v) for k, v in state.items()), "module.pth")
    save({f"_orig_mod.{k}": v for k, v in state.items()}, "compiled.pth")
    # As on a machine with a GPU.
    own, torch.serialization.location_tag = torch.serialization.location_tag, lambda storage: "cuda:0"
    save(state, "cuda.pth")
    save(checkpoint, "cuda_pre16.pth", _use_new_zipfile_serialization=False)
    torch.serialization.location_tag = own
    save({"w": torch.ones(2), "names": {"a", "b"}, "raw": b"x", "size": torch.Size([2]), "device": torch.device("cpu"), "type": torch.float16}, "values.pt")
    save({"w": torch.ones(2), "when": datetime.datetime(2024, 1, 1)}, "when.pt")
    save({"w": torch.ones(2), "deep": [{"list": [1, (2, None)]}], "fraction": 1.5}, "protocol4.pt", pickle_protocol=4)
    save(nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 1), "transformer.pt")
    save(nn.LSTM(3, 4), "lstm.pt")
    save({"w": torch.eye(3).to_sparse()}, "sparse.pt")
    save([optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 2)], "optimizer.pt")
    torch.jit.script(net).save(make.path("torch", "script.pt"))
    torch.jit.trace(net.eval(), torch.randn(3, 4)).save(make.path("torch", "trace.pt"))
    torch.export.save(torch.export.export(net.eval(), (torch.randn(3, 4),)), make.path("torch", "program.pt2"))
    make.pickled("torch", "numpy", {k: v.numpy() for k, v in state.items()})
    for name in ["squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x0_5"]:
        model = getattr(torchvision.models, name)()
        torch.save(model.state_dict(), make.path("torchvision", f"{name}.pth"))
        torch.save(model, make.path("torchvision", f"{name}_whole.pth"))
    torch.jit.script(torchvision.models.squeezenet1_1()).save(make.path("torchvision", "script.pt"))


def modules(names):
    """Modules that only look like those of packages which are not installed."""
    for dotted in names:
        parts = dotted.split(".")
        for length in range(1, len(parts) + 1):
            name = ".".join(parts[:length])
            sys.modules.setdefault(name, types.ModuleType(name))
    return [sys.modules[dotted] for dotted in names]


def imitated(make):
    import torch
    from safetensors.torch import save_file

    fabric, arguments, utils = modules(["lightning.fabric.utilities.data", "transformers.training_args", "transformers.trainer_utils"])
    state = {"model.fc.weight": torch.randn(2, 3), "model.fc.bias": torch.randn(2)}

    class AttributeDict(dict):
        pass

    AttributeDict.__module__, AttributeDict.__qualname__ = fabric.__name__, "AttributeDict"
    fabric.AttributeDict = AttributeDict
    lightning = {
        "epoch": 1, "global_step": 10, "pytorch-lightning_version": "2.4.0", "state_dict": state,
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 1}}}},
        "callbacks": {"ModelCheckpoint{'monitor': None}": {"best_model_path": "/x/y.ckpt", "current_score": torch.tensor(0.1)}},
        "optimizer_states": [{"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]}],
        "lr_schedulers": [], "hparams_name": "kwargs",
    }
    torch.save({**lightning, "hyper_parameters": {"lr": 1e-3}}, make.path("like Lightning", "last.ckpt"))
    torch.save({**lightning, "hyper_parameters": AttributeDict(lr=1e-3)}, make.path("like Lightning", "attributes.ckpt"))

    class Strategy(str, enum.Enum):
        STEPS = "steps"

    Strategy.__module__, Strategy.__qualname__ = utils.__name__, "IntervalStrategy"
    utils.IntervalStrategy = Strategy

    class Arguments:
        def __init__(self):
            self.output_dir, self.strategy, self.device = "out/run 1", Strategy.STEPS, torch.device("cpu")

    Arguments.__module__, Arguments.__qualname__ = arguments.__name__, "TrainingArguments"
    arguments.TrainingArguments = Arguments
    family = "like transformers"
    torch.save(Arguments(), make.path(family, "training_args.bin"))
    for name, weights in {"safe": "model.safetensors", "bin": "pytorch_model.bin", "sharded": "shards", "trained": "both"}.items():
        folder = make.path(family, name)
        folder.mkdir(parents=True)
        for file, words in {"config.json": json.dumps({"model_type": "bert"}), "tokenizer.json": "{}", "vocab.txt": "[PAD]\n[UNK]\nthe\n",
                            "merges.txt": "#version: 0.2\nt h\n", "README.md": "---\nlicense: mit\n---\n# A model\n", ".gitattributes": "*.bin filter=lfs\n",
                            "special_tokens_map.json": "{}", "generation_config.json": "{}", "LICENSE": "Copyright (c) 2024\nPermission is granted.\n"}.items():
            (folder / file).write_text(words)
        if name in ("safe", "trained"):
            save_file(state, folder / "model.safetensors")
        if name in ("bin", "trained"):
            torch.save(state, folder / "pytorch_model.bin")
        if name == "trained":
            torch.save(Arguments(), folder / "training_args.bin")
            torch.save({"state": {}, "param_groups": []}, folder / "optimizer.pt")
            torch.save({"python": (3, (1, 2), None), "cpu": torch.get_rng_state()}, folder / "rng_state.pth")
        if name == "sharded":
            shards = {"model-00001-of-00002.safetensors": "model.fc.weight", "model-00002-of-00002.safetensors": "model.fc.bias"}
            for file, tensor in shards.items():
                save_file({tensor: state[tensor]}, folder / file)
            index = {"metadata": {"total_size": 32}, "weight_map": {tensor: file for file, tensor in shards.items()}}
            (folder / "model.safetensors.index.json").write_text(json.dumps(index))
            (folder / "tokenizer.model").write_bytes(b"\n\x0e\n\x05<unk>\x15\0\0\0\0\x18\x02")


def mlflows(make):
    import lightgbm
    import mlflow
    import numpy as np
    import torch
    import xgboost
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    random = np.random.RandomState(0)
    x, y = random.rand(60, 3), random.randint(0, 2, 60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, model in {"boosting": GradientBoostingClassifier(n_estimators=3), "forest": RandomForestClassifier(5),
                            "logistic": LogisticRegression(), "mlp": MLPClassifier(hidden_layer_sizes=(4,), max_iter=5)}.items():
            for form in ("pickle", "cloudpickle", "skops"):
                if form == "skops" and name != "logistic":
                    continue  # it does not trust trees and their like
                mlflow.sklearn.save_model(model.fit(x, y), make.path("MLflow", f"{name}_{form}"), serialization_format=form, pip_requirements=["scikit-learn"])
        mlflow.xgboost.save_model(xgboost.XGBClassifier(n_estimators=2).fit(x, y), make.path("MLflow", "xgboost"), pip_requirements=["xgboost"])
        mlflow.lightgbm.save_model(lightgbm.LGBMClassifier(n_estimators=2, min_child_samples=5, verbose=-1).fit(x, y), make.path("MLflow", "lightgbm"), serialization_format="pickle", pip_requirements=["lightgbm"])
        net = torch.nn.Sequential(torch.nn.Linear(3, 1)).eval()
        mlflow.pytorch.save_model(net, make.path("MLflow", "torch"), serialization_format="pickle", pip_requirements=["torch"])
        example = np.zeros((2, 3), dtype=np.float32)
        mlflow.pytorch.save_model(net, make.path("MLflow", "torch_pt2"), input_example=example, pip_requirements=["torch"])


def make(folder):
    maker = Maker(folder)
    for family in [scikit, boosters, arrays, torches, imitated, mlflows]:
        family(maker)
    return maker.cases

//! Tests of the safety of single imports.

use super::*;

fn used(dotted: &str, uses: Uses) -> Safety {
    let (module, name) = dotted.rsplit_once('.').unwrap();
    Import::judge(module, name, uses).safety
}

#[test]
fn what_torch_writes_is_safe_when_it_is_used_as_torch_uses_it() {
    for (name, uses) in [
        ("torch._utils._rebuild_tensor_v2", Uses::CALLED),
        ("torch.FloatStorage", Uses::NAMED),
        ("torch.float8_e4m3fn", Uses::NAMED),
        ("collections.OrderedDict", Uses::CALLED.and(Uses::STATE).and(Uses::ENTRIES)),
        ("torch.nn.modules.linear.Linear", Uses::MADE.and(Uses::STATE)),
        ("torch.optim.adam.Adam", Uses::MADE.and(Uses::STATE)),
        ("builtins.set", Uses::CALLED),
        ("numpy._core.multiarray.scalar", Uses::CALLED),
    ] {
        assert_eq!(used(name, uses), Safety::Safe, "{name}");
    }
    for (name, uses) in [
        ("torch._utils._rebuild_tensor_v2", Uses::CALLED.and(Uses::STATE)),
        ("torch.nn.modules.linear.Linear", Uses::CALLED),
        ("torch.FloatStorage", Uses::CALLED),
        ("builtins.set", Uses::CALLED.and(Uses::STATE)),
    ] {
        assert!(used(name, uses) >= Safety::Unjudged, "{name}");
    }
}

#[test]
fn a_class_of_ones_own_and_what_ordinary_models_need_is_unknown() {
    for (name, uses) in [
        ("__main__.SimpleNet", Uses::MADE.and(Uses::STATE)),
        ("transformers.models.bert.BertModel", Uses::MADE),
        ("torchvision.models.resnet.ResNet", Uses::MADE),
        ("sklearn.ensemble._gb.GradientBoostingClassifier", Uses::MADE.and(Uses::STATE)),
        ("sklearn._loss._loss.__pyx_unpickle_CyHalfBinomialLoss", Uses::CALLED),
        ("sklearn.tree._tree.Tree", Uses::CALLED.and(Uses::STATE)),
        ("numpy.random._pickle.__randomstate_ctor", Uses::CALLED),
        ("numpy.log1p", Uses::NAMED),
        ("mypackage.Color", Uses::CALLED),
        ("pandas._libs.internals._unpickle_block", Uses::CALLED),
    ] {
        assert_eq!(used(name, uses), Safety::Unknown, "{name}");
    }
}

#[test]
fn a_function_that_nobody_knows_cannot_be_judged_when_it_is_called() {
    for (name, uses) in [
        ("mypackage.rebuild", Uses::CALLED),
        ("mypackage.Template", Uses::CALLED.and(Uses::TEXT)),
        ("cloudpickle.cloudpickle._make_function", Uses::CALLED),
        ("my package.Net", Uses::MADE),
    ] {
        assert_eq!(used(name, uses), Safety::Unjudged, "{name}");
    }
}

#[test]
fn what_runs_is_dangerous() {
    for name in [
        "os.system",
        "posix.system",
        "subprocess.Popen",
        "builtins.eval",
        "builtins.max",
        "importlib.import_module",
        "torch.hub.load",
        "torch.load",
        "torch.save",
        "torch.from_file",
        "torch.serialization.load",
        "torch.utils.collect_env.run",
        "torch.jit.unsupported_tensor_ops.execWrapper",
        "torch.distributed.run.main",
        "torch._utils._import_dotted_name",
        "operator.attrgetter",
        "ctypes.CDLL",
        "uuid._get_command_stdout",
        "random._os",
        "commands.getoutput",
        "numpy.testing._private.utils.runstring",
        "numpy.f2py.crackfortran.myeval",
        "pandas.read_pickle",
        "joblib.load",
        "mypackage.deep.Popen",
        "torch.nn.modules.module.register_module_forward_hook",
        "__main__.__builtins__",
        "__main__.os",
    ] {
        assert_eq!(used(name, Uses::CALLED), Safety::Dangerous, "{name}");
    }
    for (module, name) in
        [("torch.nn.modules.linear", "torch.os.system"), ("__main__", "os.system"), ("collections", "_sys.modules")]
    {
        assert_eq!(Import::judge(module, name, Uses::NAMED).safety, Safety::Dangerous, "{module} {name}");
    }
    assert!(!Import::judge("os", "system", Uses::CALLED).power.is_empty());
}

#[test]
fn pythons_own_words_for_weights_only_are_known() {
    assert!(is_weights_only("torch._utils", "_rebuild_tensor_v2") && is_weights_only("__builtin__", "set"));
    assert!(!is_weights_only("numpy._core.multiarray", "scalar") && !is_weights_only("argparse", "Namespace"));
}

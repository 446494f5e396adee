# ---------------------------------------------------------------------------------------------------------------------
# A worker process: loads the entry script once and calls run() for one mini-batch after the other.


class MiniBatchContext:
    """The second argument of run()."""

    def __init__(self, index, dataset, partition_key_value):
        self.minibatch_index = index
        self.mini_batch_id = index
        self.dataset = dataset
        self.partition_key_value = partition_key_value


def entry_script_class(settings):
    """The class `azureml_user.parallel_run.EntryScript`: every call returns the same object."""
    logger = logging.getLogger("EntryScript")

    class EntryScript:
        _only = None

        def __new__(cls):
            if cls._only is None:
                cls._only = super().__new__(cls)
            return cls._only

        @property
        def logger(self):
            return logger

        agent_name = settings["name"]
        log_dir = settings["log_dir"]
        output_dir = settings["output_dir"]
        working_dir = settings["working_dir"]

    return EntryScript


def prepare_logging(settings):
    level = getattr(logging, settings["level"])
    form = logging.Formatter("%(asctime)s|%(levelname)s|%(process)d|%(name)s|%(message)s")
    root = logging.StreamHandler(sys.stdout)
    root.setFormatter(form)
    logging.getLogger().addHandler(root)
    logging.getLogger().setLevel(level)
    os.makedirs(settings["log_dir"], exist_ok=True)
    own = logging.FileHandler(os.path.join(settings["log_dir"], settings["name"] + ".log.txt"), delay=True)
    own.setFormatter(form)
    logger = logging.getLogger("EntryScript")
    logger.addHandler(own)
    logger.setLevel(level)


def load_script(settings):
    """The entry script as a module, with what it may import."""
    package, module = types.ModuleType("azureml_user"), types.ModuleType("azureml_user.parallel_run")
    package.__path__, package.parallel_run = [], module
    module.EntryScript = entry_script_class(settings)
    sys.modules["azureml_user"], sys.modules["azureml_user.parallel_run"] = package, module
    path = os.path.abspath(settings["entry_script"])
    # The folder of the driver is not for the script.
    sys.path[0] = os.path.dirname(path)
    if os.getcwd() not in sys.path:
        sys.path.insert(1, os.getcwd())
    sys.argv = [path] + settings["argv"]
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    script = importlib.util.module_from_spec(spec)
    sys.modules[name] = script
    spec.loader.exec_module(script)
    if not callable(getattr(script, "run", None)):
        raise AttributeError("the entry script has no function run(mini_batch)")
    return script


def takes_context(run):
    """Whether run() has a second parameter for the context."""
    try:
        parameters = list(inspect.signature(run).parameters.values())
    except (TypeError, ValueError):
        return False
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(positional) > 1 or any(p.kind == p.VAR_POSITIONAL for p in parameters)


def is_frame(value):
    return any(cls.__name__ == "DataFrame" for cls in type(value).__mro__) and hasattr(value, "to_csv")


def result_of(returned, wanted):
    """The number of items that run() returned, and their text for the output file if it is wanted."""
    if returned is None:
        return 0, b""
    if is_frame(returned):
        text = returned.to_csv(sep=" ", header=False, index=False) if wanted and len(returned) else ""
        return len(returned), text.encode("utf-8", "surrogateescape")
    if isinstance(returned, (str, bytes, dict)) or not hasattr(returned, "__len__"):
        kind = type(returned).__name__
        raise TypeError("run() must return a list, a tuple or a DataFrame, but it returned %s" % kind)
    text = "".join("%s\n" % (item,) for item in returned) if wanted else ""
    return len(returned), text.encode("utf-8", "surrogateescape")


def failure(error):
    """An exception in one line, and with the lines of the script that led to it."""
    lines = traceback.format_exception_only(type(error), error)[-1].strip().splitlines()
    line = lines[0][:500] if lines else type(error).__name__
    start = error.__traceback__
    while start and start.tb_frame.f_code.co_filename == __file__:
        start = start.tb_next
    # Without lines of the script, the error is the driver's own message.
    lines = traceback.format_exception(type(error), error, start) if start else []
    return {"error": line, "traceback": "".join(lines)}


def end_with_parent(parent):
    """Asks the kernel to kill this process when the master dies."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    except (ImportError, OSError, AttributeError):
        # The end of the pipe is noticed as well.
        pass
    if os.getppid() != parent:
        os._exit(WORKER_FAILED)


def listen(requests, inbox):
    """Passes requests on. The end of the pipe means that the master is gone: nothing of this worker stays."""
    for line in requests:
        inbox.put(json.loads(line))
    os.killpg(0, signal.SIGKILL)


def work(parent, request, reply):
    """The main program of a worker."""
    end_with_parent(parent)
    for descriptor in (request, reply):
        os.set_inheritable(descriptor, False)
    # The signals of the master are not for the script.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    inbox = queue.Queue()
    threading.Thread(target=listen, args=(os.fdopen(request, encoding="utf-8"), inbox), daemon=True).start()
    replies = os.fdopen(reply, "wb")

    def send(event, result=b"", **fields):
        fields.update(event=event, bytes=len(result))
        replies.write(json.dumps(fields).encode() + b"\n" + result)
        replies.flush()

    settings = inbox.get()
    try:
        prepare_logging(settings)
        script = load_script(settings)
        if callable(getattr(script, "init", None)):
            script.init()
        frames = Frames(Table(*settings["table"])) if settings["table"] else None
    except BaseException as error:
        traceback.print_exc()
        send("init_failed", **failure(error))
        sys.stdout.flush()
        os._exit(WORKER_FAILED)
    send("ready")
    with_context = takes_context(script.run)
    while True:
        batch = inbox.get()
        if "index" not in batch:
            break
        index, keys = batch["index"], settings["keys"]
        try:
            data, items = content(batch, keys, frames)
            send("running", index=index)
            values = dict(zip(keys, batch["keys"])) if "keys" in batch else None
            context = MiniBatchContext(index, settings["dataset"], values)
            returned = script.run(data, context) if with_context else script.run(data)
            count, result = result_of(returned, settings["wants_rows"])
        except BaseException as error:
            traceback.print_exc()
            send("failed", index=index, **failure(error))
        else:
            send("done", result, index=index, items=items, succeeded=count)
        data = returned = result = None
    try:
        if callable(getattr(script, "shutdown", None)):
            script.shutdown()
    except BaseException as error:
        traceback.print_exc()
        send("shutdown_failed", **failure(error))
    # Like a normal end, with what the script registered for it.
    sys.exit(0)

# ---------------------------------------------------------------------------------------------------------------------
# The journal: finished mini-batches with their results, for another attempt of the step.


class Journal:
    """One line of JSON and the result for each finished mini-batch, in a file that only grows.

    It is valid for one fingerprint, which its first line has. A kill may leave a part of an entry at its end.
    """

    def __init__(self, folder, fingerprint, outputs):
        self.path = os.path.join(folder, "finished")
        # By mini-batch: its entry, and where its result begins.
        self.entries, self.discarded, self.earlier_outputs = {}, None, {}
        os.makedirs(folder, exist_ok=True)
        self.file = open(self.path, "a+b")
        self.read(fingerprint)
        if not self.entries:
            self.clear(fingerprint, outputs)

    def read(self, fingerprint):
        self.file.seek(0)
        head = self.file.readline()
        end = self.file.tell()
        size = os.fstat(self.file.fileno()).st_size
        try:
            head = json.loads(head.decode()) if head.endswith(b"\n") else None
        except ValueError:
            head = None
        if head is None:
            return
        changed = [name for name, digest in fingerprint.items() if head["fingerprint"].get(name) != digest]
        if changed or set(head["fingerprint"]) != set(fingerprint):
            self.discarded = " and ".join(changed) or "the driver"
            return
        self.earlier_outputs = head["outputs"]
        while True:
            line = self.file.readline()
            try:
                entry = json.loads(line.decode()) if line.endswith(b"\n") else None
            except ValueError:
                entry = None
            if entry is None or self.file.tell() + entry["bytes"] > size:
                break
            if "outputs" in entry:
                self.earlier_outputs, end = entry["outputs"], self.file.tell()
                continue
            start = self.file.tell()
            result = self.file.read(entry["bytes"])
            if hashlib.sha256(result).hexdigest() != entry["digest"]:
                break
            self.entries[entry["index"]] = (entry, start)
            end = self.file.tell()
        self.file.truncate(end)

    def clear(self, fingerprint, outputs):
        """Begins again, without entries."""
        self.entries = {}
        self.file.truncate(0)
        self.file.write(json.dumps({"fingerprint": fingerprint, "outputs": outputs}).encode() + b"\n")
        self.file.flush()

    def move(self, outputs):
        """Notes that all files which finished mini-batches wrote are in these outputs now."""
        self.file.seek(0, os.SEEK_END)
        self.file.write(json.dumps({"outputs": outputs, "bytes": 0}).encode() + b"\n")
        self.file.flush()

    def forget(self, is_unwanted):
        """Leaves out entries, so that their mini-batches run again. A later entry of the same mini-batch counts."""
        self.entries = {index: kept for index, kept in self.entries.items() if not is_unwanted(kept[0])}

    def add(self, entry, result):
        entry = dict(entry, bytes=len(result), digest=hashlib.sha256(result).hexdigest())
        self.file.seek(0, os.SEEK_END)
        line = json.dumps(entry).encode() + b"\n"
        start = self.file.tell() + len(line)
        # One write: a kill leaves all of it, or a part that is recognised.
        self.file.write(line + result)
        self.file.flush()
        self.entries[entry["index"]] = (entry, start)

    def write_results(self, target):
        """Puts all results into a file, in the order of the mini-batches."""
        temporary = "%s.%d.part" % (target, os.getpid())
        with open(temporary, "wb") as file:
            for index in sorted(self.entries):
                entry, start = self.entries[index]
                self.file.seek(start)
                file.write(self.file.read(entry["bytes"]))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)


def named_paths(prefix):
    """The ports of the step with their paths, from the variables that every step has."""
    return {name[len(prefix) :]: path for name, path in os.environ.items() if name.startswith(prefix) and path}


def fingerprint(options, inputs, outputs):
    """What must be the same for results of an earlier attempt to be used, by what a message calls it."""
    # Paths differ between attempts.
    places = [(path, "{output %s}" % name) for name, path in outputs.items()]
    places += [(path, "{input %s}" % name) for name, path in inputs.items()]
    places.sort(key=lambda place: -len(place[0]))

    def without_places(text):
        for path, name in places:
            text = text.replace(path, name)
        return text

    fields = ("entry_script", "input_data", "input_type", "mini_batch_size", "partition_key", "argv", "append_row_to")
    arguments = {name: getattr(options, name) for name in fields}
    arguments["variables"] = {name: os.environ.get(name) for name in options.variable}
    arguments = without_places(json.dumps(arguments, sort_keys=True).replace("\\/", "/"))
    names = (name for name in files_below(".") if name.split("/")[0] not in ("logs", "outputs"))
    code = ((name, digest_of(name)) for name in names if "__pycache__" not in name.split("/"))
    data, copies = [], os.path.join(os.path.dirname(os.path.realpath(".")), "inputs", "")
    for name, path in sorted(set(inputs.items()) | {("", options.input_data)}):
        tops = [path] if os.path.isfile(path) else [os.path.join(path, inner) for inner in files_below(path)]
        for file in tops:
            about, inner = os.stat(file), os.path.relpath(file, path)
            # A copy that was made for this attempt has a new time.
            is_copy = os.path.realpath(file).startswith(copies)
            data.append((name, inner, about.st_size, digest_of(file) if is_copy else about.st_mtime_ns))
    versions = [sys.version]
    installed = importlib.metadata.distributions()
    versions += sorted("%s %s" % (found.metadata["Name"], found.version) for found in installed)
    with open(__file__, "rb") as driver:
        versions.append(hashlib.sha256(driver.read()).hexdigest())
    parts = {"its arguments": arguments, "its code": list(code), "its inputs": data, "its environment": versions}
    return {name: hashlib.sha256(json.dumps(part).encode()).hexdigest() for name, part in parts.items()}


def digest_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()

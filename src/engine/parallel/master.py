# ---------------------------------------------------------------------------------------------------------------------
# The master: gives mini-batches to workers, counts failures and writes the result.

# How long shutdown() may take beyond the timeout of a mini-batch.
CLOSING = 30
# So many failures are shown in full. All are in logs/user/error.
SHOWN = 10


class Worker:
    """A worker process as the master sees it."""

    def __init__(self, number, node, gpu):
        self.name, self.node, self.gpu = "process%03d" % number, str(node), gpu
        self.state, self.batch, self.since, self.deadline = "starting", None, time.monotonic(), None
        self.unread, self.killed_for, self.process = bytearray(), None, None
        self.is_cut_off, self.is_registered = False, False

    def start(self, settings, logs):
        def log(kind):
            folder = os.path.join(logs, "user", kind, self.node)
            os.makedirs(folder, exist_ok=True)
            return open(os.path.join(folder, "%s.%s.txt" % (self.name, kind)), "ab")

        request, self.requests = os.pipe()
        self.replies, reply = os.pipe()
        os.set_blocking(self.replies, False)
        environment = dict(os.environ, AZUREML_CR_NODE_RANK=self.node, AZUREML_PROCESS_NAME=self.name)
        if self.gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpu
        command = [sys.executable, os.path.abspath(__file__), "--worker", str(os.getpid()), str(request), str(reply)]
        with log("stdout") as out, log("stderr") as err:
            # A group of its own, so that it can be killed with all that it started.
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                pass_fds=(request, reply),
                start_new_session=True,
            )
        os.close(request)
        os.close(reply)
        log_dir = os.path.join(logs, "user", "entry_script_log", self.node)
        self.ask(dict(settings, name=self.name, log_dir=os.path.abspath(log_dir)))

    def ask(self, message):
        """Sends a request. That the process has ended is noticed elsewhere."""
        data = json.dumps(message).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self.requests, data) :]
        except BrokenPipeError:
            pass

    def kill(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass

    def has_ended(self):
        """Whether the process is over. Where possible it is not reaped, so that its group's number stays its own."""
        if not hasattr(os, "waitid"):
            return self.process.poll() is not None
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def messages(self):
        """What it sent since the last call."""
        while True:
            try:
                data = os.read(self.replies, 1 << 16)
            except BlockingIOError:
                break
            if not data:
                self.is_cut_off = True
                break
            self.unread += data
        found = []
        while True:
            end = self.unread.find(b"\n")
            message = json.loads(self.unread[:end].decode()) if end >= 0 else None
            if message is None or len(self.unread) < end + 1 + message["bytes"]:
                return found
            found.append((message, bytes(self.unread[end + 1 : end + 1 + message["bytes"]])))
            del self.unread[: end + 1 + message["bytes"]]

    def close(self):
        os.close(self.requests)
        os.close(self.replies)


def number(count, what):
    plural = what if count == 1 else what + ("es" if what.endswith("ch") else "s")
    return "{:,} {}".format(count, plural)


def gpus():
    """The GPUs that this step may use."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [gpu for gpu in chosen.split(",") if gpu and gpu != "-1"]
    found = os.listdir("/dev") if os.path.isdir("/dev") else []
    return sorted((name[6:] for name in found if re.match(r"^nvidia\d+$", name)), key=int)


class Master:
    """Runs all mini-batches."""

    def __init__(self, options):
        self.options = options
        self.logs = os.environ.get("AZUREML_CR_HT_CAP_logs_PATH", "logs")
        self.free_gpus, self.workers, self.started = gpus(), [], 0
        self.tries, self.failed, self.retried, self.missing = {}, {}, set(), 0
        self.items, self.init_failures, self.shown = 0, 0, 0
        self.is_drawn = False
        self.problem, self.tracebacks = None, set()

    # ---- Printing

    def say(self, text):
        """Prints a line. A line that is being redrawn ends up replaced."""
        print(("\r" if self.is_drawn else "") + text, flush=True)
        self.is_drawn = False

    def progress(self, now):
        """Redraws the line of progress: often at first, then less often, so that the log stays small."""
        passed = now - self.began
        if now - self.drawn < max(1, passed / 100):
            return
        self.drawn, self.is_drawn = now, True
        print("\r" + self.counts(), end="", flush=True)
        with open(os.path.join(self.logs, "job_progress_overview.%s.txt" % self.day), "a", encoding="utf-8") as file:
            file.write("%s %s\n" % (time.strftime("%H:%M:%S"), self.counts()))

    def counts(self):
        done = len(self.journal.entries)
        text = "{:,} of {:,} mini-batches".format(done + len(self.failed), len(self.batches.all))
        text += ", {:,} failed".format(len(self.failed)) if self.failed else ""
        return text + (", {:,} retried".format(len(self.retried)) if self.retried else "")

    def log(self, worker, kind, text):
        folder = os.path.join(self.logs, *kind.split("/"), worker.node)
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, worker.name + ".txt"), "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)

    # ---- The run

    def prepare(self):
        """Finds the mini-batches, and those that an earlier attempt finished."""
        options = self.options
        if not os.path.isfile(options.entry_script):
            raise Refused("the entry script '%s' is not in the code of the step" % options.entry_script)
        self.began = self.drawn = time.monotonic()
        self.day = time.strftime("%Y%m%d")
        os.makedirs(self.logs, exist_ok=True)
        self.batches = Batches(options)
        self.inputs = {name: path for name, path in named_paths("AZURE_ML_INPUT_").items() if os.path.exists(path)}
        self.outputs = named_paths("AZURE_ML_OUTPUT_")
        folder = os.environ["AMLRUN_PARALLEL_STATE"]
        valid = fingerprint(options, self.inputs, self.outputs)
        self.journal = Journal(folder, valid, self.outputs)
        if self.journal.discarded:
            self.say("%s changed since the earlier attempt: all mini-batches run again" % self.journal.discarded)
        if options.error_threshold >= 0:
            self.journal.forget(lambda entry: entry["succeeded"] < entry["items"])
        if self.journal.entries and not self.take_over(folder):
            self.say("the files of the earlier attempt are gone: all mini-batches run again")
            self.journal.clear(valid, self.outputs)
        shutil.rmtree(os.path.join(folder, "outputs"), ignore_errors=True)
        for entry, _ in self.journal.entries.values():
            self.count(entry)
        self.earlier = len(self.journal.entries)
        if self.earlier:
            text = "{:,} of {:,} mini-batches were completed by an earlier attempt"
            self.say(text.format(self.earlier, len(self.batches.all)))
        numbers = range(len(self.batches.all))
        self.todo = collections.deque(index for index in numbers if index not in self.journal.entries)

    def take_over(self, folder):
        """Copies what the finished mini-batches of an earlier attempt wrote themselves."""
        moved = {}
        for name, path in self.outputs.items():
            earlier = self.journal.earlier_outputs.get(name)
            if earlier != path and path != self.options.append_row_to:
                if not earlier or not os.path.exists(earlier):
                    return False
                moved[path] = earlier
        moved["outputs"] = os.path.join(folder, "outputs")
        if not os.path.isdir(moved["outputs"]):
            return False
        for path, earlier in moved.items():
            if os.path.isdir(earlier):
                shutil.copytree(earlier, path, symlinks=True, dirs_exist_ok=True)
            else:
                shutil.copy2(earlier, path)
        self.journal.move(self.outputs)
        return True

    def count(self, entry):
        self.items += entry["items"]
        self.missing += max(0, entry["items"] - entry["succeeded"])

    def run(self):
        """Runs the mini-batches. `problem` says why the job failed, if it did."""
        options, slots = self.options, int(os.environ.get("AMLRUN_PARALLEL_SLOTS") or os.cpu_count() or 1)
        per_node = options.max_concurrency_per_instance or len(self.free_gpus) or slots
        self.most = max(1, min(per_node * max(1, options.instance_count), slots, len(self.todo)))
        self.per_node = per_node
        output_dir = os.path.dirname(self.result_file() or "") or next(iter(self.outputs.values()), "outputs")
        table = self.batches.table if self.batches.is_tabular else None
        definition = os.environ.get("AMLRUN_PARALLEL_TABLE")
        self.settings = {
            "entry_script": options.entry_script,
            "argv": options.argv,
            "level": options.logging_level,
            "output_dir": os.path.abspath(output_dir),
            "working_dir": os.getcwd(),
            "dataset": options.input_name,
            "keys": options.partition_key,
            "wants_rows": options.append_row_to is not None,
            "table": [table.folder, open(definition, encoding="utf-8").read()] if table else None,
        }
        reading, writing = os.pipe()
        for end in (reading, writing):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.selector = selectors.DefaultSelector()
        self.selector.register(reading, selectors.EVENT_READ)
        self.check()
        while (self.todo or self.workers) and not self.problem:
            self.start_workers()
            now = time.monotonic()
            self.progress(now)
            deadlines = [worker.deadline for worker in self.workers if worker.deadline]
            wait = max(0.0, min([deadline - now for deadline in deadlines] + [1.0]))
            for key, _ in self.selector.select(wait):
                if key.data is None:
                    os.read(reading, 1 << 10)
                else:
                    self.receive(key.data)
                    self.unregister(key.data, key.data.is_cut_off)
            self.reap()
            self.end_overdue()
        self.end_workers()

    def start_workers(self):
        busy = sum(1 for worker in self.workers if worker.batch is not None)
        open_ones = sum(1 for worker in self.workers if worker.state != "closing") - busy
        while len(self.workers) < self.most and open_ones < len(self.todo):
            taken = {worker.place for worker in self.workers}
            place = next(place for place in range(self.most) if place not in taken)
            gpu = self.free_gpus.pop(0) if self.free_gpus else None
            worker = Worker(self.started, place // self.per_node, gpu)
            worker.place = place
            self.workers.append(worker)
            self.started += 1
            open_ones += 1
            worker.start(self.settings, self.logs)
            self.selector.register(worker.replies, selectors.EVENT_READ, worker)
            worker.is_registered = True
        for worker in self.workers:
            if worker.state == "idle" and not worker.killed_for:
                self.give(worker)

    def give(self, worker):
        """Gives an idle worker its next mini-batch, or lets it end when none can come any more."""
        now = time.monotonic()
        if self.todo:
            index = self.todo.popleft()
            worker.state, worker.batch, worker.since = "loading", index, now
            worker.deadline = now + self.options.overhead_timeout
            worker.ask(dict(self.batches.all[index], index=index))
        elif all(other.batch is None for other in self.workers):
            worker.state, worker.deadline = "closing", now + self.options.timeout + CLOSING
            worker.ask({})

    def receive(self, worker):
        for message, result in worker.messages():
            event = message["event"]
            if event == "ready":
                worker.state, self.init_failures = "idle", 0
            elif event == "init_failed":
                worker.killed_for = message
            elif event == "running":
                worker.state, worker.since = "running", time.monotonic()
                worker.deadline = worker.since + self.options.timeout
            elif event == "shutdown_failed":
                self.report(worker, "shutdown() failed", message)
            else:
                index, seconds = worker.batch, time.monotonic() - worker.since
                worker.state, worker.batch, worker.deadline = "idle", None, None
                if event == "failed":
                    self.fail(worker, index, message)
                else:
                    entry = {"index": index, "items": message["items"], "succeeded": message["succeeded"]}
                    self.journal.add(entry, result)
                    self.count(entry)
                    text = "mini-batch %d: %d items, %d succeeded, %.3f s\n"
                    self.log(worker, "sys/node", text % (index, message["items"], message["succeeded"], seconds))
                    self.check()

    def unregister(self, worker, is_over):
        """No longer waits for messages. The process of a worker may end a little later than its pipe."""
        if is_over and worker.is_registered:
            self.selector.unregister(worker.replies)
            worker.is_registered = False

    def fail(self, worker, index, message):
        """Notes a failed try of a mini-batch."""
        self.tries[index] = self.tries.get(index, 0) + 1
        most = self.options.max_retries + 1
        self.report(worker, "mini-batch %d failed (try %d of %d)" % (index, self.tries[index], most), message)
        if self.tries[index] < most:
            self.retried.add(index)
            self.todo.append(index)
        else:
            self.failed[index] = message["error"]
            self.check()

    def report(self, worker, what, message):
        text = "%s in %s: %s" % (what, worker.name, message["error"])
        self.log(worker, "user/error", "%s\n%s\n" % (text, message.get("traceback", "")))
        self.shown += 1
        if self.shown <= SHOWN:
            self.say(text)
            lines = message.get("traceback")
            # Most failures of a script are the same one.
            if lines and lines not in self.tracebacks:
                self.tracebacks.add(lines)
                self.say(lines.rstrip())
        elif self.shown == SHOWN + 1:
            self.say("further errors are only in logs/user/error")

    def check(self):
        """Finds out whether too much failed."""
        options, failed, all_of_them = self.options, len(self.failed), len(self.batches.all)
        if self.problem:
            return
        last = "; the last error was: %s" % list(self.failed.values())[-1] if self.failed else ""
        limits = [(options.mini_batch_error_threshold, "mini_batch_error_threshold")]
        if options.allowed_failed_count is not None:
            limits.append((options.allowed_failed_count, "--allowed_failed_count"))
        for limit, name in limits:
            if 0 <= limit < failed:
                self.problem = "{} failed, but {} allows {:,}{}".format(number(failed, "mini-batch"), name, limit, last)
        if failed * 100 > options.allowed_failed_percent * all_of_them:
            self.problem = "{:,} of {:,} mini-batches failed, but --allowed_failed_percent allows {:g} %{}".format(
                failed, all_of_them, options.allowed_failed_percent, last
            )
        if 0 <= options.error_threshold < self.missing:
            text = "{} without a result, but error_threshold allows {:,}"
            self.problem = text.format(number(self.missing, "item"), options.error_threshold)

    def reap(self):
        """Takes leave of workers whose process has ended."""
        for worker in list(self.workers):
            if not worker.has_ended():
                continue
            self.receive(worker)
            worker.kill()
            code = worker.process.wait()
            self.unregister(worker, True)
            worker.close()
            self.workers.remove(worker)
            if worker.gpu is not None:
                self.free_gpus.insert(0, worker.gpu)
            ended = "the worker ended with %s" % ("exit code %d" % code if code >= 0 else "signal %d" % -code)
            if worker.state == "starting":
                self.init_failures += 1
                self.report(worker, "init() failed", worker.killed_for or {"error": ended})
                if self.init_failures >= 3 * self.most and not self.problem:
                    text = "init() of the entry script failed {} times in a row"
                    self.problem = text.format(self.init_failures)
            elif worker.batch is not None:
                index, worker.batch = worker.batch, None
                self.fail(worker, index, worker.killed_for or {"error": ended})

    def end_overdue(self):
        now = time.monotonic()
        for worker in self.workers:
            if not worker.deadline or now < worker.deadline or worker.killed_for:
                continue
            what = {"running": "run()", "loading": "reading its data", "closing": "shutdown()"}[worker.state]
            limit = worker.deadline - worker.since if worker.state != "closing" else self.options.timeout + CLOSING
            worker.killed_for = {"error": "%s took longer than %g s" % (what, round(limit, 3))}
            if worker.state == "closing":
                self.report(worker, "a worker was ended", worker.killed_for)
            worker.kill()

    def end_workers(self):
        started = [worker for worker in self.workers if worker.process]
        for worker in started:
            worker.kill()
        for worker in started:
            worker.process.wait()

    def result_file(self):
        options = self.options
        if not options.append_row_to or options.append_row_type == "uri_file":
            return options.append_row_to
        return os.path.join(options.append_row_to, options.append_row_file_name)

    def finish(self):
        """Writes the result and the summary; returns the exit code."""
        target = self.result_file()
        if not self.problem and target:
            os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
            self.journal.write_results(target)
        done = len(self.journal.entries)
        text = "%s completed, {:,} failed, {:,} retried; %s" % (number(done, "mini-batch"), number(self.items, "item"))
        text = text.format(len(self.failed), len(self.retried))
        text += ", {:,} without a result".format(self.missing) if self.missing else ""
        text += " (%s from an earlier attempt)" % number(self.earlier, "mini-batch") if self.earlier else ""
        self.say(text)
        if self.problem:
            self.say("the parallel job failed: " + self.problem)
        with open(os.path.join(self.logs, "job_result.txt"), "w", encoding="utf-8", errors="backslashreplace") as file:
            result = "Failed: " + self.problem if self.problem else "Succeeded"
            file.write("The parallel job %s\n%s\n" % (result, text))
            for index, error in sorted(self.failed.items()):
                file.write("mini-batch %d: %s\n" % (index, error))
        return JOB_FAILED if self.problem else 0


def main(words):
    if words[:1] == ["--worker"]:
        work(*map(int, words[1:]))
    sys.stdout.reconfigure(errors="backslashreplace")
    master = None

    def stop(number, frame):
        # At once, and also in the middle of something.
        for worker in master.workers if master else ():
            if worker.process:
                worker.kill()
        os._exit(128 + number)

    try:
        master = Master(parse(words))
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, stop)
        master.prepare()
        master.run()
        return master.finish()
    except (Refused, OSError) as why:
        # An error of the system is, for example, a full disk.
        text = "the parallel job failed: %s" % why
        if master:
            master.end_workers()
            master.say(text)
        else:
            print(text)
        return JOB_FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

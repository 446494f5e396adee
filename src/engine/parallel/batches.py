# ---------------------------------------------------------------------------------------------------------------------
# Mini-batches: what each call of run() gets.


class Batches:
    """The mini-batches of the input. Each is a small description, from which a worker makes what run() gets."""

    def __init__(self, options):
        self.options, self.table = options, None
        path, keys = options.input_data, options.partition_key
        if not path:
            raise Refused("the input '%s' has no value" % options.input_name)
        if options.input_type == "mltable":
            definition = os.environ.get("AMLRUN_PARALLEL_TABLE")
            if not definition:
                raise Refused("the input '%s' has no MLTable file: %s" % (options.input_name, path))
            with open(definition, encoding="utf-8") as file:
                self.table = Table(path, file.read())
            files = self.table.files()
        elif os.path.isfile(path):
            files = [(os.path.basename(path), path)]
        elif os.path.isdir(path):
            files = [(name, os.path.join(path, name)) for name in files_below(path)]
        else:
            raise Refused("the input '%s' does not exist: %s" % (options.input_name, path))
        if keys and options.mini_batch_size:
            raise Refused("mini_batch_size and partition_keys exclude each other: remove one of them")
        self.is_tabular = self.table is not None and self.table.reader is not None
        if not self.is_tabular and self.table and (self.table.skip or self.table.take is not None or self.table.sample):
            raise Refused("the rows that the MLTable file chooses need a reader in it, such as read_delimited")
        if self.is_tabular:
            self.all = self.by_column(files, keys) if keys else self.by_size(files)
        else:
            self.all = self.by_path(files, keys) if keys else self.by_count(files)
        if not self.all:
            what = "rows" if self.is_tabular else "files"
            raise Refused("the input '%s' has no %s: there is nothing to run (%s)" % (options.input_name, what, path))

    def by_count(self, files):
        size = parse_size(self.options.mini_batch_size or "1")
        paths = [path for _, path in files]
        return [{"files": paths[start : start + size]} for start in range(0, len(paths), size)]

    def by_size(self, files):
        size = parse_size(self.options.mini_batch_size or "1mb")
        return [{"parts": [part]} for part in self.parts(files, size)]

    def key_of_path(self, inner, keys):
        """The values of the keys that are in a file's path; `None` if one is not."""
        partition = self.table.partition if self.table else None
        if partition:
            if any(key not in partition.columns for key in keys):
                return None
            values = partition.of(inner)
        else:
            values = dict(part.split("=", 1) for part in inner.split("/")[:-1] if "=" in part)
        return tuple(values[key] for key in keys) if all(key in values for key in keys) else None

    def by_path(self, files, keys):
        groups = {}
        for inner, path in files:
            key = self.key_of_path(inner, keys)
            if key is None:
                raise Refused(
                    "the partition keys (%s) are not in the path '%s': use an MLTable with "
                    "extract_columns_from_partition_format, or folders such as %s=1" % (", ".join(keys), inner, keys[0])
                )
            groups.setdefault(key, []).append(path)
        return [{"files": paths, "keys": list(key)} for key, paths in sorted(groups.items())]

    def by_column(self, files, keys):
        """One mini-batch for each combination of the keys' values."""
        parts, groups = self.parts(files, None), {}
        if self.table.partition and all(key in self.table.partition.columns for key in keys):
            for part in parts:
                groups.setdefault(self.key_of_path(part["inner"], keys), []).append(part)
            return [{"parts": own, "keys": list(key)} for key, own in sorted(groups.items())]
        frames = Frames(self.table)
        for part in parts:
            frame = frames.read(part)
            absent = [key for key in keys if key not in frame.columns]
            if absent:
                raise Refused("the partition key '%s' is not a column of '%s'" % (absent[0], part["inner"]))
            for row in frame[keys].drop_duplicates().itertuples(index=False):
                # Missing values are no key, as in a groupby of pandas.
                if not any(frames.pandas.isna(value) for value in row):
                    groups.setdefault(tuple(plain(value) for value in row), []).append(part)
        groups = sorted(groups.items(), key=lambda group: [str(value) for value in group[0]])
        return [{"parts": own, "keys": list(key), "select": True} for key, own in groups]

    def parts(self, files, size):
        """Parts of the files with at least `size` bytes each, but the last ones; without a size, whole files."""
        table, columns, seen, found = self.table, None, 0, []
        first, end = table.skip, None if table.take is None else table.skip + table.take
        for number, (inner, path) in enumerate(files):
            part = {"file": path, "inner": inner, "start": 0, "data_start": 0, "columns": None, "rows": None}
            part["has_header"] = table.reader == "read_delimited" and table.header != "no_header"
            part["has_header"] = part["has_header"] and (number == 0 or table.header != "from_first_file")
            if table.reader == "read_parquet":
                pieces = parquet_pieces(part, size)
            else:
                if table.reader == "read_delimited":
                    columns = self.columns(part, columns)
                    part["columns"] = columns
                pieces = self.line_pieces(part, size)
            for piece in pieces:
                count = piece.pop("count")
                before, seen = seen, seen + count
                piece["skip"] = max(0, first - before)
                piece["keep"] = count if end is None else min(count, max(0, end - before))
                if piece["skip"] < piece["keep"]:
                    found.append(piece)
        return found

    def columns(self, part, known):
        """The names of a file's columns."""
        table = self.table
        with open(part["file"], "rb") as file:
            if table.is_wide:
                line = io.StringIO(file.read().decode(table.encoding)).readline()
            else:
                line = record(file, is_multi_line(table)).decode(table.encoding)
                part["data_start"] = part["start"] = file.tell() if part["has_header"] else 0
        if known and (not part["has_header"] or table.header == "all_files_same_headers"):
            return known
        if not line.strip():
            return []
        options = {"sep": table.reading.get("delimiter") or ",", "header": None, "dtype": str, "keep_default_na": False}
        names = [str(name) for name in import_pandas().read_csv(io.StringIO(line), **options).iloc[0]]
        return names if part["has_header"] else ["Column%d" % (number + 1) for number in range(len(names))]

    def line_pieces(self, part, size):
        """Pieces of a file that end with lines."""
        table = self.table
        with open(part["file"], "rb") as file:
            end = os.fstat(file.fileno()).st_size
            if table.is_wide:
                text = io.StringIO(file.read().decode(table.encoding))
                count = sum(1 for line in text if line.strip()) - part["has_header"]
                return [dict(part, stop=end, first_row=0, count=count)] if count else []
            file.seek(part["start"])
            pieces, row, count, start, at = [], 0, 0, part["start"], part["start"]
            multi_line = is_multi_line(table)
            while True:
                line = record(file, multi_line)
                at += len(line)
                count += 1 if line.strip() else 0
                if count and (not line or size and at - start >= size):
                    pieces.append(dict(part, start=start, stop=at, first_row=row, count=count))
                    row, count, start = row + count, 0, at
                if not line:
                    return pieces


def plain(value):
    """A value of a column as JSON can have it."""
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, (bool, int, float)) else str(value)


def is_multi_line(table):
    return table.reader == "read_delimited" and truth(table.reading.get("support_multi_line"), False)


def record(file, multi_line):
    """The next line, with those that a quoted field of it goes on in."""
    line = file.readline()
    while multi_line and line.count(b'"') % 2:
        more = file.readline()
        if not more:
            break
        line += more
    return line


def parquet_pieces(part, size):
    part = dict(part, stop=os.path.getsize(part["file"]))
    try:
        import pyarrow.parquet
    except ImportError:
        # Another engine of pandas reads whole files.
        rows = len(import_pandas().read_parquet(part["file"]))
        return [dict(part, first_row=0, count=rows)] if rows else []
    rows = pyarrow.parquet.ParquetFile(part["file"]).metadata.num_rows
    step = max(1, rows * size // max(1, part["stop"])) if size else max(1, rows)
    starts = range(0, rows, step)
    return [dict(part, first_row=row, rows=min(step, rows - row), count=min(step, rows - row)) for row in starts]


def content(batch, keys, frames):
    """What run() gets for a mini-batch, and its number of items."""
    if "files" in batch:
        return batch["files"], len(batch["files"])
    read = []
    for part in batch["parts"]:
        frame = frames.read_once(part) if batch.get("select") else frames.read(part)
        if batch.get("select"):
            for key, value in zip(keys, batch["keys"]):
                frame = frame[frame[key].map(str) == str(value)]
        read.append(frame)
    frame = read[0] if len(read) == 1 else frames.pandas.concat(read, ignore_index=True)
    frame = frame.reset_index(drop=True)
    return frame, len(frame)

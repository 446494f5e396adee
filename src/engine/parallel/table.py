# ---------------------------------------------------------------------------------------------------------------------
# MLTable: the files that a table selects, and their rows as DataFrames.

READERS = ("read_delimited", "read_parquet", "read_json_lines")
HEADERS = ("all_files_same_headers", "all_files_different_headers", "from_first_file", "no_header")
# For byte positions to be the ends of lines, a newline must be one byte.
WIDE = ("utf16", "utf32")
ENCODINGS = {"utf8": "utf-8", "utf8bom": "utf-8-sig", "iso88591": "latin-1", "windows1252": "cp1252"}
# Types are inferred from the first rows.
SAMPLE = 200
DATE = re.compile(r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?Z?)?$")


def import_pandas():
    try:
        import pandas
    except ImportError:
        raise Refused("the input is a table, which needs pandas: add pandas to the environment of the step")
    return pandas


def listed(value):
    return [] if value is None else value if isinstance(value, list) else [value]


def truth(value, default):
    return default if value is None else value if isinstance(value, bool) else str(value).lower() == "true"


class Table:
    """What an MLTable file says. `text` is the file as JSON."""

    def __init__(self, folder, text):
        table = json.loads(text)
        if not isinstance(table, dict):
            raise Refused("the MLTable file of the input is not a mapping")
        self.folder = folder
        self.paths = [dict(entry) for entry in listed(table.get("paths"))]
        self.reader, self.reading, self.sample = None, {}, None
        self.columns, self.partition = [], None
        self.skip, self.take = 0, None
        for transformation in listed(table.get("transformations")):
            name, value = transformation, None
            if isinstance(transformation, dict):
                if len(transformation) != 1:
                    raise Refused("each entry of 'transformations' in the MLTable file must have one key")
                name, value = next(iter(transformation.items()))
            self.add(name, value)
        if not self.paths:
            raise Refused("the MLTable file of the input has no 'paths'")

    def add(self, name, value):
        """Takes one transformation over, or refuses it."""
        if name in READERS:
            self.reader, self.reading = name, value if isinstance(value, dict) else {}
            self.check_reader()
        elif name in ("skip", "take"):
            if self.sample:
                raise Refused("amlrun does not support '%s' after 'take_random_sample' in an MLTable file" % name)
            count = int(value["count"] if isinstance(value, dict) else value)
            if name == "skip":
                self.skip += count
                self.take = None if self.take is None else max(0, self.take - count)
            else:
                self.take = count if self.take is None else min(count, self.take)
        elif name == "take_random_sample":
            self.sample = (float(value["probability"]), value.get("seed") or 0)
        elif name == "extract_columns_from_partition_format":
            text = value["partition_format"] if isinstance(value, dict) else value
            self.partition = Partition(text)
            self.columns.append((name, None))
        elif name in ("drop_columns", "keep_columns"):
            chosen = value.get("columns") if isinstance(value, dict) else value
            self.columns.append((name, [str(column) for column in listed(chosen)]))
        elif name == "convert_column_types":
            for rule in listed(value):
                kind = rule["column_type"]
                kind, details = (kind, {}) if isinstance(kind, str) else next(iter(kind.items()))
                if kind not in CONVERSIONS:
                    raise Refused("amlrun does not support the column type '%s' in an MLTable file" % kind)
                self.columns.append((name, (listed(rule["columns"]), kind, details or {})))
        else:
            raise Refused("amlrun does not support the transformation '%s' of an MLTable file" % name)

    def check_reader(self):
        header = self.reading.get("header") or HEADERS[0]
        if header not in HEADERS and not isinstance(header, bool):
            raise Refused("amlrun does not support the header '%s' in an MLTable file" % header)
        self.header = "no_header" if header is False else HEADERS[0] if header is True else header
        encoding = str(self.reading.get("encoding") or "utf8").lower().replace("-", "").replace("_", "")
        self.is_wide = encoding in WIDE
        self.encoding = ENCODINGS.get(encoding, encoding)
        self.byte_encoding = "utf-8" if self.is_wide else self.encoding
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            raise Refused("the encoding '%s' in the MLTable file is not known to Python" % encoding)

    def files(self):
        """The selected files with their paths below the table's folder, in the order of the table."""
        found = {}
        for entry in self.paths:
            kind = next((kind for kind in ("file", "folder", "pattern") if kind in entry), None)
            if kind is None or len(entry) != 1:
                raise Refused("each of the 'paths' in the MLTable file must have one of 'file', 'folder' and 'pattern'")
            path = str(entry[kind])
            if "://" in path or path.startswith("azureml:"):
                raise Refused("the MLTable file selects '%s': amlrun splits only files in the table's own folder" % path)
            inner = os.path.normpath(path)
            if os.path.isabs(inner) or inner.split("/")[0] == "..":
                raise Refused("the MLTable file selects '%s', which is outside its folder" % path)
            if kind == "file":
                matches = [inner] if os.path.isfile(os.path.join(self.folder, inner)) else []
            elif kind == "folder":
                top = os.path.join(self.folder, inner)
                matches = [os.path.normpath(os.path.join(inner, name)) for name in files_below(top)]
            else:
                glob = compile_glob(inner)
                matches = [name for name in files_below(self.folder) if glob.match(name)]
            matches = [name for name in matches if name != "MLTable"]
            if not matches:
                raise Refused("the MLTable file selects '%s', but no file is there" % path)
            found.update((name, os.path.join(self.folder, name)) for name in matches)
        return list(found.items())


class Partition:
    """`extract_columns_from_partition_format`: columns from the ends of paths, such as `{Store}/{Brand}/x.csv`."""

    DATES = {"yyyy": r"\d{4}", "MM": r"\d{2}", "dd": r"\d{2}", "HH": r"\d{2}", "mm": r"\d{2}", "ss": r"\d{2}"}
    CODES = {"yyyy": "%Y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}

    def __init__(self, text):
        self.text, self.columns, self.dates = text, [], {}
        pattern = ""
        for literal, column in re.findall(r"([^{}]+)|\{([^{}]*)\}", text.lstrip("/")):
            if literal:
                pattern += re.escape(literal).replace(r"\*", "[^/]*")
                continue
            name, _, form = column.partition(":")
            if form:
                parts = re.split("(%s)" % "|".join(self.DATES), form)
                pattern += "(%s)" % "".join(self.DATES.get(part, re.escape(part)) for part in parts)
                self.dates[name] = "".join(self.CODES.get(part, part) for part in parts)
            else:
                pattern += "([^/]+)"
            self.columns.append(name)
        self.regex = re.compile("(?:^|/)" + pattern + "$")

    def of(self, path):
        match = self.regex.search(path)
        if not match:
            raise Refused("the path '%s' does not fit the partition_format '%s'" % (path, self.text))
        values = dict(zip(self.columns, match.groups()))
        for name, form in self.dates.items():
            values[name] = time.strftime("%Y-%m-%d %H:%M:%S", time.strptime(values[name], form))
        return values


def compile_glob(pattern):
    """A pattern with `*`, `?` and `**` as a regular expression for paths."""
    regex = ""
    for token in re.findall(r"\*\*/|\*\*|\*|\?|\[[^\]]*\]|[^*?\[]+|\[", pattern):
        regex += {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(token) or (
            token if token.startswith("[") and len(token) > 1 else re.escape(token)
        )
    return re.compile(regex + "$")


def files_below(top):
    """The paths of all files below a folder, relative to it and sorted. Links to folders are followed once."""
    found, seen = [], set()
    for folder, folders, names in os.walk(top, followlinks=True):
        about = os.stat(folder)
        if (about.st_dev, about.st_ino) in seen:
            folders[:] = []
            continue
        seen.add((about.st_dev, about.st_ino))
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                found.append(os.path.relpath(path, top))
    return sorted(found)


# ---- Frames

def to_boolean(series, details):
    def values(names, default):
        given = next((details[name] for name in names if name in details), None)
        return {str(value).lower() for value in listed(given)} or default

    true = values(("true_values", "true"), {"true", "1"})
    false = values(("false_values", "false"), {"false", "0"})
    meanings = dict([(word, True) for word in true] + [(word, False) for word in false])
    return series.map(lambda value: meanings.get(str(value).lower()))


def to_datetime(series, details):
    pandas = import_pandas()
    formats = listed(details.get("formats"))
    if not formats:
        return pandas.to_datetime(series, errors="coerce")
    result = None
    for form in formats:
        read = pandas.to_datetime(series, format=form, errors="coerce")
        result = read if result is None else result.fillna(read)
    return result


def to_number(series, details):
    return import_pandas().to_numeric(series, errors="coerce")


CONVERSIONS = {
    "boolean": to_boolean,
    "datetime": to_datetime,
    "float": lambda series, details: to_number(series, details).astype("float64"),
    "int": lambda series, details: to_number(series, details),
    "string": lambda series, details: series.where(series.isna(), series.astype(str)),
}


class Frames:
    """Reads the rows of a table's files."""

    def __init__(self, table):
        self.table, self.pandas = table, import_pandas()
        self.kinds, self.last = {}, (None, None)

    def read_once(self, part):
        """Like `read`, for a part that is used several times in a row."""
        if self.last[0] != part:
            self.last = (part, self.read(part))
        return self.last[1]

    def read(self, part):
        """The rows of a part of a file, with the table's transformations."""
        path, inner = part["file"], part["inner"]
        frame = self.rows(part).iloc[part["skip"] : part["keep"]]
        first = part["first_row"] + part["skip"]
        if truth(self.table.reading.get("include_path_column"), False):
            frame = frame.assign(Path=path)
        if self.table.sample:
            probability, seed = self.table.sample
            # Each row by itself, so that it does not matter how the table is split.
            rows = (random.Random("%s %s %d" % (seed, inner, first + row)) for row in range(len(frame)))
            frame = frame[[row.random() < probability for row in rows]]
        for name, value in self.table.columns:
            if name == "drop_columns":
                frame = frame.drop(columns=[column for column in value if column in frame.columns])
            elif name == "keep_columns":
                frame = frame[value]
            elif name == "convert_column_types":
                columns, kind, details = value
                frame = frame.assign(**{column: CONVERSIONS[kind](frame[column], details) for column in columns})
            else:
                frame = frame.assign(**self.partition(inner))
        return frame.reset_index(drop=True)

    def partition(self, inner):
        partition = self.table.partition
        values = partition.of(inner)
        values.update((name, self.pandas.Timestamp(values[name])) for name in partition.dates)
        return values

    def rows(self, part):
        if self.table.reader == "read_parquet":
            return self.parquet(part)
        data = self.bytes_of(part, part["start"], part["stop"])
        if self.table.reader == "read_json_lines":
            return self.pandas.DataFrame(self.json_rows(data.read()))
        return self.delimited(data, part["columns"], self.column_kinds(part))

    def bytes_of(self, part, start, stop):
        """Bytes of a file. Those of a wide encoding become UTF-8, without the header."""
        with open(part["file"], "rb") as file:
            if not self.table.is_wide:
                file.seek(start)
                return io.BytesIO(file.read(stop - start))
            text = file.read().decode(self.table.encoding)
        lines = io.StringIO(text).readlines()
        return io.BytesIO("".join(lines[1 if part["has_header"] else 0 :]).encode(self.table.byte_encoding))

    def json_rows(self, data):
        rows = []
        for line in data.decode(self.table.byte_encoding).split("\n"):
            try:
                rows += [json.loads(line)] if line.strip() else []
            except ValueError:
                if self.table.reading.get("invalid_lines") != "drop":
                    raise
        return rows

    def parquet(self, part):
        if part["rows"] is None:
            return self.pandas.read_parquet(part["file"])
        import pyarrow
        import pyarrow.parquet

        first, rows = part["first_row"], part["rows"]
        file = pyarrow.parquet.ParquetFile(part["file"])
        groups, before, seen = [], None, 0
        for group in range(file.metadata.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            if seen < first + rows and seen + count > first:
                before = seen if before is None else before
                groups.append(group)
            seen += count
        return file.read_row_groups(groups).slice(first - (before or 0), rows).to_pandas()

    def delimited(self, data, columns, kinds, rows=None):
        keep_empty = truth(self.table.reading.get("empty_as_string"), False)
        frame = self.pandas.read_csv(
            data,
            sep=self.table.reading.get("delimiter") or ",",
            encoding=self.table.byte_encoding,
            header=None,
            names=columns,
            nrows=rows,
            dtype=kinds and kinds["types"],
            keep_default_na=False,
            na_values=[""],
            index_col=False,
        )
        for column in kinds["dates"] if kinds else ():
            frame[column] = self.pandas.to_datetime(frame[column], errors="coerce")
        for column in kinds["texts"] if kinds and keep_empty else ():
            frame[column] = frame[column].fillna("")
        return frame

    def column_kinds(self, part):
        """The types of a file's columns, from its first rows, so that all mini-batches of the file have the same."""
        infer = self.table.reading.get("infer_column_types")
        if not isinstance(infer, dict) and not truth(infer, True):
            return {"types": str, "dates": [], "texts": part["columns"]}
        if part["file"] not in self.kinds:
            rows = int(infer.get("sample_size", SAMPLE)) if isinstance(infer, dict) else SAMPLE
            types, dates, texts = {}, [], []
            with open(part["file"], "rb") as file:
                file.seek(part["data_start"])
                data = self.bytes_of(part, 0, 0) if self.table.is_wide else file
                sample = self.delimited(data, part["columns"], None, rows)
            for column in sample.columns:
                values = sample[column].dropna()
                if not len(values):
                    continue
                if sample[column].dtype == "float64":
                    types[column] = "float64"
                elif not self.pandas.api.types.is_numeric_dtype(sample[column]):
                    types[column] = str
                    is_date = all(DATE.match(str(value)) for value in values)
                    (dates if is_date else texts).append(column)
            # Those of one file: a table may have very many.
            self.kinds = {part["file"]: {"types": types, "dates": dates, "texts": texts}}
        return self.kinds[part["file"]]

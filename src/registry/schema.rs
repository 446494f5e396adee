//! The registry's tables, one entry for each format of the file. Only add entries, at the end.

/// See [`crate::sqlite::open`]. Tags and properties are JSON objects of strings, because no query searches them.
pub(super) const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE containers (
    kind         TEXT NOT NULL,
    name         TEXT NOT NULL,
    description  TEXT NOT NULL DEFAULT '',
    tags         TEXT NOT NULL DEFAULT '{}',
    last_version INTEGER NOT NULL DEFAULT 0,  -- the greatest number ever given: numbers are not reused
    archived     INTEGER NOT NULL DEFAULT 0,
    created      INTEGER NOT NULL,
    updated      INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

CREATE TABLE assets (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of registration, finer than any clock
    kind              TEXT NOT NULL,
    name              TEXT NOT NULL,
    version           TEXT NOT NULL,
    type              TEXT NOT NULL,
    path              TEXT NOT NULL,
    digest            TEXT NOT NULL,
    bytes             INTEGER NOT NULL,
    description       TEXT NOT NULL,
    tags              TEXT NOT NULL,
    properties        TEXT NOT NULL,
    framework         TEXT,
    framework_version TEXT,
    run               TEXT,
    step              TEXT,
    source            TEXT,
    stage             TEXT NOT NULL DEFAULT 'None',
    archived          INTEGER NOT NULL DEFAULT 0,
    created           INTEGER NOT NULL,
    updated           INTEGER NOT NULL,
    UNIQUE (kind, name, version),
    FOREIGN KEY (kind, name) REFERENCES containers (kind, name)
);

CREATE TABLE labels (
    kind    TEXT NOT NULL,
    name    TEXT NOT NULL,
    label   TEXT NOT NULL,
    version TEXT NOT NULL,
    PRIMARY KEY (kind, name, label),
    FOREIGN KEY (kind, name, version) REFERENCES assets (kind, name, version)
) WITHOUT ROWID;
",
    "
ALTER TABLE assets ADD COLUMN summary TEXT;  -- what registering found in a model's files, as JSON
",
    "
ALTER TABLE assets ADD COLUMN fingerprint TEXT;  -- the stat of the sealed bytes when their digest was last known to hold
",
];

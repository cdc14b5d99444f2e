"""The tables of a run file. Rows are only ever added; every row ends with its hash."""

VERSION = 1

MIGRATIONS = (
    """
    CREATE TABLE meta    (name TEXT PRIMARY KEY, value TEXT NOT NULL, hash BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE cohorts (j INTEGER PRIMARY KEY, matings TEXT NOT NULL, hash BLOB NOT NULL);
    CREATE TABLE genomes (key TEXT PRIMARY KEY, kind TEXT NOT NULL, record TEXT NOT NULL, hash BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE births  (j INTEGER, i INTEGER, record TEXT NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (j, i)) WITHOUT ROWID;
    CREATE TABLE told    (j INTEGER PRIMARY KEY, history TEXT NOT NULL, hash BLOB NOT NULL);
    CREATE TABLE answers (key TEXT PRIMARY KEY, model TEXT NOT NULL, text TEXT NOT NULL, finish TEXT NOT NULL,
                          calls INTEGER NOT NULL, tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL, price REAL NOT NULL,
                          hash BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE intents (id INTEGER PRIMARY KEY, key TEXT NOT NULL, model TEXT NOT NULL, tokens_in INTEGER NOT NULL,
                          tokens_out INTEGER NOT NULL, price REAL NOT NULL, hash BLOB NOT NULL);
    CREATE TABLE settled (id INTEGER PRIMARY KEY, outcome TEXT NOT NULL, calls INTEGER NOT NULL, tokens_in INTEGER NOT NULL,
                          tokens_out INTEGER NOT NULL, price REAL NOT NULL, note TEXT NOT NULL, hash BLOB NOT NULL);
    """,
)

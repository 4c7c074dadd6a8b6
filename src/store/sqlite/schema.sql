-- The first layout of the file.
--
-- Times are whole milliseconds since 1970, UTC. Guids are in their compact form, 22 characters.
-- Secrets are digests of 43 characters, or blobs sealed before they came here. `seq` is the order
-- in which rows were written.

CREATE TABLE users (
    seq         INTEGER PRIMARY KEY,
    guid        TEXT NOT NULL UNIQUE,
    client      TEXT NOT NULL,
    id          TEXT,
    email       TEXT,
    metadata    TEXT,
    is_disabled INTEGER NOT NULL,
    created_at  INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX users_by_id ON users (client, id) WHERE id IS NOT NULL;
CREATE INDEX users_by_age ON users (client, created_at);

CREATE TABLE api_keys (
    seq        INTEGER PRIMARY KEY,
    client     TEXT NOT NULL,
    id         TEXT NOT NULL,
    digest     TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    retired_at INTEGER,
    UNIQUE (client, id)
) STRICT;

CREATE TABLE api_tokens (
    digest     TEXT PRIMARY KEY,
    user       TEXT NOT NULL,
    client     TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX api_tokens_by_user ON api_tokens (user);
CREATE INDEX api_tokens_by_end ON api_tokens (expires_at);

CREATE TABLE sessions (
    digest     TEXT PRIMARY KEY,
    user       TEXT NOT NULL,
    client     TEXT NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_user ON sessions (user);
CREATE INDEX sessions_by_end ON sessions (expires_at);

CREATE TABLE members (
    seq                               INTEGER PRIMARY KEY,
    guid                              TEXT NOT NULL UNIQUE,
    user                              TEXT NOT NULL,
    user_id                           TEXT,
    client                            TEXT NOT NULL,
    institution                       TEXT NOT NULL,
    institution_guid                  TEXT NOT NULL,
    name                              TEXT NOT NULL,
    external_guid                     TEXT,
    metadata                          TEXT,
    use_cases                         TEXT NOT NULL,    -- a JSON list
    background_aggregation_is_disabled INTEGER NOT NULL,
    is_oauth                          INTEGER NOT NULL,
    skip_aggregation                  INTEGER NOT NULL,
    status                            INTEGER NOT NULL, -- connection_status_id
    revision                          INTEGER NOT NULL,
    created_at                        INTEGER NOT NULL,
    aggregated_at                     INTEGER,
    successfully_aggregated_at        INTEGER,
    current_job                       TEXT,
    most_recent_job                   TEXT,
    latest_window                     TEXT
) STRICT;
CREATE UNIQUE INDEX members_by_external_guid ON members (client, external_guid)
    WHERE external_guid IS NOT NULL;
CREATE INDEX members_by_user ON members (user, created_at);

CREATE TABLE grants (
    member TEXT PRIMARY KEY REFERENCES members (guid) ON DELETE CASCADE,
    sealed BLOB NOT NULL
) STRICT;

-- Windows outlive their members, so they name client and institution themselves.
CREATE TABLE windows (
    seq                INTEGER PRIMARY KEY,
    guid               TEXT NOT NULL UNIQUE,
    member             TEXT NOT NULL,
    user               TEXT NOT NULL,
    client             TEXT NOT NULL,
    institution        TEXT NOT NULL,
    options            TEXT,             -- JSON; NULL: nothing was chosen
    status             TEXT NOT NULL CHECK
        (status IN ('issued', 'opened', 'returned', 'succeeded', 'errored')),
    error_reason       INTEGER,          -- the published id; with status 'errored' only
    ending             TEXT,             -- likewise
    inbound            TEXT,
    created_at         INTEGER NOT NULL,
    updated_at         INTEGER NOT NULL,
    deadline           INTEGER NOT NULL,
    finished_at        INTEGER CHECK
        ((finished_at IS NULL) = (status IN ('issued', 'opened', 'returned'))),
    first_retrieved_at INTEGER,
    retries            INTEGER NOT NULL,
    detail             TEXT,
    retry_until        INTEGER,
    previous           TEXT
) STRICT;
CREATE INDEX windows_by_user ON windows (user);
CREATE UNIQUE INDEX windows_one_unfinished ON windows (member) WHERE finished_at IS NULL;
CREATE INDEX windows_by_deadline ON windows (deadline) WHERE finished_at IS NULL;
CREATE INDEX windows_by_end ON windows (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE attempts (
    seq         INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    window      TEXT NOT NULL REFERENCES windows (guid) ON DELETE CASCADE,
    binding     TEXT NOT NULL,
    sealed      BLOB,             -- forgotten when the answer was claimed or the window ended
    is_replaced INTEGER NOT NULL  -- a newer attempt of the same browser took its place
) STRICT;
CREATE INDEX attempts_by_window ON attempts (window);

CREATE TABLE held_answers (
    handle     TEXT PRIMARY KEY,
    attempt    TEXT NOT NULL REFERENCES attempts (id) ON DELETE CASCADE,
    sealed     BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX held_answers_by_attempt ON held_answers (attempt);
CREATE INDEX held_answers_by_end ON held_answers (expires_at);

CREATE TABLE jobs (
    seq         INTEGER PRIMARY KEY,
    guid        TEXT NOT NULL UNIQUE,
    member      TEXT NOT NULL,
    user        TEXT NOT NULL,
    client      TEXT NOT NULL,
    institution TEXT NOT NULL,
    status      TEXT NOT NULL,
    attempt     INTEGER NOT NULL,
    due_at      INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    finished_at INTEGER
) STRICT;
CREATE INDEX jobs_by_due_time ON jobs (due_at) WHERE finished_at IS NULL;
CREATE INDEX jobs_by_end ON jobs (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE events (
    seq                  INTEGER PRIMARY KEY,
    guid                 TEXT NOT NULL UNIQUE,
    kind                 TEXT NOT NULL,
    member               TEXT NOT NULL,    -- JSON: the member as the change left it
    window               TEXT,             -- JSON: the window, likewise
    job                  TEXT,
    transactions_created INTEGER,
    transactions_updated INTEGER,
    happened_at          INTEGER NOT NULL,
    attempt              INTEGER NOT NULL,
    due_at               INTEGER NOT NULL,
    dead_at              INTEGER           -- nobody took it; kept for the operator
) STRICT;
CREATE INDEX events_by_due_time ON events (due_at) WHERE dead_at IS NULL;
CREATE INDEX events_by_death ON events (dead_at) WHERE dead_at IS NOT NULL;

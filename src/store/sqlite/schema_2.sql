-- The second layout: standard members with their credentials and challenges, duplicates, soft
-- deletion, requests that may come twice.
--
-- A member's credentials are in `grants`, as a grant would be: its `is_oauth` tells which it is.

ALTER TABLE members ADD COLUMN fingerprint TEXT;
ALTER TABLE members ADD COLUMN refusals INTEGER NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN data_request TEXT NOT NULL DEFAULT '{}'; -- JSON
ALTER TABLE members ADD COLUMN callback_payload TEXT;
CREATE UNIQUE INDEX members_by_login ON members (user, institution, fingerprint)
    WHERE fingerprint IS NOT NULL;

ALTER TABLE jobs ADD COLUMN data_request TEXT NOT NULL DEFAULT '{}';    -- JSON
ALTER TABLE jobs ADD COLUMN challenges TEXT NOT NULL DEFAULT '[]';      -- a JSON list
ALTER TABLE jobs ADD COLUMN round INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN failure TEXT;                               -- with status 'FAILED' only
ALTER TABLE jobs ADD COLUMN sealed_answers BLOB;                        -- to the newest challenges
CREATE INDEX jobs_unfinished_by_member ON jobs (member) WHERE finished_at IS NULL;

-- Soft-deleted members: no read but one finds them, and nothing is unique among them.
CREATE TABLE deleted_members (
    guid          TEXT PRIMARY KEY,
    user          TEXT NOT NULL,
    institution   TEXT NOT NULL,
    external_guid TEXT,
    fingerprint   TEXT,
    member        TEXT NOT NULL, -- JSON: the member as it was
    deleted_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX deleted_members_by_user ON deleted_members (user);
CREATE INDEX deleted_members_by_age ON deleted_members (deleted_at);

CREATE TABLE idempotent_requests (
    client  TEXT NOT NULL,
    key     TEXT NOT NULL,    -- a digest
    request TEXT NOT NULL,    -- a digest
    answer  BLOB,             -- sealed; NULL: it is being worked on
    ends_at INTEGER NOT NULL, -- when the key is free again
    PRIMARY KEY (client, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotent_requests_by_end ON idempotent_requests (ends_at);

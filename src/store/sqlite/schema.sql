-- The layout of the file, the sixth. Whole milliseconds since 1970, UTC.
--
-- A record is one value, as JSON: what it is is told by the first letter of its key (src/steps/record.rs).
-- Other columns are there only to look up and to sort by.

CREATE TABLE records (
    key        TEXT PRIMARY KEY,
    form       INTEGER NOT NULL, -- the number of the form that the value is written in
    value      TEXT NOT NULL,
    expires_at INTEGER           -- when it may be forgotten; NULL: until a step deletes it
) STRICT;
CREATE INDEX records_by_end ON records (expires_at) WHERE expires_at IS NOT NULL;

-- Keys in the order of a time.
CREATE TABLE places (
    seq   INTEGER PRIMARY KEY,
    list  TEXT NOT NULL,
    key   TEXT NOT NULL,
    place INTEGER NOT NULL,
    UNIQUE (list, key)
) STRICT;
CREATE INDEX places_in_order ON places (list, place, seq);

-- How long the lists are that have no limit: those of a client's users (L, and E by email address). To count
-- their places each time would take longer the longer they are.
CREATE TABLE lengths (
    list   TEXT PRIMARY KEY,
    length INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TRIGGER listed AFTER INSERT ON places WHEN substr(new.list, 1, 1) IN ('E', 'L') BEGIN
    INSERT INTO lengths (list, length) VALUES (new.list, 1)
    ON CONFLICT (list) DO UPDATE SET length = length + 1;
END;
CREATE TRIGGER unlisted AFTER DELETE ON places WHEN substr(old.list, 1, 1) IN ('E', 'L') BEGIN
    UPDATE lengths SET length = length - 1 WHERE list = old.list;
    DELETE FROM lengths WHERE list = old.list AND length = 0;
END;

-- Keys of what is taken up when it is due, in lines.
CREATE TABLE due (
    seq    INTEGER PRIMARY KEY, -- the order in which they came
    line   TEXT NOT NULL,
    key    TEXT NOT NULL,
    behind TEXT,                -- of those behind the same in a line only the first is due
    since  INTEGER NOT NULL,    -- when it came
    at     INTEGER,             -- NULL: it waits behind another one
    UNIQUE (line, key)
) STRICT;
CREATE INDEX due_in_order ON due (line, at);
CREATE INDEX due_one_after_the_other ON due (line, behind, seq) WHERE behind IS NOT NULL;

-- For people: what an operator asks for most.
CREATE VIEW members AS
    SELECT substr(key, 2) AS key, value ->> 'guid' AS guid, value ->> 'client' AS client,
           value ->> 'institution' AS institution, value ->> 'status' AS status, value
    FROM records WHERE key >= 'm' AND key < 'n';
CREATE VIEW windows AS
    SELECT substr(key, 2) AS key, value ->> '$.window.member' AS member,
           value ->> '$.window.client' AS client, value ->> '$.window.status' AS status, value
    FROM records WHERE key >= 'w' AND key < 'x';
CREATE VIEW events AS
    SELECT substr(key, 2) AS key, value ->> 'kind' AS kind, value ->> '$.member.guid' AS member,
           value ->> 'due_at' AS due_at, value ->> 'delivered_at' AS delivered_at,
           value ->> 'dead_at' AS dead_at, value
    FROM records WHERE key >= 'e' AND key < 'f';

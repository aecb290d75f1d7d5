-- Keys of callers that are made while the gateway runs. Times are microseconds since 1970 UTC; 0 is never.

CREATE TABLE dragoman_keys (
  id           TEXT COLLATE "C" PRIMARY KEY,
  tenant       TEXT NOT NULL,
  team         TEXT NOT NULL,
  user_id      TEXT NOT NULL,
  name         TEXT NOT NULL,
  spec         TEXT NOT NULL,
  created_us   BIGINT NOT NULL,
  created_by   TEXT NOT NULL,
  expires_us   BIGINT NOT NULL,
  revoked_us   BIGINT NOT NULL,
  revoked_by   TEXT NOT NULL,
  last_used_us BIGINT NOT NULL,
  revision     BIGINT NOT NULL
);
CREATE UNIQUE INDEX dragoman_keys_by_name ON dragoman_keys (tenant, team, user_id, name) WHERE revoked_us = 0;
CREATE INDEX dragoman_keys_by_revision ON dragoman_keys (revision);

-- What callers send for them, as HMAC-SHA-256 in hex. Those that were rotated away end by themselves.
CREATE TABLE dragoman_key_secrets (
  hash       TEXT PRIMARY KEY,
  key_id     TEXT COLLATE "C" NOT NULL REFERENCES dragoman_keys (id),
  prefix     TEXT NOT NULL,
  created_us BIGINT NOT NULL,
  expires_us BIGINT NOT NULL
);
CREATE INDEX dragoman_key_secrets_by_key ON dragoman_key_secrets (key_id);

-- One row. Every change takes its revision here, and holds the row until it is visible: so no revision becomes visible before a lower one,
-- and replicas find what has changed by the highest one that they know.
CREATE TABLE dragoman_key_state (
  id           INTEGER PRIMARY KEY CHECK (id = 1),
  revision     BIGINT NOT NULL,
  live         BIGINT NOT NULL,
  secret_check TEXT NOT NULL
);
INSERT INTO dragoman_key_state (id, revision, live, secret_check) VALUES (1, 0, 0, '');

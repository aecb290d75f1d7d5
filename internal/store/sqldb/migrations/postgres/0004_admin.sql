-- Who may use the admin port: tokens of programs and sessions of people, by SHA-256 of what they come with. Times are microseconds since
-- 1970 UTC; 0 is none.

CREATE TABLE dragoman_admin_tokens (
  id           TEXT PRIMARY KEY,
  name         TEXT NOT NULL,
  hash         TEXT NOT NULL UNIQUE,
  role         TEXT NOT NULL,
  tenant       TEXT NOT NULL,
  team         TEXT NOT NULL,
  prefix       TEXT NOT NULL,
  created_us   BIGINT NOT NULL,
  created_by   TEXT NOT NULL,
  expires_us   BIGINT NOT NULL,
  revoked_us   BIGINT NOT NULL,
  revoked_by   TEXT NOT NULL,
  last_used_us BIGINT NOT NULL
);
CREATE UNIQUE INDEX dragoman_admin_tokens_name ON dragoman_admin_tokens (tenant, team, name) WHERE revoked_us = 0;

CREATE TABLE dragoman_admin_sessions (
  hash       TEXT PRIMARY KEY,
  kind       TEXT NOT NULL,
  name       TEXT NOT NULL,
  grants     TEXT NOT NULL, -- JSON
  created_us BIGINT NOT NULL,
  expires_us BIGINT NOT NULL
);
CREATE INDEX dragoman_admin_sessions_person ON dragoman_admin_sessions (kind, name, created_us);
CREATE INDEX dragoman_admin_sessions_end ON dragoman_admin_sessions (expires_us);

-- What the cookies of a login under way are sealed by: one row.
CREATE TABLE dragoman_admin_secret (
  id     INTEGER PRIMARY KEY CHECK (id = 1),
  secret TEXT NOT NULL
);

-- The trail as administrators of a tenant read it.
CREATE INDEX dragoman_audit_tenant ON dragoman_audit (tenant, at_us);

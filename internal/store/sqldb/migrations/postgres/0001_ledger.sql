-- The ledger: what every request and attempt cost, the sums of it, and the audit trail. Times are microseconds (_us) or seconds (_s)
-- since 1970 UTC, money is micro-USD. A cost that is NULL is unknown, which is not free.

-- Who asked for what and who served it; the rows that are many name it by its id.
CREATE TABLE dragoman_dims (
  id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  organisation TEXT NOT NULL,
  tenant       TEXT NOT NULL,
  team         TEXT NOT NULL,
  user_id      TEXT NOT NULL,
  key_name     TEXT NOT NULL,
  route        TEXT NOT NULL,
  model        TEXT NOT NULL,
  provider     TEXT NOT NULL,
  UNIQUE (organisation, tenant, team, user_id, key_name, route, model, provider)
);

CREATE TABLE dragoman_tags (
  id  BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  tag TEXT NOT NULL UNIQUE
);

-- Prices that charges were made with, in micro-USD per million tokens; long_* replace them above so many prompt tokens.
CREATE TABLE dragoman_prices (
  version             TEXT PRIMARY KEY,
  input               BIGINT NOT NULL,
  output              BIGINT NOT NULL,
  cache_read          BIGINT NOT NULL,
  cache_write         BIGINT NOT NULL,
  cache_write_1h      BIGINT NOT NULL,
  long_above          BIGINT,
  long_input          BIGINT,
  long_output         BIGINT,
  long_cache_read     BIGINT,
  long_cache_write    BIGINT,
  long_cache_write_1h BIGINT
);

-- One row for each request, with its last attempt.
CREATE TABLE dragoman_requests (
  at_us          BIGINT NOT NULL,
  id             TEXT NOT NULL,
  dim            BIGINT NOT NULL,
  endpoint       TEXT NOT NULL,
  client_schema  TEXT NOT NULL,
  asked          TEXT NOT NULL,
  cluster        TEXT NOT NULL,
  stream         SMALLINT NOT NULL,
  cache          TEXT NOT NULL,
  status         INTEGER NOT NULL,
  outcome        TEXT NOT NULL,
  reason         TEXT NOT NULL,
  refused        SMALLINT NOT NULL,
  attempts       INTEGER NOT NULL,
  input          BIGINT NOT NULL,
  cache_read     BIGINT NOT NULL,
  cache_write    BIGINT NOT NULL,
  cache_write_1h BIGINT NOT NULL,
  output         BIGINT NOT NULL,
  reasoning      BIGINT NOT NULL,
  usage_known    SMALLINT NOT NULL,
  estimated      SMALLINT NOT NULL,
  cost           BIGINT,
  price          TEXT,
  duration_us    BIGINT NOT NULL,
  ttft_us        BIGINT NOT NULL,
  overhead_us    BIGINT NOT NULL,
  saved_tokens   BIGINT NOT NULL,
  saved_cost     BIGINT NOT NULL,
  dropped        INTEGER NOT NULL,
  tags           TEXT NOT NULL,
  PRIMARY KEY (at_us, id)
) PARTITION BY RANGE (at_us);

-- One row for each attempt that failed and was followed by another. What the provider charged for it is beside the request's cost.
CREATE TABLE dragoman_attempts (
  at_us          BIGINT NOT NULL,
  request_id     TEXT NOT NULL,
  number         INTEGER NOT NULL,
  dim            BIGINT NOT NULL,
  cluster        TEXT NOT NULL,
  status         INTEGER NOT NULL,
  outcome        TEXT NOT NULL,
  input          BIGINT NOT NULL,
  cache_read     BIGINT NOT NULL,
  cache_write    BIGINT NOT NULL,
  cache_write_1h BIGINT NOT NULL,
  output         BIGINT NOT NULL,
  reasoning      BIGINT NOT NULL,
  usage_known    SMALLINT NOT NULL,
  cost           BIGINT,
  price          TEXT,
  duration_us    BIGINT NOT NULL,
  tags           TEXT NOT NULL,
  PRIMARY KEY (at_us, request_id, number)
) PARTITION BY RANGE (at_us);

-- Sums, kept as rows arrive: grain 1 by hour, 2 by day, 3 by month (UTC); 11, 12 and 13 the same of all dims together, whose dim is 0; tag 0
-- stands for all requests, others for those that have it.
CREATE TABLE dragoman_usage (
  tag            BIGINT NOT NULL,
  grain          SMALLINT NOT NULL,
  start_s        BIGINT NOT NULL,
  dim            BIGINT NOT NULL,
  requests       BIGINT NOT NULL,
  errors         BIGINT NOT NULL,
  refused        BIGINT NOT NULL,
  hits           BIGINT NOT NULL,
  attempts       BIGINT NOT NULL,
  input          BIGINT NOT NULL,
  cache_read     BIGINT NOT NULL,
  cache_write    BIGINT NOT NULL,
  output         BIGINT NOT NULL,
  cost           BIGINT NOT NULL,
  unpriced       BIGINT NOT NULL,
  estimated      BIGINT NOT NULL,
  saved_tokens   BIGINT NOT NULL,
  saved_cost     BIGINT NOT NULL,
  duration_us    BIGINT NOT NULL,
  PRIMARY KEY (tag, grain, start_s, dim)
);

-- How far each start of each gateway has been stored; written in the transaction that stores.
CREATE TABLE dragoman_writers (
  writer    TEXT PRIMARY KEY,
  number    BIGINT NOT NULL,
  stored_us BIGINT NOT NULL
);

-- The audit trail. Each writer's entries are a chain: a row's hash covers the one before it.
CREATE TABLE dragoman_audit (
  at_us        BIGINT NOT NULL,
  writer       TEXT NOT NULL,
  number       BIGINT NOT NULL,
  action       TEXT NOT NULL,
  outcome      TEXT NOT NULL,
  organisation TEXT NOT NULL,
  tenant       TEXT NOT NULL,
  team         TEXT NOT NULL,
  user_id      TEXT NOT NULL,
  key_name     TEXT NOT NULL,
  subject      TEXT NOT NULL,
  detail       TEXT NOT NULL,
  request_id   TEXT NOT NULL,
  count        BIGINT NOT NULL,
  hash         TEXT NOT NULL,
  PRIMARY KEY (at_us, writer, number)
) PARTITION BY RANGE (at_us);
CREATE INDEX dragoman_audit_chain ON dragoman_audit (writer, number);

-- Where each chain begins once its oldest entries have outlived ledger.retention.audit.
CREATE TABLE dragoman_audit_anchors (
  writer TEXT PRIMARY KEY,
  number BIGINT NOT NULL,
  hash   TEXT NOT NULL
);

-- Every charge with its names: for people, and for tools that read the database.
CREATE VIEW dragoman_charges AS
SELECT r.at_us, to_timestamp(r.at_us / 1e6) AS at, r.id AS request_id, r.attempts AS attempt, d.organisation, d.tenant, d.team, d.user_id, d.key_name, d.route, d.model,
  d.provider, r.cluster, r.status, r.outcome, r.input, r.cache_read, r.cache_write, r.cache_write_1h, r.output, r.reasoning, r.estimated, r.cost, r.price,
  r.duration_us, r.tags
FROM dragoman_requests r JOIN dragoman_dims d ON d.id = r.dim
UNION ALL
SELECT a.at_us, to_timestamp(a.at_us / 1e6), a.request_id, a.number, d.organisation, d.tenant, d.team, d.user_id, d.key_name, d.route, d.model,
  d.provider, a.cluster, a.status, a.outcome, a.input, a.cache_read, a.cache_write, a.cache_write_1h, a.output, a.reasoning, 0, a.cost, a.price,
  a.duration_us, a.tags
FROM dragoman_attempts a JOIN dragoman_dims d ON d.id = a.dim;

-- Sums of fewer names, so that a question reads rows of no more names than it tells apart.

-- Teams, whoever in them asked for whatever.
CREATE TABLE dragoman_teams (
  id           INTEGER PRIMARY KEY,
  organisation TEXT NOT NULL,
  tenant       TEXT NOT NULL,
  team         TEXT NOT NULL,
  UNIQUE (organisation, tenant, team)
);
INSERT INTO dragoman_teams (organisation, tenant, team) SELECT DISTINCT organisation, tenant, team FROM dragoman_dims;

-- What was asked for and who served it, whoever asked.
CREATE TABLE dragoman_served (
  id       INTEGER PRIMARY KEY,
  route    TEXT NOT NULL,
  model    TEXT NOT NULL,
  provider TEXT NOT NULL,
  UNIQUE (route, model, provider)
);
INSERT INTO dragoman_served (route, model, provider) SELECT DISTINCT route, model, provider FROM dragoman_dims;

-- Keys, whatever they asked for.
CREATE TABLE dragoman_callers (
  id           INTEGER PRIMARY KEY,
  organisation TEXT NOT NULL,
  tenant       TEXT NOT NULL,
  team         TEXT NOT NULL,
  user_id      TEXT NOT NULL,
  key_name     TEXT NOT NULL,
  UNIQUE (organisation, tenant, team, user_id, key_name)
);
INSERT INTO dragoman_callers (organisation, tenant, team, user_id, key_name) SELECT DISTINCT organisation, tenant, team, user_id, key_name FROM dragoman_dims;

-- What each tenant asked for and who served it.
CREATE TABLE dragoman_tenants_served (
  id           INTEGER PRIMARY KEY,
  organisation TEXT NOT NULL,
  tenant       TEXT NOT NULL,
  route        TEXT NOT NULL,
  model        TEXT NOT NULL,
  provider     TEXT NOT NULL,
  UNIQUE (organisation, tenant, route, model, provider)
);
INSERT INTO dragoman_tenants_served (organisation, tenant, route, model, provider) SELECT DISTINCT organisation, tenant, route, model, provider FROM dragoman_dims;

-- The sums have another name from here on: a process of the version before, which would not keep the new ones, cannot write to them, and its
-- records wait in its log for the new version. Grain 1 is by hour, 2 by day, 3 by month (UTC), of dims; 11, 12, 13 the same of all
-- together, whose dim is 0; 21, 22, 23 of dragoman_teams; 31, 32, 33 of dragoman_served; 42, 43 of dragoman_callers; 52, 53 of
-- dragoman_tenants_served. Tag 0 stands for all requests, others for those that have it.
ALTER TABLE dragoman_usage RENAME TO dragoman_sums;

INSERT INTO dragoman_sums
SELECT u.tag, u.grain + 20, u.start_s, n.id, CAST(SUM(u.requests) AS BIGINT), CAST(SUM(u.errors) AS BIGINT), CAST(SUM(u.refused) AS BIGINT), CAST(SUM(u.hits) AS BIGINT),
  CAST(SUM(u.attempts) AS BIGINT), CAST(SUM(u.input) AS BIGINT), CAST(SUM(u.cache_read) AS BIGINT), CAST(SUM(u.cache_write) AS BIGINT),
  CAST(SUM(u.output) AS BIGINT), CAST(SUM(u.cost) AS BIGINT), CAST(SUM(u.unpriced) AS BIGINT), CAST(SUM(u.estimated) AS BIGINT),
  CAST(SUM(u.saved_tokens) AS BIGINT), CAST(SUM(u.saved_cost) AS BIGINT), CAST(SUM(u.duration_us) AS BIGINT)
FROM dragoman_sums u JOIN dragoman_dims d ON d.id = u.dim JOIN dragoman_teams n ON n.organisation = d.organisation AND n.tenant = d.tenant AND n.team = d.team
WHERE u.grain IN (1, 2, 3)
GROUP BY u.tag, u.grain, u.start_s, n.id;
INSERT INTO dragoman_sums
SELECT u.tag, u.grain + 30, u.start_s, n.id, CAST(SUM(u.requests) AS BIGINT), CAST(SUM(u.errors) AS BIGINT), CAST(SUM(u.refused) AS BIGINT), CAST(SUM(u.hits) AS BIGINT),
  CAST(SUM(u.attempts) AS BIGINT), CAST(SUM(u.input) AS BIGINT), CAST(SUM(u.cache_read) AS BIGINT), CAST(SUM(u.cache_write) AS BIGINT),
  CAST(SUM(u.output) AS BIGINT), CAST(SUM(u.cost) AS BIGINT), CAST(SUM(u.unpriced) AS BIGINT), CAST(SUM(u.estimated) AS BIGINT),
  CAST(SUM(u.saved_tokens) AS BIGINT), CAST(SUM(u.saved_cost) AS BIGINT), CAST(SUM(u.duration_us) AS BIGINT)
FROM dragoman_sums u JOIN dragoman_dims d ON d.id = u.dim JOIN dragoman_served n ON n.route = d.route AND n.model = d.model AND n.provider = d.provider
WHERE u.grain IN (1, 2, 3)
GROUP BY u.tag, u.grain, u.start_s, n.id;
INSERT INTO dragoman_sums
SELECT u.tag, u.grain + 40, u.start_s, n.id, CAST(SUM(u.requests) AS BIGINT), CAST(SUM(u.errors) AS BIGINT), CAST(SUM(u.refused) AS BIGINT), CAST(SUM(u.hits) AS BIGINT),
  CAST(SUM(u.attempts) AS BIGINT), CAST(SUM(u.input) AS BIGINT), CAST(SUM(u.cache_read) AS BIGINT), CAST(SUM(u.cache_write) AS BIGINT),
  CAST(SUM(u.output) AS BIGINT), CAST(SUM(u.cost) AS BIGINT), CAST(SUM(u.unpriced) AS BIGINT), CAST(SUM(u.estimated) AS BIGINT),
  CAST(SUM(u.saved_tokens) AS BIGINT), CAST(SUM(u.saved_cost) AS BIGINT), CAST(SUM(u.duration_us) AS BIGINT)
FROM dragoman_sums u JOIN dragoman_dims d ON d.id = u.dim JOIN dragoman_callers n ON n.organisation = d.organisation AND n.tenant = d.tenant AND n.team = d.team AND n.user_id = d.user_id AND n.key_name = d.key_name
WHERE u.grain IN (2, 3)
GROUP BY u.tag, u.grain, u.start_s, n.id;
INSERT INTO dragoman_sums
SELECT u.tag, u.grain + 50, u.start_s, n.id, CAST(SUM(u.requests) AS BIGINT), CAST(SUM(u.errors) AS BIGINT), CAST(SUM(u.refused) AS BIGINT), CAST(SUM(u.hits) AS BIGINT),
  CAST(SUM(u.attempts) AS BIGINT), CAST(SUM(u.input) AS BIGINT), CAST(SUM(u.cache_read) AS BIGINT), CAST(SUM(u.cache_write) AS BIGINT),
  CAST(SUM(u.output) AS BIGINT), CAST(SUM(u.cost) AS BIGINT), CAST(SUM(u.unpriced) AS BIGINT), CAST(SUM(u.estimated) AS BIGINT),
  CAST(SUM(u.saved_tokens) AS BIGINT), CAST(SUM(u.saved_cost) AS BIGINT), CAST(SUM(u.duration_us) AS BIGINT)
FROM dragoman_sums u JOIN dragoman_dims d ON d.id = u.dim JOIN dragoman_tenants_served n ON n.organisation = d.organisation AND n.tenant = d.tenant AND n.route = d.route AND n.model = d.model AND n.provider = d.provider
WHERE u.grain IN (2, 3)
GROUP BY u.tag, u.grain, u.start_s, n.id;

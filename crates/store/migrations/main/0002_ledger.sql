-- The ledger, who it is about, and answers that are kept for a retry. The rules of 0001 hold here as well.

-- Counts projections. Every projection changes this row first, so that they come one after the other.
CREATE TABLE ledger_head (
    id BIGINT PRIMARY KEY,
    batch BIGINT NOT NULL
);
INSERT INTO ledger_head (id, batch) VALUES (1, 0);

-- How far each shard of the journal is in the tables below.
CREATE TABLE journal_position (
    shard BIGINT PRIMARY KEY,
    segment BIGINT NOT NULL,
    bytes BIGINT NOT NULL
);

-- Up to 256 entries of one tenant and one projection, as lines of JSON in the order of their request ids.
-- Blocks of one projection overlap in at most one request; entries without a request have blocks of their
-- own, with '' in place of the ids.
CREATE TABLE ledger_block (
    tenant_id TEXT NOT NULL,
    batch BIGINT NOT NULL,
    part BIGINT NOT NULL,
    first_request TEXT NOT NULL,
    last_request TEXT NOT NULL,
    entries BIGINT NOT NULL,
    lines TEXT NOT NULL,
    PRIMARY KEY (tenant_id, batch, part)
);
-- Holds all that a search by request reads of blocks which it does not want.
CREATE INDEX ledger_block_by_request ON ledger_block (tenant_id, last_request, first_request, batch, part);

-- Projections that follow one another, by the first of them, with their entries together.
CREATE TABLE ledger_era (
    era BIGINT PRIMARY KEY,
    entries BIGINT NOT NULL
);

-- Which eras have entries about which key or user: a number made from the end of its id, so two may share
-- one and readers look again. Ordered by era, for new rows then lie together, and what is written with a
-- projection does not grow with the ledger.
CREATE TABLE ledger_subject (
    era BIGINT NOT NULL,
    subject BIGINT NOT NULL,
    PRIMARY KEY (era, subject)
);

-- What is used of each quota in its newest period.
CREATE TABLE quota_window (
    owner_kind TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    unit TEXT NOT NULL,
    period TEXT NOT NULL,
    began BIGINT NOT NULL,
    used BIGINT NOT NULL,
    PRIMARY KEY (owner_id, owner_kind, unit, period)
);

CREATE TABLE wallet (
    owner_kind TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    balance_nano BIGINT NOT NULL,
    PRIMARY KEY (owner_id, owner_kind)
);

-- Tenants and groups. Keys, users and accounts refer to them by id.
CREATE TABLE party (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    terms TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (kind, id)
);
INSERT INTO party (kind, id, tenant_id, name, terms, created_at, updated_at, revision) VALUES
    ('tenant', 'default', 'default', 'Default', '{}', 0, 0, 0),
    ('group', 'default', 'default', 'Default', '{}', 0, 0, 0);

ALTER TABLE user_account ADD COLUMN terms TEXT NOT NULL DEFAULT '{}';
ALTER TABLE user_account ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
-- Users who are switched off become part of what is loaded, which begins with the first revision.
UPDATE user_account SET revision = (SELECT revision FROM revision WHERE id = 1);
CREATE INDEX user_account_by_revision ON user_account (revision);

-- The body is sealed. Rows are of use for a day.
CREATE TABLE idempotent_answer (
    key_id TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    body_hash TEXT NOT NULL,
    status BIGINT NOT NULL,
    headers TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (key_id, idempotency_key)
);
CREATE INDEX idempotent_answer_by_age ON idempotent_answer (created_at);

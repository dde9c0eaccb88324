-- Configuration and sign-in. One text for SQLite and PostgreSQL: TEXT, BIGINT and BOOLEAN only, ids made
-- by the application, times in epoch milliseconds, lists and structures as JSON text.

CREATE TABLE revision (
    id BIGINT PRIMARY KEY,
    revision BIGINT NOT NULL,
    -- The last revision with which an account or a price was deleted.
    deleted BIGINT NOT NULL,
    changed_by TEXT NOT NULL
);
INSERT INTO revision (id, revision, deleted, changed_by) VALUES (1, 0, 0, 'system');

-- Proves at every start that the keys at hand are those that sealed and hashed what is stored here.
CREATE TABLE key_marker (
    id BIGINT PRIMARY KEY,
    key_id TEXT NOT NULL,
    sealed TEXT NOT NULL,
    pepper_check TEXT NOT NULL
);

-- The whole key is JSON in detail, and what is searched for has a column besides: ten thousand keys load
-- at every start, many to a row. Keys are revoked, never deleted.
CREATE TABLE api_key (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    user_id TEXT,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    detail TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- The revision that made or last changed the row, here and below.
    revision BIGINT NOT NULL
);
CREATE INDEX api_key_by_age ON api_key (tenant_id, created_at, id);
CREATE INDEX api_key_by_revision ON api_key (revision);

CREATE TABLE account (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    group_id TEXT NOT NULL,
    name TEXT NOT NULL,
    provider TEXT NOT NULL,
    base_url TEXT,
    api_version TEXT,
    credential TEXT,
    models TEXT NOT NULL,
    priority BIGINT NOT NULL,
    weight BIGINT NOT NULL,
    concurrency BIGINT,
    allow_private BOOLEAN NOT NULL DEFAULT FALSE,
    enabled BOOLEAN NOT NULL DEFAULT TRUE,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    UNIQUE (tenant_id, name)
);
CREATE INDEX account_by_age ON account (tenant_id, created_at, id);

CREATE TABLE user_account (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    email TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    enabled BOOLEAN NOT NULL DEFAULT TRUE,
    password_hash TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX user_account_by_age ON user_account (tenant_id, created_at, id);

-- A sign-in and the refresh tokens that descend from it.
CREATE TABLE session (
    id TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES user_account (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX session_by_user ON session (user_id);
CREATE INDEX session_by_expiry ON session (expires_at);

CREATE TABLE refresh_token (
    token_hmac TEXT PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    session_id TEXT NOT NULL REFERENCES session (id) ON DELETE CASCADE,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT
);
CREATE INDEX refresh_token_by_session ON refresh_token (session_id);

CREATE TABLE price_override (
    tenant_id TEXT NOT NULL,
    model TEXT NOT NULL,
    lines TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, model)
);

CREATE TABLE setting (
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, name)
);

//! A table of one-line entries: every code that a caller can see, with everything that depends on it.
//!
//! To add a code, add a row. Documentation, envelopes and tests are derived from this table; the HTTP
//! statuses are those of the contract and never change for a code once released.

use crate::rejection::Blame;

/// Everything that is fixed about a code.
#[derive(Debug)]
pub struct CodeInfo {
    /// The name in `code` fields and in `x-yumen-code`.
    pub name: &'static str,
    /// The HTTP status when the answer has not begun.
    pub http: u16,
    /// Whether sending the same request again later may succeed.
    pub retryable: bool,
    /// Whose fault it is, unless the rejection says otherwise.
    pub blame: Blame,
    /// `error.type` in the OpenAI envelope.
    pub openai_type: &'static str,
    /// `error.type` in the Anthropic envelope.
    pub anthropic_type: &'static str,
    /// `error.status` in the Google envelope (google.rpc.Code).
    pub google_status: &'static str,
    /// The default message.
    pub message: &'static str,
    /// The default message in Chinese.
    pub message_zh: &'static str,
    /// What to do next.
    pub hint: &'static str,
    /// What to do next, in Chinese.
    pub hint_zh: &'static str,
}

macro_rules! codes {
    ($($variant:ident $name:literal $http:literal $retryable:literal $blame:ident $openai:literal $anthropic:literal
       $google:literal $message:literal $message_zh:literal $hint:literal $hint_zh:literal;)+) => {
        /// Why a request was refused or failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $message] $variant,)+
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The row of this code.
            #[must_use]
            pub fn info(self) -> &'static CodeInfo {
                match self {
                    $(Self::$variant => &CodeInfo {
                        name: $name,
                        http: $http,
                        retryable: $retryable,
                        blame: Blame::$blame,
                        openai_type: $openai,
                        anthropic_type: $anthropic,
                        google_status: $google,
                        message: $message,
                        message_zh: $message_zh,
                        hint: $hint,
                        hint_zh: $hint_zh,
                    },)+
                }
            }
        }
    };
}

impl Code {
    /// The name in `code` fields and in `x-yumen-code`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// The HTTP status when the answer has not begun.
    #[must_use]
    pub fn http(self) -> u16 {
        self.info().http
    }

    /// Finds a code by its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

#[rustfmt::skip]
codes! {
    InvalidRequest "INVALID_REQUEST" 400 false Client "invalid_request_error" "invalid_request_error" "INVALID_ARGUMENT" "The request is not valid." "请求无效。" "Correct what the message names and send the request again." "请按提示修正后重新发送。";
    UnsupportedFeature "UNSUPPORTED_FEATURE" 400 false Client "invalid_request_error" "invalid_request_error" "INVALID_ARGUMENT" "This model or endpoint does not offer the requested feature." "该模型或接口不支持所请求的功能。" "Leave the feature out, or choose a model that has it." "去掉该功能，或换用支持它的模型。";
    InvalidApiKey "INVALID_API_KEY" 401 false Client "authentication_error" "authentication_error" "UNAUTHENTICATED" "The API key is missing or not known." "API 密钥缺失或无效。" "Send a valid key as `Authorization: Bearer`, `x-api-key`, `x-goog-api-key` or `api-key`, one of a trial as `x-trial-key`." "请用 Authorization: Bearer、x-api-key、x-goog-api-key 或 api-key 传入有效密钥，试用密钥用 x-trial-key。";
    ApiKeyExpired "API_KEY_EXPIRED" 401 false Client "authentication_error" "authentication_error" "UNAUTHENTICATED" "The API key has expired." "API 密钥已过期。" "Ask the administrator for a new key or a later expiry." "请联系管理员更换密钥或延长有效期。";
    ApiKeyRevoked "API_KEY_REVOKED" 401 false Client "authentication_error" "authentication_error" "UNAUTHENTICATED" "The API key has been revoked." "API 密钥已吊销。" "Ask the administrator for a new key." "请联系管理员更换密钥。";
    InvalidRequestCredentials "INVALID_REQUEST_CREDENTIALS" 401 false Client "authentication_error" "authentication_error" "UNAUTHENTICATED" "The request carries two different credentials." "请求携带了两个不同的凭证。" "Send exactly one credential." "请只发送一个凭证。";
    InvalidSignature "INVALID_SIGNATURE" 401 false Client "authentication_error" "authentication_error" "UNAUTHENTICATED" "The request signature is missing, malformed or wrong." "请求签名缺失、格式错误或不正确。" "Run `yumen sign --explain` with the same request to see each hashing step." "用 yumen sign --explain 查看每一步哈希。";
    NonceReused "NONCE_REUSED" 401 false Client "authentication_error" "authentication_error" "UNAUTHENTICATED" "The nonce was used before." "nonce 已被使用。" "Use a new random nonce for every request." "每个请求都使用新的随机 nonce。";
    TimestampExpired "TIMESTAMP_EXPIRED" 401 false Client "authentication_error" "authentication_error" "UNAUTHENTICATED" "The timestamp is too far from the gateway's clock." "时间戳与网关时钟相差过大。" "Synchronise the clock of the caller; five minutes are tolerated." "请校准调用方时钟，允许相差五分钟。";
    SignatureFrozen "SIGNATURE_FROZEN" 401 false Client "authentication_error" "authentication_error" "UNAUTHENTICATED" "The key is frozen for this source after repeated bad signatures." "因多次签名错误，该来源的密钥已被冻结。" "Wait for the freeze to end, or ask the administrator to unfreeze the key." "请等待冻结结束，或联系管理员解冻。";
    TokenExpired "TOKEN_EXPIRED" 401 false Client "authentication_error" "authentication_error" "UNAUTHENTICATED" "The access token has expired." "访问令牌已过期。" "Refresh the token or sign in again." "请刷新令牌或重新登录。";
    TokenInvalid "TOKEN_INVALID" 401 false Client "authentication_error" "authentication_error" "UNAUTHENTICATED" "The access token is missing, malformed or not signed by this gateway." "访问令牌缺失、格式错误或并非本网关签发。" "Sign in again." "请重新登录。";
    InsufficientBalance "INSUFFICIENT_BALANCE" 402 false Client "insufficient_quota" "billing_error" "FAILED_PRECONDITION" "The balance does not cover this request." "余额不足以支付该请求。" "Top up the wallet." "请充值。";
    IpNotWhitelisted "IP_NOT_WHITELISTED" 403 false Client "permission_error" "permission_error" "PERMISSION_DENIED" "This address is not allowed to use the key." "该地址不允许使用此密钥。" "Call from an allowed address, or have the allow-list changed." "请从允许的地址调用，或修改白名单。";
    ScopeDenied "SCOPE_DENIED" 403 false Client "permission_error" "permission_error" "PERMISSION_DENIED" "The credential does not allow this operation." "该凭证无权执行此操作。" "Use a credential with the role that the message names." "请使用具有所需角色的凭证。";
    ModelNotAllowed "MODEL_NOT_ALLOWED" 403 false Client "permission_error" "permission_error" "PERMISSION_DENIED" "The key may not use this model." "该密钥不允许使用此模型。" "Choose one of the models that GET /v1/models lists for this key." "请从 GET /v1/models 列出的模型中选择。";
    ModelNotPriced "MODEL_NOT_PRICED" 403 false Gateway "permission_error" "permission_error" "PERMISSION_DENIED" "The model has no price, and the payer is charged in money." "该模型没有定价，而付款方按金额计费。" "Set a price with PUT /api/v1/admin/prices/{model}." "请用 PUT /api/v1/admin/prices/{model} 设置价格。";
    SubscriptionRequired "SUBSCRIPTION_REQUIRED" 403 false Client "permission_error" "permission_error" "PERMISSION_DENIED" "This group needs an active subscription." "该分组需要有效订阅。" "Assign or renew the subscription." "请开通或续订。";
    QuotaDailyExceeded "QUOTA_DAILY_EXCEEDED" 403 false Client "insufficient_quota" "permission_error" "PERMISSION_DENIED" "The daily quota is used up." "日配额已用完。" "Wait for the reset at `resets_at`, or have the quota raised." "请等待 resets_at 重置，或提高配额。";
    QuotaWeeklyExceeded "QUOTA_WEEKLY_EXCEEDED" 403 false Client "insufficient_quota" "permission_error" "PERMISSION_DENIED" "The weekly quota is used up." "周配额已用完。" "Wait for the reset at `resets_at`, or have the quota raised." "请等待 resets_at 重置，或提高配额。";
    QuotaMonthlyExceeded "QUOTA_MONTHLY_EXCEEDED" 403 false Client "insufficient_quota" "permission_error" "PERMISSION_DENIED" "The monthly quota is used up." "月配额已用完。" "Wait for the reset at `resets_at`, or have the quota raised." "请等待 resets_at 重置，或提高配额。";
    QuotaTokenExceeded "QUOTA_TOKEN_EXCEEDED" 403 false Client "insufficient_quota" "permission_error" "PERMISSION_DENIED" "The token quota is used up." "令牌配额已用完。" "Have the quota raised." "请提高配额。";
    QuotaRequestExceeded "QUOTA_REQUEST_EXCEEDED" 403 false Client "insufficient_quota" "permission_error" "PERMISSION_DENIED" "The request quota is used up." "请求配额已用完。" "Have the quota raised." "请提高配额。";
    QuotaCostExceeded "QUOTA_COST_EXCEEDED" 403 false Client "insufficient_quota" "permission_error" "PERMISSION_DENIED" "The cost quota is used up." "费用配额已用完。" "Have the quota raised." "请提高配额。";
    NotFound "NOT_FOUND" 404 false Client "invalid_request_error" "not_found_error" "NOT_FOUND" "There is nothing at this address." "该地址不存在。" "Check the method and the path." "请检查方法与路径。";
    ModelNotFound "MODEL_NOT_FOUND" 404 false Client "invalid_request_error" "not_found_error" "NOT_FOUND" "The model is not configured here." "未配置该模型。" "Choose one of the models that GET /v1/models lists." "请从 GET /v1/models 列出的模型中选择。";
    MethodNotAllowed "METHOD_NOT_ALLOWED" 405 false Client "invalid_request_error" "invalid_request_error" "INVALID_ARGUMENT" "This address does not take that method." "该地址不支持此方法。" "Use a method that the `Allow` header lists." "请使用 Allow 头列出的方法。";
    Conflict "CONFLICT" 409 false Client "conflict_error" "invalid_request_error" "ABORTED" "The request conflicts with what is stored." "请求与已有数据冲突。" "Read the resource again and repeat the change." "请重新读取后再修改。";
    PreconditionFailed "PRECONDITION_FAILED" 412 false Client "invalid_request_error" "invalid_request_error" "FAILED_PRECONDITION" "The resource has changed since it was read." "资源在读取后已被修改。" "Read the resource again and repeat the change." "请重新读取后再修改。";
    BodyTooLarge "BODY_TOO_LARGE" 413 false Client "invalid_request_error" "request_too_large" "INVALID_ARGUMENT" "The request body is too large." "请求体过大。" "Send a smaller body; the message names the limit." "请减小请求体，限制见提示。";
    UriTooLong "URI_TOO_LONG" 414 false Client "invalid_request_error" "invalid_request_error" "INVALID_ARGUMENT" "The request URI is too long." "请求 URI 过长。" "Move data from the URI into the body." "请把数据移到请求体中。";
    UnsupportedMediaType "UNSUPPORTED_MEDIA_TYPE" 415 false Client "invalid_request_error" "invalid_request_error" "INVALID_ARGUMENT" "The content type is not supported here." "不支持该内容类型。" "Send `Content-Type: application/json` without a content encoding." "请发送未压缩的 application/json。";
    IdempotencyMismatch "IDEMPOTENCY_MISMATCH" 422 false Client "invalid_request_error" "invalid_request_error" "INVALID_ARGUMENT" "The idempotency key was used with another body." "该幂等键已用于不同的请求体。" "Use a new key for a new request." "新请求请使用新的幂等键。";
    UpgradeRequired "UPGRADE_REQUIRED" 426 false Client "invalid_request_error" "invalid_request_error" "FAILED_PRECONDITION" "This address needs another protocol." "该地址需要其他协议。" "Use plain HTTP with server-sent events." "请使用普通 HTTP 与 SSE。";
    HeadersTooLarge "HEADERS_TOO_LARGE" 431 false Client "invalid_request_error" "invalid_request_error" "INVALID_ARGUMENT" "The request headers are too large or too many." "请求头过大或过多。" "Send fewer or shorter headers." "请减少请求头。";
    RateLimitRpm "RATE_LIMIT_RPM" 429 true Client "rate_limit_error" "rate_limit_error" "RESOURCE_EXHAUSTED" "Too many requests per minute." "每分钟请求数超限。" "Slow down; retry after `Retry-After` seconds." "请降低频率，按 Retry-After 重试。";
    RateLimitTpm "RATE_LIMIT_TPM" 429 true Client "rate_limit_error" "rate_limit_error" "RESOURCE_EXHAUSTED" "Too many tokens per minute." "每分钟令牌数超限。" "Slow down; retry after `Retry-After` seconds." "请降低频率，按 Retry-After 重试。";
    RateLimitRpd "RATE_LIMIT_RPD" 429 true Client "rate_limit_error" "rate_limit_error" "RESOURCE_EXHAUSTED" "Too many requests today." "今日请求数超限。" "Retry after `Retry-After` seconds." "请按 Retry-After 重试。";
    RateLimitTpd "RATE_LIMIT_TPD" 429 true Client "rate_limit_error" "rate_limit_error" "RESOURCE_EXHAUSTED" "Too many tokens today." "今日令牌数超限。" "Retry after `Retry-After` seconds." "请按 Retry-After 重试。";
    RateLimitConcurrent "RATE_LIMIT_CONCURRENT" 429 true Client "rate_limit_error" "rate_limit_error" "RESOURCE_EXHAUSTED" "Too many requests at the same time." "并发请求数超限。" "Wait for running requests to end." "请等待进行中的请求结束。";
    RateLimitBurst "RATE_LIMIT_BURST" 429 true Client "rate_limit_error" "rate_limit_error" "RESOURCE_EXHAUSTED" "Too many requests within one second." "一秒内请求数超限。" "Spread the requests out." "请分散请求。";
    RateLimitUpstream "RATE_LIMIT_UPSTREAM" 429 true Upstream "rate_limit_error" "rate_limit_error" "RESOURCE_EXHAUSTED" "Every upstream account for this model is rate limited." "该模型的所有上游账号均被限流。" "Retry after `Retry-After` seconds, or add accounts." "请按 Retry-After 重试，或增加账号。";
    QueueFull "QUEUE_FULL" 429 true Gateway "rate_limit_error" "rate_limit_error" "RESOURCE_EXHAUSTED" "The waiting queue is full." "等待队列已满。" "Retry after `Retry-After` seconds." "请按 Retry-After 重试。";
    QueueTimeout "QUEUE_TIMEOUT" 429 true Gateway "rate_limit_error" "rate_limit_error" "RESOURCE_EXHAUSTED" "The request waited too long for a free slot." "等待空闲并发超时。" "Retry after `Retry-After` seconds." "请按 Retry-After 重试。";
    LoginThrottled "LOGIN_THROTTLED" 429 true Client "rate_limit_error" "rate_limit_error" "RESOURCE_EXHAUSTED" "Too many failed sign-ins." "登录失败次数过多。" "Wait for `Retry-After` seconds." "请按 Retry-After 等待。";
    ClientClosed "CLIENT_CLOSED" 499 false Client "client_closed" "api_error" "CANCELLED" "The caller closed the connection." "调用方关闭了连接。" "Nothing to do; recorded for the caller's information." "无需处理，仅作记录。";
    InternalError "INTERNAL_ERROR" 500 true Gateway "server_error" "api_error" "INTERNAL" "The gateway failed." "网关内部错误。" "Retry; if it persists, give the trace id to the operator." "请重试；若持续出现，请将 trace id 提供给运维。";
    NotSupported "NOT_SUPPORTED" 501 false Gateway "server_error" "api_error" "UNIMPLEMENTED" "The gateway does not support this operation for this model." "网关不支持对该模型执行此操作。" "Use another endpoint or another model." "请使用其他接口或模型。";
    UpstreamError "UPSTREAM_ERROR" 502 true Upstream "server_error" "api_error" "UNAVAILABLE" "The upstream failed." "上游出错。" "Retry; the message names the upstream's answer." "请重试；提示中包含上游的应答。";
    UpstreamInvalidResponse "UPSTREAM_INVALID_RESPONSE" 502 true Upstream "server_error" "api_error" "UNAVAILABLE" "The upstream's answer was malformed or cut short." "上游应答格式错误或不完整。" "Retry; if it persists, check the account's base URL." "请重试；若持续出现，请检查账号的 base URL。";
    CircuitOpen "CIRCUIT_OPEN" 503 true Upstream "server_error" "api_error" "UNAVAILABLE" "The circuit to the upstream is open after repeated failures." "因连续失败，上游熔断器已打开。" "Retry after `Retry-After` seconds." "请按 Retry-After 重试。";
    NoAvailableUpstream "NO_AVAILABLE_UPSTREAM" 503 true Gateway "server_error" "api_error" "UNAVAILABLE" "No upstream account can take this request now." "当前没有可用的上游账号。" "Add or enable an account for this model; the request record names why each was skipped." "请为该模型添加或启用账号；请求记录说明了每个账号被跳过的原因。";
    Overloaded "OVERLOADED" 503 true Gateway "server_error" "overloaded_error" "UNAVAILABLE" "The gateway is at capacity." "网关已达容量上限。" "Retry after `Retry-After` seconds." "请按 Retry-After 重试。";
    ServiceDegraded "SERVICE_DEGRADED" 503 true Gateway "server_error" "api_error" "UNAVAILABLE" "A dependency that this check needs is down." "该检查所依赖的组件不可用。" "Retry later; /health/ready names the dependency." "请稍后重试；/health/ready 会指出该依赖。";
    UpstreamTimeout "UPSTREAM_TIMEOUT" 504 true Upstream "server_error" "timeout_error" "DEADLINE_EXCEEDED" "The upstream did not answer in time." "上游超时。" "Retry, or raise the timer that the message names." "请重试，或调大提示中的计时器。";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// The table of the access contract, §7: HTTP status → codes.
    const CONTRACT: &[(u16, &str)] = &[
        (400, "INVALID_REQUEST UNSUPPORTED_FEATURE"),
        (
            401,
            "INVALID_API_KEY API_KEY_EXPIRED API_KEY_REVOKED INVALID_REQUEST_CREDENTIALS INVALID_SIGNATURE \
             NONCE_REUSED TIMESTAMP_EXPIRED SIGNATURE_FROZEN TOKEN_EXPIRED TOKEN_INVALID",
        ),
        (402, "INSUFFICIENT_BALANCE"),
        (
            403,
            "IP_NOT_WHITELISTED SCOPE_DENIED MODEL_NOT_ALLOWED MODEL_NOT_PRICED SUBSCRIPTION_REQUIRED \
             QUOTA_DAILY_EXCEEDED QUOTA_WEEKLY_EXCEEDED QUOTA_MONTHLY_EXCEEDED QUOTA_TOKEN_EXCEEDED \
             QUOTA_REQUEST_EXCEEDED QUOTA_COST_EXCEEDED",
        ),
        (404, "NOT_FOUND MODEL_NOT_FOUND"),
        (405, "METHOD_NOT_ALLOWED"),
        (409, "CONFLICT"),
        (412, "PRECONDITION_FAILED"),
        (413, "BODY_TOO_LARGE"),
        (414, "URI_TOO_LONG"),
        (415, "UNSUPPORTED_MEDIA_TYPE"),
        (422, "IDEMPOTENCY_MISMATCH"),
        (426, "UPGRADE_REQUIRED"),
        (
            429,
            "RATE_LIMIT_RPM RATE_LIMIT_TPM RATE_LIMIT_RPD RATE_LIMIT_TPD RATE_LIMIT_CONCURRENT RATE_LIMIT_BURST \
             RATE_LIMIT_UPSTREAM QUEUE_FULL QUEUE_TIMEOUT LOGIN_THROTTLED",
        ),
        (431, "HEADERS_TOO_LARGE"),
        (499, "CLIENT_CLOSED"),
        (500, "INTERNAL_ERROR"),
        (501, "NOT_SUPPORTED"),
        (502, "UPSTREAM_ERROR UPSTREAM_INVALID_RESPONSE"),
        (503, "CIRCUIT_OPEN NO_AVAILABLE_UPSTREAM OVERLOADED SERVICE_DEGRADED"),
        (504, "UPSTREAM_TIMEOUT"),
    ];

    #[test]
    fn is_the_table_of_the_contract() {
        let mut expected: Vec<(u16, &str)> = CONTRACT
            .iter()
            .flat_map(|(http, names)| names.split_whitespace().map(move |n| (*http, n)))
            .collect();
        let mut actual: Vec<(u16, &str)> = Code::ALL.iter().map(|c| (c.http(), c.name())).collect();
        expected.sort_unstable();
        actual.sort_unstable();
        assert_eq!(actual, expected);
    }

    #[test]
    fn names_are_unique_and_found_again() {
        let by_name: BTreeMap<_, _> = Code::ALL.iter().map(|c| (c.name(), *c)).collect();
        assert_eq!(by_name.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(Code::named(code.name()), Some(*code));
        }
    }

    #[test]
    fn every_row_speaks_both_languages() {
        for code in Code::ALL {
            let info = code.info();
            for text in [info.message, info.hint, info.message_zh, info.hint_zh] {
                assert!(!text.is_empty(), "{}", info.name);
            }
            assert!(!info.message_zh.is_ascii(), "{}", info.name);
        }
    }
}

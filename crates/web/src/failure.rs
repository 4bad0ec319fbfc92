//! Errors as responses. A refusal shows its sentence; a fault shows an incident number and logs its text.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kernel::{Error, Refusal, RefusalKind};

/// The error type of handlers.
#[derive(Debug)]
pub struct Failure(pub Error);

/// The result type of handlers.
pub type Reply<T> = Result<T, Failure>;

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(error.into())
    }
}

/// What the outer layer renders as a page, JSON or an OperationOutcome, by the path asked for.
#[derive(Debug, Clone)]
pub struct Explained {
    /// Stable code.
    pub code: String,
    /// Sentence for the user.
    pub message: String,
}

/// The status code of a kind of refusal.
pub fn status(kind: RefusalKind) -> StatusCode {
    match kind {
        RefusalKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        RefusalKind::Unauthenticated => StatusCode::UNAUTHORIZED,
        RefusalKind::Forbidden => StatusCode::FORBIDDEN,
        RefusalKind::NotFound => StatusCode::NOT_FOUND,
        RefusalKind::Conflict => StatusCode::CONFLICT,
        RefusalKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        RefusalKind::Busy { .. } => StatusCode::TOO_MANY_REQUESTS,
        RefusalKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status_code, explained, retry_after) = match self.0 {
            Error::Refused(Refusal { kind, code, message }) => {
                let retry =
                    if let RefusalKind::Busy { retry_after } = kind { Some(retry_after) } else { None };
                (status(kind), Explained { code: code.to_owned(), message }, retry)
            }
            Error::Fault { doing, source } => {
                let mut random = [0u8; 4];
                let _ = getrandom::fill(&mut random);
                let incident = format!("{:08X}", u32::from_be_bytes(random));
                tracing::error!(incident, doing, error = %source, "fault");
                let message = format!(
                    "系统出错，您的操作没有完成。请稍后再试；若仍出错，请把事件编号 {incident} 告诉平台管理员。"
                );
                (StatusCode::INTERNAL_SERVER_ERROR, Explained { code: "fault".to_owned(), message }, None)
            }
        };
        let mut response = status_code.into_response();
        if let Some(seconds) = retry_after
            && let Ok(value) = seconds.to_string().parse()
        {
            response.headers_mut().insert(axum::http::header::RETRY_AFTER, value);
        }
        response.extensions_mut().insert(explained);
        response
    }
}

//! Why one attempt at a call has no answer.

use pullwright_link::McpHttpError;
use rmcp::service::ServiceError;
use rmcp::transport::streamable_http_client::StreamableHttpError;

/// Why one attempt at a call has no answer.
#[derive(Debug)]
pub(super) enum Failure {
    Timeout,
    Cancelled,
    /// The server, or the link, says no.
    Refused(String),
    /// The connection is gone.
    Lost {
        reason: String,
        /// Whether the server may have begun with the call.
        begun: bool,
    },
}

impl Failure {
    pub(super) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused(reason.into())
    }
}

/// Sorts out an error of the SDK. `trouble` is what the HTTP link knows of it, `plain` what there is
/// to say where nothing is known.
pub(super) fn of_service(
    error: ServiceError,
    trouble: Option<McpHttpError>,
    plain: &str,
) -> Failure {
    let lost = || Failure::Lost {
        reason: plain.to_owned(),
        begun: true,
    };
    match (error, trouble) {
        (ServiceError::TransportSend(error), trouble) => {
            match error
                .error
                .downcast_ref::<StreamableHttpError<McpHttpError>>()
            {
                // The server has forgotten the session, so it has not looked at the call.
                Some(StreamableHttpError::SessionExpired) => Failure::Lost {
                    reason: "it has forgotten the session".to_owned(),
                    begun: false,
                },
                Some(StreamableHttpError::Client(error)) => of_http(error.clone()),
                _ => trouble.map_or_else(lost, of_http),
            }
        }
        (ServiceError::McpError(error), _) => Failure::Refused(error.message.into_owned()),
        (ServiceError::UnexpectedResponse, _) => {
            Failure::refused("the tool answered with something else than a result")
        }
        (_, Some(trouble)) => of_http(trouble),
        (_, None) => lost(),
    }
}

fn of_http(error: McpHttpError) -> Failure {
    if !error.is_loss() {
        return Failure::Refused(error.to_string());
    }
    Failure::Lost {
        begun: !matches!(error, McpHttpError::Unreachable { .. }),
        reason: error.to_string(),
    }
}

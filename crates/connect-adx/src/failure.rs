//! Why something did not work: which remedy, which of AIO's reason codes, in which words.

use tidegate_core::{Trouble, WriteError};
use tidegate_identity::TokenError;

/// What went wrong, as a sentence without the endpoint's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// Only a change of credentials, rights or configuration helps; else trying again may.
    pub(crate) refused: bool,
    /// Whether a batch that was to be streamed is to go by the queue.
    pub(crate) queue_instead: bool,
    pub(crate) message: String,
}

/// AIO's reason codes of a DataExplorer target tell these apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Authentication,
    Configuration,
    Send,
}

/// An answer of the cluster other than 2xx.
pub(crate) struct Answered<'a> {
    pub(crate) host: &'a str,
    pub(crate) status: u16,
    /// Kusto's code and text, if it gives them.
    pub(crate) code: &'a str,
    pub(crate) said: &'a str,
    /// What it says itself.
    pub(crate) permanent: Option<bool>,
}

impl Failure {
    pub(crate) fn refused(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, refused: true, queue_instead: false, message: message.into() }
    }

    pub(crate) fn later(message: impl Into<String>) -> Self {
        Self { kind: Kind::Send, refused: false, queue_instead: false, message: message.into() }
    }

    pub(crate) fn of_token(error: TokenError) -> Self {
        match error {
            TokenError::Unavailable(why) => Self { kind: Kind::Authentication, ..Self::later(why) },
            TokenError::Refused(why) => Self::refused(Kind::Authentication, why),
        }
    }

    pub(crate) fn of_answer(answer: &Answered<'_>) -> Self {
        let Answered { host, status, code, said, permanent } = *answer;
        let said = match (code, said) {
            ("", "") => format!("status {status}"),
            ("", said) => said.to_owned(),
            (code, said) => format!("{code}: {said}"),
        };
        let failure = match status {
            401 => Self::refused(
                Kind::Authentication,
                format!(
                    "{host} does not accept the token ({said}); check the audience or scope, and that the identity is of \
                     the cluster's tenant"
                ),
            ),
            403 => Self::refused(Kind::Authentication, format!("{host} denies access ({said}); {INGESTOR}")),
            429 => Self::later(format!("{host} throttles ({said})")),
            400 | 404 | 405 | 413 if permanent != Some(false) => {
                Self::refused(Kind::Configuration, format!("{host} refuses it ({said})"))
            }
            _ => Self::later(format!("{host} did not take it ({said})")),
        };
        Self { queue_instead: status == 429 || is_not_for_streaming(code), ..failure }
    }

    /// What a report on a batch from the queue means that is not the data's fault ("Ingestion error codes").
    pub(crate) fn of_report(code: &str, details: &str, permanent: bool) -> Self {
        let message = format!("a batch was not ingested ({code}: {details})");
        let access = ["Forbidden", "AccessDenied", "InvalidKustoIdentityToken"];
        if !permanent {
            Self::later(message)
        } else if access.iter().any(|end| code.ends_with(end)) {
            Self::refused(Kind::Authentication, format!("{message}; {INGESTOR}"))
        } else {
            Self::refused(Kind::Configuration, message)
        }
    }

    pub(crate) fn trouble(&self, endpoint: &str) -> Trouble {
        let reason = match self.kind {
            Kind::Authentication => "DataflowAdxTargetAuthenticationFailed",
            Kind::Configuration => "DataflowAdxTargetConfigurationError",
            Kind::Send => "DataflowAdxTargetSendFailed",
        };
        Trouble::new(reason, format!("endpoint `{endpoint}`: {}", self.message))
    }

    /// As a sink reports it, of whose records the first `written` are safe.
    pub(crate) fn of_sink(self, endpoint: &str, written: usize) -> WriteError {
        let trouble = self.trouble(endpoint);
        // Where a part was written, it must be said that it was; the next attempt will be the fatal one.
        if self.refused && written == 0 {
            WriteError::Fatal(trouble)
        } else {
            WriteError::Retry { trouble, written }
        }
    }
}

const INGESTOR: &str =
    "make the identity an ingestor: `.add database ['<database>'] ingestors ('aadapp=<id>;<tenant>')`";

/// Codes of the engine by which a batch can't be streamed, though the queue may take it: streaming is off for the cluster,
/// the database or the table; a mapping is so new that not every node knows it; the data is at fault, and the queue finds
/// out which record.
fn is_not_for_streaming(code: &str) -> bool {
    code.contains("StreamingIngestion") || code.contains("MappingReferenceWasNotFound") || is_bad_data(code)
}

/// Codes of the category BadFormat, and what is too large: the same data will fail again ("Ingestion error codes").
pub(crate) fn is_bad_data(code: &str) -> bool {
    const CODES: [&str; 6] = [
        "BadRequest_InvalidBlob",
        "BadRequest_EmptyBlob",
        "BadRequest_EmptyArchive",
        "BadRequest_InvalidArchive",
        "BadRequest_UnexpectedCharacterInInputStream",
        "BadRequest_FileTooLarge",
    ];
    code.starts_with("Stream_") || CODES.contains(&code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_decides_what_is_to_be_done() {
        let answer = |status, code| {
            let answered = Answered { host: "h", status, code, said: "", permanent: Some(true) };
            let Failure { kind, refused, queue_instead, .. } = Failure::of_answer(&answered);
            (kind, refused, queue_instead)
        };
        assert_eq!(answer(429, "TooManyRequests"), (Kind::Send, false, true));
        let off = "BadRequest_StreamingIngestionPolicyNotEnabled";
        assert_eq!(answer(400, off), (Kind::Configuration, true, true));
        assert_eq!(answer(400, "BadRequest_EntityNotFound"), (Kind::Configuration, true, false));
        assert_eq!(answer(403, "Forbidden"), (Kind::Authentication, true, false));
        assert_eq!(answer(500, ""), (Kind::Send, false, false));

        assert!(is_bad_data("Stream_DynamicPropertyBagTooLarge") && is_bad_data("BadRequest_InvalidBlob"));
        assert!(!is_bad_data("Download_SourceNotFound") && !is_bad_data("BadRequest_TableNotExist"));
        let report = |code, permanent| {
            let Failure { kind, refused, .. } = Failure::of_report(code, "", permanent);
            (kind, refused)
        };
        assert_eq!(report("BadRequest_TableAccessDenied", true), (Kind::Authentication, true));
        assert_eq!(report("BadRequest_TableNotExist", true), (Kind::Configuration, true));
        assert_eq!(report("Download_UnknownError", false), (Kind::Send, false));
    }
}

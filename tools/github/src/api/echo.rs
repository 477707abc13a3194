//! A server that refuses a request may repeat what it was sent. What is shown of its answer must not.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use url::form_urlencoded;

/// What stands for a credential.
const HIDDEN: &str = "…";

/// The body of a refusal without the credential that was sent, which is taken out of `headers` as well.
pub(super) fn without(sent: Option<&HeaderValue>, headers: &mut HeaderMap, body: Bytes) -> Bytes {
    let Some(credential) = sent.and_then(credential) else {
        return body;
    };
    let escaped: String = form_urlencoded::byte_serialize(credential.as_bytes()).collect();
    let forms = [credential.to_owned(), escaped.to_ascii_lowercase(), escaped];
    headers
        .iter_mut()
        .filter(|(_, value)| shows(value.as_bytes(), &forms))
        .for_each(|(_, value)| *value = HeaderValue::from_static("-"));
    if !shows(&body, &forms) {
        return body;
    }
    let text = String::from_utf8_lossy(&body).into_owned();
    let clean = forms
        .iter()
        .fold(text, |text, form| text.replace(form, HIDDEN));
    clean.into()
}

/// What follows the scheme, such as `Bearer`.
fn credential(sent: &HeaderValue) -> Option<&str> {
    let text = sent.to_str().ok()?;
    let (_, credential) = text.split_once(' ')?;
    Some(credential.trim()).filter(|credential| !credential.is_empty())
}

fn shows(bytes: &[u8], forms: &[String]) -> bool {
    forms.iter().any(|form| {
        bytes
            .windows(form.len())
            .any(|window| window == form.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_not_shown_again() {
        let sent = HeaderValue::from_static("Bearer can+ary/1");
        let mut headers = HeaderMap::new();
        headers.insert("location", HeaderValue::from_static("/?t=can%2Bary%2F1"));
        headers.insert("retry-after", HeaderValue::from_static("7"));
        let body = Bytes::from("Bearer can+ary/1, can%2Bary%2F1, can%2bary%2f1");
        let body = without(Some(&sent), &mut headers, body);
        assert_eq!(body, "Bearer …, …, …");
        assert_eq!(headers["location"], "-");
        assert_eq!(headers["retry-after"], "7");
    }

    #[test]
    fn an_answer_without_it_stays_as_it_is() {
        let body = Bytes::from_static(b"\xff Bad credentials");
        let mut headers = HeaderMap::new();
        let sent = HeaderValue::from_static("Bearer canary");
        assert_eq!(without(Some(&sent), &mut headers, body.clone()), body);
        assert_eq!(without(None, &mut headers, body.clone()), body);
    }
}

//! What a client may ask for.

use pullwright_protocol::{RunId, RunRequest};

#[test]
fn a_request_needs_two_fields_and_takes_camel_case() {
    let least = r#"{"repoUrl": "https://github.com/a/b", "prompt": "p"}"#;
    let request: RunRequest = serde_json::from_str(least).unwrap();
    assert_eq!(request.base_branch, None);
    assert!(!request.draft);
    let whole = r#"{"repoUrl": "u", "prompt": "p", "baseBranch": "main", "branch": "x",
        "provider": "p", "model": "m", "draft": true, "checks": ["make"],
        "budget": {"maxUsd": 1.5, "maxTokens": 9, "maxTurns": 3, "maxMinutes": 0.5}}"#;
    let request: RunRequest = serde_json::from_str(whole).unwrap();
    assert_eq!(request.budget.max_minutes, Some(0.5));
    let text = serde_json::to_string(&request).unwrap();
    assert_eq!(serde_json::from_str::<RunRequest>(&text).unwrap(), request);
}

#[test]
fn unknown_fields_are_refused_by_name() {
    for (body, named) in [
        (
            r#"{"repoUrl": "u", "prompt": "p", "repo_url": "v"}"#,
            "repo_url",
        ),
        (
            r#"{"repoUrl": "u", "prompt": "p", "budget": {"maxUSD": 1}}"#,
            "maxUSD",
        ),
        (r#"{"repoUrl": "u"}"#, "prompt"),
    ] {
        let error = serde_json::from_str::<RunRequest>(body)
            .unwrap_err()
            .to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn the_short_id_is_the_random_tail() {
    let id = RunId("01a20b02-4db1-71a9-97c8-5b85e06dd2ad".into());
    assert_eq!(id.short(), "e06dd2ad");
    assert_eq!(RunId("ab".into()).short(), "ab");
}

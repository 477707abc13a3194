//! How a run ends, in words.

use pullwright_protocol::provider::{Prices, TokenUsage};
use pullwright_protocol::{FailureKind, Outcome, RunUsage};

#[test]
fn outcomes_are_phrases_and_come_back() {
    let plain = [
        (Outcome::PullRequest, "pull request"),
        (Outcome::BranchOnly, "branch only"),
        (Outcome::PatchOnly, "patch only"),
        (Outcome::NoChanges, "no changes"),
        (Outcome::Cancelled, "cancelled"),
        (Outcome::BudgetReached, "budget reached"),
        (
            Outcome::Failed(FailureKind::Credential),
            "failed(credential)",
        ),
    ];
    for (outcome, phrase) in plain {
        assert_eq!(outcome.to_string(), phrase);
        assert_eq!(phrase.parse(), Ok(outcome));
    }
    for kind in FailureKind::ALL {
        let outcome = Outcome::Failed(*kind);
        assert_eq!(outcome.to_string().parse(), Ok(outcome));
    }
    for bad in ["", "failed", "failed()", "failed(x)", "Pull request"] {
        assert!(bad.parse::<Outcome>().is_err(), "{bad}");
    }
}

#[test]
fn cached_tokens_cost_their_own_price() {
    let prices = Prices {
        input: 4.0,
        cached_input: 1.0,
        cache_write: 5.0,
        output: 20.0,
    };
    let usage = TokenUsage {
        input_tokens: 1_000_000,
        cached_tokens: 500_000,
        cache_write_tokens: 250_000,
        output_tokens: 100_000,
    };
    assert!((prices.cost(&usage) - (1.0 + 0.5 + 1.25 + 2.0)).abs() < 1e-9);
}

#[test]
fn a_run_without_prices_has_no_cost() {
    let mut total = RunUsage::default();
    let usage = TokenUsage {
        input_tokens: 5,
        cached_tokens: 2,
        cache_write_tokens: 0,
        output_tokens: 1,
    };
    total.add(&usage, None);
    total.add(&usage, None);
    assert_eq!(
        (total.input_tokens, total.cached_tokens, total.output_tokens),
        (10, 4, 2)
    );
    assert_eq!(total.usd, None);
    total.add(&usage, Some(0.25));
    assert_eq!(total.usd, Some(0.25));
}

//! What a request may hold, whatever the configuration says about hosts and models.

use pullwright_protocol::{BudgetLimits, RunRequest};

use crate::problem::ApiProblem;

/// Bounds of a request's fields.
#[derive(Clone, Debug)]
pub struct RequestLimits {
    /// Characters of the prompt.
    pub max_prompt_chars: usize,
    /// Characters of a name: URL, branch, provider, model.
    pub max_name_chars: usize,
    /// How many checks.
    pub max_checks: usize,
    /// Characters of one check.
    pub max_check_chars: usize,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            max_prompt_chars: 100_000,
            max_name_chars: 2_048,
            max_checks: 32,
            max_check_chars: 8_192,
        }
    }
}

impl RequestLimits {
    /// Refuses a request with an empty field, one over a limit, or a budget that is no number.
    ///
    /// # Errors
    /// What the caller is told.
    pub fn check(&self, request: &RunRequest) -> Result<(), ApiProblem> {
        filled("repoUrl", &request.repo_url, self.max_name_chars)?;
        filled("prompt", &request.prompt, self.max_prompt_chars)?;
        let names = [
            ("baseBranch", &request.base_branch),
            ("branch", &request.branch),
            ("provider", &request.provider),
            ("model", &request.model),
        ];
        for (field, value) in names {
            if let Some(value) = value {
                filled(field, value, self.max_name_chars)?;
            }
        }
        self.check_checks(request.checks.as_deref().unwrap_or_default())?;
        check_budget(&request.budget)
    }

    /// Refuses a message to a run's model that is empty, or longer than a prompt may be.
    ///
    /// # Errors
    /// What the caller is told.
    pub fn check_message(&self, text: &str) -> Result<(), ApiProblem> {
        filled("message", text, self.max_prompt_chars)
    }

    fn check_checks(&self, checks: &[String]) -> Result<(), ApiProblem> {
        if checks.len() > self.max_checks {
            return Err(ApiProblem::too_large(format!(
                "field `checks` has {} commands; at most {} are taken",
                checks.len(),
                self.max_checks
            )));
        }
        for (index, check) in checks.iter().enumerate() {
            filled(&format!("checks[{index}]"), check, self.max_check_chars)?;
        }
        Ok(())
    }
}

fn filled(field: &str, value: &str, max_chars: usize) -> Result<(), ApiProblem> {
    if value.trim().is_empty() {
        return Err(ApiProblem::bad_request(format!("field `{field}` is empty")));
    }
    if value.contains('\0') {
        let message = format!("field `{field}` contains a NUL character; remove it");
        return Err(ApiProblem::bad_request(message));
    }
    let chars = value.chars().count();
    if chars > max_chars {
        return Err(ApiProblem::too_large(format!(
            "field `{field}` has {chars} characters; at most {max_chars} are taken"
        )));
    }
    Ok(())
}

fn check_budget(budget: &BudgetLimits) -> Result<(), ApiProblem> {
    let whole = |n: Option<u64>| n.is_none_or(|n| n > 0);
    let real = |n: Option<f64>| n.is_none_or(|n| n.is_finite() && n > 0.0);
    let fields = [
        ("budget.maxUsd", real(budget.max_usd)),
        ("budget.maxTokens", whole(budget.max_tokens)),
        ("budget.maxTurns", whole(budget.max_turns.map(u64::from))),
        ("budget.maxMinutes", real(budget.max_minutes)),
    ];
    match fields.into_iter().find(|(_, positive)| !positive) {
        Some((field, _)) => {
            let message = format!("field `{field}` must be a number above zero");
            Err(ApiProblem::bad_request(message))
        }
        None => Ok(()),
    }
}

//! The forms of known secrets, as those who issue them document them.

use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

/// One form.
pub(super) struct Rule {
    /// What it is, for people.
    pub(super) what: &'static str,
    /// Without one of these, in any case, nothing matches: they are looked for first, all at once.
    pub(super) keywords: &'static [&'static str],
    /// The pattern; what a group named `secret` matches counts, or the whole match.
    pub(super) pattern: &'static str,
    /// The least entropy of the secret, in bits a byte; 0 where the form alone says enough.
    pub(super) min_entropy: f64,
    /// Whether it goes on over the end of the line.
    pub(super) spans_lines: bool,
}

/// A form that says enough by itself.
const fn form(
    what: &'static str,
    keywords: &'static [&'static str],
    pattern: &'static str,
) -> Rule {
    Rule {
        what,
        keywords,
        pattern,
        min_entropy: 0.0,
        spans_lines: false,
    }
}

/// A form that other text has too, unless it looks random.
const fn random(
    what: &'static str,
    keywords: &'static [&'static str],
    pattern: &'static str,
    min_entropy: f64,
) -> Rule {
    Rule {
        what,
        keywords,
        pattern,
        min_entropy,
        spans_lines: false,
    }
}

/// All forms.
pub(super) const RULES: &[Rule] = &[
    Rule {
        what: "a private key",
        keywords: &["private key-----", "private key block-----"],
        pattern: r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:\\[rn]|[\s,+'\x22])*(?:[A-Za-z-]+: [^\r\n]*[\s]+)*[A-Za-z0-9+/]{32}",
        min_entropy: 0.0,
        spans_lines: true,
    },
    random(
        "an AWS access key",
        &["akia", "asia", "abia", "acca"],
        r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",
        3.0,
    ),
    random(
        "an AWS secret key",
        &["aws"],
        r#"(?i)aws.{0,30}(?:secret|key).{0,20}[=:>'" ](?P<secret>[A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+=]|$)"#,
        4.0,
    ),
    random(
        "a GitHub token",
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"],
        r"\bgh[pousr]_[A-Za-z0-9]{36,251}\b",
        3.0,
    ),
    random(
        "a GitHub token",
        &["github_pat_"],
        r"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b",
        3.0,
    ),
    random(
        "a GitLab token",
        &["glpat-", "glptt-", "gldt-", "glrt-", "glcbt-"],
        r"\bgl(?:pat|ptt|dt|rt|cbt)-[A-Za-z0-9_-]{20,}",
        3.0,
    ),
    random(
        "an Anthropic key",
        &["sk-ant-"],
        r"\bsk-ant-[a-z0-9]+-[A-Za-z0-9_-]{40,}",
        3.5,
    ),
    random(
        "an OpenAI key",
        &["sk-proj-", "sk-svcacct-", "sk-admin-", "t3blbkfj"],
        r"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,}(?:T3BlbkFJ[A-Za-z0-9_-]{20,})?",
        4.0,
    ),
    random(
        "an OpenRouter key",
        &["sk-or-v1-"],
        r"\bsk-or-v1-[a-f0-9]{64}\b",
        3.0,
    ),
    random(
        "a Google API key",
        &["aiza"],
        r"\bAIza[A-Za-z0-9_-]{35}",
        3.5,
    ),
    random(
        "a Google OAuth secret",
        &["gocspx-"],
        r"\bGOCSPX-[A-Za-z0-9_-]{28}",
        3.0,
    ),
    form(
        "a Google service account",
        &["private_key_id"],
        r#""private_key_id"\s*:\s*"[a-f0-9]{40}""#,
    ),
    random(
        "a Slack token",
        &[
            "xoxa-", "xoxb-", "xoxe-", "xoxp-", "xoxr-", "xoxs-", "xapp-",
        ],
        r"\b(?:xox[abeprs]|xapp)-[A-Za-z0-9-]{20,}",
        3.0,
    ),
    random(
        "a Slack webhook",
        &["hooks.slack.com"],
        r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<secret>[A-Za-z0-9/+]{30,})",
        3.0,
    ),
    random(
        "a Discord webhook",
        &["discord"],
        r"discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/(?P<secret>[A-Za-z0-9_-]{60,})",
        3.5,
    ),
    random(
        "a Stripe key",
        &["sk_live_", "rk_live_", "whsec_"],
        r"\b(?:[rs]k_live_|whsec_)[A-Za-z0-9+/]{24,}",
        3.0,
    ),
    random(
        "a Square token",
        &["eaaa", "sq0csp-"],
        r"\b(?:EAAA[A-Za-z0-9_-]{60}|sq0csp-[A-Za-z0-9_-]{43})",
        3.5,
    ),
    random(
        "a SendGrid key",
        &["sg."],
        r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}",
        3.5,
    ),
    random(
        "a Twilio key",
        &["twilio"],
        r"(?i)twilio.{0,40}(?P<secret>\b[a-f0-9]{32}\b)",
        3.0,
    ),
    random("a Mailgun key", &["key-"], r"\bkey-[a-f0-9]{32}\b", 3.0),
    random(
        "a Mailchimp key",
        &["-us"],
        r"\b(?P<secret>[a-f0-9]{32})-us[0-9]{1,2}\b",
        3.0,
    ),
    random("an npm token", &["npm_"], r"\bnpm_[A-Za-z0-9]{36}\b", 3.0),
    random(
        "a PyPI token",
        &["pypi-ageichlwas5vcmc"],
        r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}",
        3.5,
    ),
    random(
        "a crates.io token",
        &["cio"],
        r"\bcio[A-Za-z0-9]{32}\b",
        3.8,
    ),
    random(
        "a RubyGems key",
        &["rubygems_"],
        r"\brubygems_[a-f0-9]{48}\b",
        3.0,
    ),
    random(
        "a Docker token",
        &["dckr_pat_", "dckr_oat_"],
        r"\bdckr_[po]at_[A-Za-z0-9_-]{27,}",
        3.0,
    ),
    random(
        "a Hugging Face token",
        &["hf_"],
        r"\bhf_[A-Za-z]{34}\b",
        3.5,
    ),
    random(
        "a Replicate token",
        &["r8_"],
        r"\br8_[A-Za-z0-9]{37}\b",
        3.5,
    ),
    random("a Groq key", &["gsk_"], r"\bgsk_[A-Za-z0-9]{52}\b", 3.5),
    random("an xAI key", &["xai-"], r"\bxai-[A-Za-z0-9]{80}\b", 3.5),
    random(
        "a DigitalOcean token",
        &["dop_v1_", "doo_v1_", "dor_v1_"],
        r"\bdo[opr]_v1_[a-f0-9]{64}\b",
        3.0,
    ),
    random(
        "a Heroku key",
        &["hrku-"],
        r"\bHRKU-[A-Za-z0-9_-]{36,}",
        3.0,
    ),
    random(
        "a Fly.io token",
        &["fo1_", "fm2_"],
        r"\b(?:fo1_[A-Za-z0-9_-]{43}|fm2_[A-Za-z0-9+/]{100,})",
        3.5,
    ),
    random(
        "a Cloudflare origin key",
        &["v1.0-"],
        r"\bv1\.0-[a-f0-9]{24}-[a-f0-9]{146}\b",
        3.0,
    ),
    random(
        "an Azure storage key",
        &["accountkey="],
        r"(?i)AccountKey=(?P<secret>[A-Za-z0-9+/]{86}==)",
        4.0,
    ),
    random(
        "an Azure client secret",
        &["8q~", "7q~"],
        r"\b[A-Za-z0-9_~.]{3}[78]Q~[A-Za-z0-9_~.-]{31,34}",
        3.5,
    ),
    random(
        "a Databricks token",
        &["dapi"],
        r"\bdapi[a-f0-9]{32}(?:-[0-9])?\b",
        3.0,
    ),
    random(
        "a Vault token",
        &["hvs.", "hvb."],
        r"\bhv[sb]\.[A-Za-z0-9_-]{24,}",
        3.5,
    ),
    random(
        "a Terraform Cloud token",
        &[".atlasv1."],
        r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,}",
        3.5,
    ),
    random(
        "a Grafana token",
        &["glsa_", "glc_"],
        r"\b(?:glsa_[A-Za-z0-9]{32}_[a-fA-F0-9]{8}|glc_[A-Za-z0-9+/]{32,})",
        3.0,
    ),
    random(
        "a Sentry token",
        &["sntrys_", "sntryu_"],
        r"\b(?:sntrys_[A-Za-z0-9+/=_-]{60,}|sntryu_[a-f0-9]{64})",
        3.0,
    ),
    random(
        "a New Relic key",
        &["nrak-", "nrii-"],
        r"\b(?:NRAK-[A-Z0-9]{27}|NRII-[A-Za-z0-9_-]{32})",
        3.0,
    ),
    random(
        "a Datadog key",
        &["datadog", "dd_api_key", "dd_app_key"],
        r"(?i)(?:datadog|dd_(?:api|app)_key).{0,30}(?P<secret>\b(?:[a-f0-9]{40}|[a-f0-9]{32})\b)",
        3.0,
    ),
    random("a PostHog key", &["phx_"], r"\bphx_[A-Za-z0-9]{43,}", 3.5),
    random(
        "a Linear key",
        &["lin_api_"],
        r"\blin_api_[A-Za-z0-9]{40}\b",
        3.0,
    ),
    random(
        "a Notion token",
        &["ntn_", "secret_"],
        r"\b(?:ntn_[A-Za-z0-9]{40,}|secret_[A-Za-z0-9]{43})\b",
        3.5,
    ),
    random(
        "an Atlassian token",
        &["atatt3"],
        r"\bATATT3[A-Za-z0-9_=-]{100,}",
        3.5,
    ),
    random(
        "a Figma token",
        &["figd_"],
        r"\bfigd_[A-Za-z0-9_-]{40,}",
        3.5,
    ),
    random(
        "a Postman key",
        &["pmak-"],
        r"\bPMAK-[a-f0-9]{24}-[a-f0-9]{34}\b",
        3.0,
    ),
    random(
        "a Shopify token",
        &["shpat_", "shpca_", "shppa_", "shpss_"],
        r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b",
        3.0,
    ),
    random(
        "a Supabase key",
        &["sbp_", "sb_secret_"],
        r"\b(?:sbp_[a-f0-9]{40}|sb_secret_[A-Za-z0-9_-]{30,})",
        3.0,
    ),
    random(
        "a PlanetScale key",
        &["pscale_"],
        r"\bpscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{32,}",
        3.5,
    ),
    random(
        "a Telegram bot token",
        &[":aa"],
        r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}\b",
        3.5,
    ),
    random(
        "an age key",
        &["age-secret-key-1"],
        r"\bAGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}",
        3.0,
    ),
    random(
        "a JSON web token",
        &["eyj"],
        r"\beyJ[A-Za-z0-9_-]{15,}\.eyJ[A-Za-z0-9_-]{15,}\.[A-Za-z0-9_-]{20,}",
        4.0,
    ),
    random(
        "a password in an address",
        &["://"],
        r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@'\x22<>{}$]{1,64}:(?P<secret>[^\s/@'\x22<>{}$]{12,128})@[A-Za-z0-9.-]+",
        3.3,
    ),
    random(
        "what its name calls a secret",
        &[
            "secret",
            "password",
            "passwd",
            "token",
            "api_key",
            "api-key",
            "apikey",
            "access_key",
            "accesskey",
            "private_key",
            "privatekey",
            "credential",
        ],
        r#"(?i)(?:secret|password|passwd|token|api[_-]?key|access[_-]?key|private[_-]?key|credential)[a-z0-9_-]{0,20}['"\]]{0,2}\s{0,3}(?:=|:|:=|=>)\s{0,3}['"`](?P<secret>[A-Za-z0-9+/=_.~-]{20,200})['"`]"#,
        4.0,
    ),
];

/// The compiled pattern of a rule, by its number. Few are ever needed, so each is compiled when it is.
pub(super) fn pattern(number: usize) -> Option<&'static Regex> {
    static COMPILED: [OnceLock<Option<Regex>>; RULES.len()] =
        [const { OnceLock::new() }; RULES.len()];

    let compiled = COMPILED.get(number)?;
    let pattern = compiled.get_or_init(|| compile(&RULES[number]).ok());
    pattern.as_ref()
}

fn compile(rule: &Rule) -> Result<Regex, regex::Error> {
    RegexBuilder::new(rule.pattern).unicode(false).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        for rule in RULES {
            assert!(
                compile(rule).is_ok(),
                "{}: {:?}",
                rule.what,
                compile(rule).err()
            );
            let lowercase = |keyword: &&str| keyword.to_ascii_lowercase() == **keyword;
            assert!(rule.keywords.iter().all(lowercase), "{}", rule.what);
        }
    }
}
